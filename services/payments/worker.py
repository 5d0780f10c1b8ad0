"""The worker: sweeps over due rows. A row that is claimed and then lost to a crash is due again when its lease ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Conn, Pool
from libs.common.worker import Sweep
from services.payments.collection import Collection
from services.payments.domain.attempt import Attempt
from services.payments.domain.dunning import Campaign
from services.payments.domain.message import Message
from services.payments.domain.method import PaymentMethod, ProcessorAccount
from services.payments.domain.notice import Delivery
from services.payments.domain.payment import Payment
from services.payments.domain.reconciliation import Reconciliation
from services.payments.domain.refund import Refund
from services.payments.domain.webhook import WebhookEvent
from services.payments.dunning import Dunning
from services.payments.hearing import Hearing
from services.payments.inbox import CatchingUp
from services.payments.notifying import Notifying
from services.payments.pace import Pace
from services.payments.providers import ProcessorUnavailable
from services.payments.reconciling import Reconciling
from services.payments.refunding import Refunding
from services.payments.reminding import Reminding
from services.payments.reporting import Reporting
from services.payments.saving import Saving
from services.payments.store import (
    accounts,
    attempts,
    disputes,
    dunning,
    events,
    messages,
    methods,
    notices,
    payments,
    reconciliations,
    refunds,
)
from services.payments.store.disputes import DisputeReport
from services.payments.store.dunning import CampaignReport
from services.payments.store.payments import Report
from services.payments.store.refunds import RefundReport

log = structlog.get_logger()

T = TypeVar("T")

RECONCILE_LEASE = timedelta(minutes=30)
"""A day at a processor may be many pages."""

CLAIM_SECONDS = 1.0
"""While slow rows are in work, those that have come due since are looked for this often."""


@dataclass(frozen=True, slots=True)
class Sweeps:
    pool: Pool
    collection: Collection
    refunding: Refunding
    hearing: Hearing
    catching_up: CatchingUp
    saving: Saving
    dunning: Dunning
    reminding: Reminding
    notifying: Notifying
    reporting: Reporting
    reconciling: Reconciling
    clock: Clock
    pace: Pace

    def all(self) -> Mapping[str, Sweep]:
        return {
            "charge": self.charge,
            "resolve": self.resolve,
            "events": self.events,
            "catch_up": self.catch_up,
            "methods": self.methods,
            "refunds": self.refunds,
            "report": self.report,
            "refund_report": self.refund_report,
            "dun": self.dun,
            "remind": self.remind,
            "dunning_report": self.dunning_report,
            "dispute_report": self.dispute_report,
            "notify": self.notify,
            "reconcile": self.reconcile,
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
        while await self.hearing.skim():
            pass

        async def claim(conn: Conn, limit: int) -> Sequence[WebhookEvent]:
            return await events.claim(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.hearing.hear)

    async def catch_up(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[ProcessorAccount]:
            return await accounts.claim_behind(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.catching_up.catch_up)

    async def methods(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[PaymentMethod]:
            return await methods.claim_saving(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self._save)

    async def report(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[Report]:
            return await payments.claim_reports(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.reporting.payment)

    async def refunds(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[Refund]:
            return await refunds.claim(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.refunding.move)

    async def refund_report(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[RefundReport]:
            return await refunds.claim_reports(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.reporting.refund)

    async def dun(self) -> bool:
        may_be_more = await self.dunning.begin()

        async def claim(conn: Conn, limit: int) -> Sequence[Campaign]:
            return await dunning.claim(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.dunning.go_on) or may_be_more

    async def remind(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[Message]:
            return await messages.claim(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.reminding.send)

    async def dunning_report(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[CampaignReport]:
            return await dunning.claim_reports(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.reporting.final_action)

    async def dispute_report(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[DisputeReport]:
            return await disputes.claim_reports(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.reporting.dispute)

    async def notify(self) -> bool:
        async def claim(conn: Conn, limit: int) -> Sequence[Delivery]:
            return await notices.claim(conn, self.clock(), self.pace.lease, limit)

        return await self._work(claim, self.notifying.deliver)

    async def reconcile(self) -> bool:
        may_be_more = await self.reconciling.ask()

        async def claim(conn: Conn, limit: int) -> Sequence[Reconciliation]:
            return await reconciliations.claim(conn, self.clock(), RECONCILE_LEASE, limit)

        return await self._work(claim, self.reconciling.reconcile) or may_be_more

    async def _save(self, method: PaymentMethod) -> None:
        try:
            await self.saving.finish(method)
        except ProcessorUnavailable as error:
            log.warning("method not saved yet", tenant=method.tenant_id, method=method.id, cause=str(error))

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
