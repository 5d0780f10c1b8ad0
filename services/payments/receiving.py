"""Receiving: money that came past the processors is recorded with its receipt, and only the rest is charged."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from libs.common.errors import FailedPrecondition, InvalidArgument, NotFound
from libs.common.idempotency import require_same
from libs.common.ids import new_id
from libs.common.money import Money
from libs.common.postgres import Conn
from services.payments.collection import Collection
from services.payments.domain.attempt import CLOSED
from services.payments.domain.payment import Payment, PaymentState
from services.payments.domain.receipt import ManualPayment
from services.payments.store import attempts, manual_payments, payments, receipts


@dataclass(frozen=True, slots=True)
class Received:
    """What is to be recorded."""

    tenant_id: str
    invoice_id: str
    amount: Money
    reference: str
    receive_date: date
    request_id: UUID
    request_hash: bytes

    def part(self, invoice_id: str, amount: Money, request_id: UUID) -> "Received":
        """What one invoice gets of it."""
        return replace(self, invoice_id=invoice_id, amount=amount, request_id=request_id)


@dataclass(frozen=True, slots=True)
class Receiving:
    collection: Collection

    async def record(self, received: Received) -> ManualPayment:
        """An open charge is canceled at the processor before, so that it can't succeed after.

        Raises NotFound PAYMENT_NOT_FOUND, FailedPrecondition PAYMENT_EXCEEDS_DUE, PAYMENT_UNDER_WAY or
        PAYMENT_CANCELED, and InvalidArgument CURRENCY_MISMATCH.
        """
        async with self.collection.pool.acquire() as conn:
            if (made := await _made_before(conn, received)) is not None:
                return made
            payment = await payments.find_of_invoice(conn, received.tenant_id, received.invoice_id)
        _require_due(payment, received)
        assert payment is not None, "it is due"
        if not await self.collection.close_last(payment):
            raise under_way(payment)
        async with self.collection.pool.acquire() as conn, conn.transaction():
            return await self._record(conn, received)

    async def _record(self, conn: Conn, received: Received) -> ManualPayment:
        payment = await payments.lock_of_invoice(conn, received.tenant_id, received.invoice_id)
        if (made := await _made_before(conn, received)) is not None:
            return made
        _require_due(payment, received)
        assert payment is not None, "it is due"
        return await taken(conn, payment, received, self.collection.clock())


async def taken(conn: Conn, payment: Payment, received: Received, now: datetime) -> ManualPayment:
    """What the locked payment takes of money that has come, at most what is due. Raises FailedPrecondition
    PAYMENT_UNDER_WAY.
    """
    last = await attempts.find_last(conn, payment.tenant_id, payment.id)
    if last is not None and last.state not in CLOSED:
        raise under_way(payment)
    manual = ManualPayment(
        tenant_id=payment.tenant_id,
        id=new_id("mp", now),
        payment_id=payment.id,
        invoice_id=payment.invoice_id,
        amount=received.amount,
        reference=received.reference,
        receive_date=received.receive_date,
        create_time=now,
    )
    await manual_payments.insert(conn, manual, received.request_id, received.request_hash)
    await payments.add_manual(conn, payment, received.amount.minor_units, now)
    if received.amount == payment.due:
        await payments.set_state(conn, payment, PaymentState.SUCCEEDED, now)
    await receipts.issue(conn, payment, received.amount.minor_units, now, manual_payment_id=manual.id)
    return manual


async def _made_before(conn: Conn, received: Received) -> ManualPayment | None:
    recorded = await manual_payments.find_request(conn, received.tenant_id, received.request_id)
    if recorded is None:
        return None
    require_same(recorded[1], received.request_hash, str(received.request_id))
    return recorded[0]


def _require_due(payment: Payment | None, received: Received) -> None:
    if payment is None:
        raise NotFound(
            "PAYMENT_NOT_FOUND", f"invoice {received.invoice_id} has no payment", invoice_id=received.invoice_id
        )
    if received.amount.currency != payment.amount.currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"amount is in {received.amount.currency}, the payment in {payment.amount.currency}",
            field="amount.currency_code",
        )
    if payment.state is PaymentState.PROCESSING:
        raise under_way(payment)
    if payment.state is PaymentState.CANCELED:
        raise FailedPrecondition(
            "PAYMENT_CANCELED",
            f"invoicing has taken invoice {payment.invoice_id} back: nothing is due now",
            payment_id=payment.id,
        )
    if received.amount.minor_units > payment.due.minor_units:
        raise FailedPrecondition(
            "PAYMENT_EXCEEDS_DUE",
            f"{payment.due} are due of invoice {payment.invoice_id}",
            payment_id=payment.id,
            due_minor_units=str(payment.due.minor_units),
        )


def under_way(payment: Payment) -> FailedPrecondition:
    return FailedPrecondition(
        "PAYMENT_UNDER_WAY",
        f"invoice {payment.invoice_id} is being collected: wait for the outcome",
        payment_id=payment.id,
    )
