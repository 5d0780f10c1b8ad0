"""The worker: sweeps over due rows. A row that is claimed and then lost to a crash is due again when its lease ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog

from libs.common.clock import Clock
from libs.common.credentials import Issuer
from libs.common.errors import BillingError, Unavailable
from libs.common.money import Money
from libs.common.postgres import Conn, Pool
from libs.common.rpc.client import credential
from libs.common.wire import money_out
from libs.common.worker import Sweep
from services.payments.collection import Collection
from services.payments.domain.attempt import Attempt
from services.payments.domain.method import PaymentMethod
from services.payments.domain.payment import Payment, PaymentState, delay
from services.payments.domain.webhook import WebhookEvent
from services.payments.pace import Pace
from services.payments.providers import ProcessorUnavailable
from services.payments.saving import Saving
from services.payments.store import attempts, events, methods, payments
from services.payments.store.payments import Report
from weir.invoicing.v1 import invoicing_pb2

if TYPE_CHECKING:
    from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceAsyncStub

log = structlog.get_logger()

T = TypeVar("T")

CLAIM_SECONDS = 1.0
"""While slow rows are in work, those that have come due since are looked for this often."""

_INVOICE_STATUS = {
    PaymentState.PENDING: invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING,
    PaymentState.PROCESSING: invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING,
    PaymentState.SUCCEEDED: invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED,
    PaymentState.FAILED: invoicing_pb2.Invoice.PAYMENT_STATUS_FAILED,
    PaymentState.REQUIRES_ACTION: invoicing_pb2.Invoice.PAYMENT_STATUS_REQUIRES_ACTION,
    PaymentState.AWAITING_METHOD: invoicing_pb2.Invoice.PAYMENT_STATUS_FAILED,
    PaymentState.CANCELED: invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING,
}


@dataclass(frozen=True, slots=True)
class Sweeps:
    pool: Pool
    collection: Collection
    saving: Saving
    invoicing: "InvoicingServiceAsyncStub"
    issuer: Issuer
    clock: Clock
    pace: Pace

    def all(self) -> Mapping[str, Sweep]:
        return {
            "charge": self.charge,
            "resolve": self.resolve,
            "events": self.events,
            "methods": self.methods,
            "report": self.report,
        }

    async def charge(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[Payment]:
            return await payments.claim_due(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.collection.charge)

    async def resolve(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[Attempt]:
            return await attempts.claim_open(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.collection.resolve)

    async def events(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[WebhookEvent]:
            return await events.claim(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.collection.hear)

    async def methods(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[PaymentMethod]:
            return await methods.claim_saving(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self._save)

    async def report(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[Report]:
            return await payments.claim_reports(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self._report)

    async def _save(self, method: PaymentMethod) -> None:
        try:
            await self.saving.finish(method)
        except ProcessorUnavailable as error:
            log.warning("method not saved yet", tenant=method.tenant_id, method=method.id, cause=str(error))

    async def _report(self, report: Report) -> None:
        """Tell invoicing how a payment stands; what it cannot hear now, it is told later."""
        payment = report.payment
        paid = payment.amount.minor_units if payment.state is PaymentState.SUCCEEDED else 0
        request = invoicing_pb2.RecordPaymentRequest(
            invoice_id=payment.invoice_id,
            payment_id=payment.id,
            revision=payment.revision,
            payment_status=_INVOICE_STATUS[payment.state],
            amount_paid=money_out(Money(paid, payment.amount.currency)),
        )
        try:
            await self.invoicing.RecordPayment(
                request, metadata=credential(self.issuer.internal_key(payment.tenant_id))
            )
        except BillingError as error:
            wait = delay(self.pace.report, report.tries)
            if not isinstance(error, Unavailable):
                log.error("invoicing refused a report", tenant=payment.tenant_id, payment=payment.id, cause=str(error))
                wait = self.pace.refused_report
            due_time = self.clock() + wait
            async with self.pool.acquire() as conn:
                await payments.postpone_report(conn, payment, due_time)
            return
        async with self.pool.acquire() as conn:
            await payments.mark_reported(conn, payment)

    async def _work(
        self, claim: Callable[[Conn, int], Awaitable[Sequence[T]]], handle: Callable[[T], Awaitable[None]]
    ) -> bool:
        """Keep rows in work until none is due; a slow one holds up no other. Errors are raised when all are done."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.pace.stint.total_seconds()
        in_work: set[asyncio.Task[None]] = set()
        errors: list[Exception] = []
        try:
            while True:
                free = self.pace.concurrency - len(in_work)
                rows: Sequence[T] = ()
                if free and loop.time() < end:
                    async with self.pool.acquire() as conn:
                        rows = await claim(conn, free)
                    in_work |= {asyncio.ensure_future(handle(row)) for row in rows}
                if not in_work:
                    break
                wait_seconds = CLAIM_SECONDS if len(rows) < free else None
                done, in_work = await asyncio.wait(in_work, timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED)
                errors += [error for task in done if isinstance(error := task.exception(), Exception)]
        finally:
            for task in in_work:
                task.cancel()
            await asyncio.gather(*in_work, return_exceptions=True)
        if errors:
            raise ExceptionGroup("some rows could not be handled", errors)
        return False
