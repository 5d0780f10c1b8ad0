"""Refunding: a refund is recorded, then the processor is asked for it, then its answer is recorded (law 9).

What is given back is taken off what can be under the payment's lock, when the refund is recorded; a refund that fails
puts it back. So refunds that race never come to more than was paid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from libs.common.clock import Clock
from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from libs.common.idempotency import require_same
from libs.common.ids import new_id
from libs.common.money import Money
from libs.common.postgres import Conn, Pool
from services.payments import providers
from services.payments.accounts import Accounts
from services.payments.domain.attempt import Attempt, NotMade, Outcome, Unknown
from services.payments.domain.payment import MOST_AUTOMATIC_ATTEMPTS, Payment, delay
from services.payments.domain.refund import Refund, RefundState, charge_to_refund, exceeds, moved
from services.payments.pace import Pace
from services.payments.providers import Processor, ProcessorUnavailable
from services.payments.store import attempts, payments, refunds

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """A refund as it is asked for; with a `manual_reference` the money went back by hand already."""

    tenant_id: str
    invoice_id: str
    amount: Money
    credit_note_id: str
    reason: str
    manual_reference: str
    request_id: UUID
    request_hash: bytes


async def created(conn: Conn, asked: Asked, now: datetime) -> Refund:
    """Raises NotFound PAYMENT_NOT_FOUND, FailedPrecondition REFUND_EXCEEDS_PAID, Conflict REFUND_DIFFERS or
    REQUEST_ID_REUSED, and InvalidArgument CURRENCY_MISMATCH.
    """
    payment = await payments.lock_of_invoice(conn, asked.tenant_id, asked.invoice_id)
    if payment is None:
        raise NotFound("PAYMENT_NOT_FOUND", f"invoice {asked.invoice_id} has no payment", invoice_id=asked.invoice_id)
    if (made := await _made_before(conn, asked)) is not None:
        return made
    if asked.amount.currency != payment.amount.currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"amount is in {asked.amount.currency}, the payment in {payment.amount.currency}",
            field="amount.currency_code",
        )
    charge = None if asked.manual_reference else await _charge(conn, payment, asked.amount)
    if asked.amount.minor_units > payment.refundable.minor_units:
        raise exceeds(payment, payment.refundable)
    refund = Refund(
        tenant_id=asked.tenant_id,
        id=new_id("re", now),
        payment_id=payment.id,
        invoice_id=payment.invoice_id,
        attempt_number=charge.number if charge else None,
        credit_note_id=asked.credit_note_id,
        reason=asked.reason,
        manual_reference=asked.manual_reference,
        amount=asked.amount,
        state=RefundState.SUBMITTING if charge else RefundState.SUCCEEDED,
        key_generation=1,
        submit_time=None,
        reference="",
        failure_code="",
        failure_message="",
        tries=0,
        revision=1,
        create_time=now,
    )
    await refunds.insert(conn, refund, now if charge else None, asked.request_id, asked.request_hash)
    await payments.add_refunded(conn, payment, refund.attempt_number, refund.amount.minor_units)
    return refund


async def _made_before(conn: Conn, asked: Asked) -> Refund | None:
    """By the same request, or for the same credit note."""
    if (recorded := await refunds.find_request(conn, asked.tenant_id, asked.request_id)) is not None:
        require_same(recorded[1], asked.request_hash, str(asked.request_id))
        return recorded[0]
    if not asked.credit_note_id:
        return None
    made = await refunds.find_of_note(conn, asked.tenant_id, asked.credit_note_id)
    if made is not None and (made.amount, made.invoice_id) != (asked.amount, asked.invoice_id):
        raise Conflict(
            "REFUND_DIFFERS",
            f"credit note {asked.credit_note_id} has a refund of {made.amount} of invoice {made.invoice_id}",
            refund_id=made.id,
        )
    return made


async def _charge(conn: Conn, payment: Payment, amount: Money) -> Attempt:
    made: Sequence[Attempt] = await attempts.list_of(conn, payment.tenant_id, [payment.id])
    return charge_to_refund(payment, made, amount)


async def retried(
    conn: Conn, tenant_id: str, refund_id: str, request_id: UUID, request_hash: bytes, now: datetime
) -> Refund:
    """Raises NotFound REFUND_NOT_FOUND, and FailedPrecondition REFUND_NOT_FAILED or REFUND_EXCEEDS_PAID."""
    refund = await refunds.find(conn, tenant_id, refund_id)
    if refund is None:
        raise NotFound("REFUND_NOT_FOUND", f"there is no refund {refund_id}", refund_id=refund_id)
    payment, refund = await _locked(conn, refund)
    if not await refunds.insert_retry(conn, refund, now, request_id, request_hash):
        require_same(await refunds.find_retry(conn, tenant_id, request_id), request_hash, str(request_id))
        return refund
    if refund.state is not RefundState.FAILED:
        raise FailedPrecondition(
            "REFUND_NOT_FAILED", f"the refund is {refund.state}; one that has failed can be retried", state=refund.state
        )
    charge = await _charge(conn, payment, refund.amount)
    if refund.amount.minor_units > payment.refundable.minor_units:
        raise exceeds(payment, payment.refundable)
    await refunds.restart(conn, refund, charge.number, now)
    await payments.add_refunded(conn, payment, charge.number, refund.amount.minor_units)
    return (await _locked(conn, refund))[1]


async def _locked(conn: Conn, refund: Refund) -> tuple[Payment, Refund]:
    payment = await payments.lock(conn, refund.tenant_id, refund.payment_id)
    current = await refunds.lock(conn, refund.tenant_id, refund.id)
    assert payment is not None, "payments are never deleted"
    assert current is not None, "refunds are never deleted"
    return payment, current


@dataclass(frozen=True, slots=True)
class Refunding:
    pool: Pool
    accounts: Accounts
    clock: Clock
    pace: Pace

    async def move(self, refund: Refund) -> None:
        """Ask for a claimed refund, or learn what has become of it."""
        async with self.pool.acquire() as conn:
            account_id, order = await refunds.find_order(conn, refund)
        processor = await self.accounts.get(refund.tenant_id, account_id)
        await self.record(refund, await self._ask(processor, refund, order))

    async def record(self, refund: Refund, outcome: Outcome) -> None:
        """Old news change nothing, nor do news of a request before the last."""
        async with self.pool.acquire() as conn, conn.transaction():
            payment, before = await _locked(conn, refund)
            if before.key_generation != refund.key_generation:
                return
            after = moved(before, outcome)
            now = self.clock()
            await refunds.save(conn, before, after, self._ask_time(after, now), now)
            held = int(after.state is not RefundState.FAILED) - int(before.state is not RefundState.FAILED)
            if after.attempt_number is not None and _is_lost(before, after, outcome):
                due_time = now + delay(self.pace.lost, after.key_generation - 1)
                await refunds.restart(conn, after, after.attempt_number, due_time)
            elif held:
                amount = held * after.amount.minor_units
                await payments.add_refunded(conn, payment, after.attempt_number, amount)
        if after.state is not before.state:
            log.info(
                "refund moved",
                tenant=after.tenant_id,
                refund=after.id,
                state=after.state,
                cause=outcome.cause if isinstance(outcome, Unknown) else after.failure_code,
            )

    async def _ask(self, processor: Processor, refund: Refund, order: providers.Refund) -> Outcome:
        try:
            if refund.reference:
                seen = await processor.fetch_refund(refund.reference)
                return Unknown("the processor no longer shows the refund") if seen is None else seen.outcome
            return await self._submit(processor, refund, order)
        except ProcessorUnavailable as error:
            return Unknown(str(error))

    async def _submit(self, processor: Processor, refund: Refund, order: providers.Refund) -> Outcome:
        """For the first time, or again: the same request with the same key as long as that tells, then by looking."""
        is_repeat = refund.state is RefundState.UNKNOWN
        refusal = NotMade("not_made", "The processor has no record of this refund.", again=True)
        assert refund.submit_time is not None, "it is claimed"
        if self.clock() - refund.submit_time < processor.key_life:
            outcome = await processor.refund(order)
            if isinstance(outcome, NotMade) and is_repeat:
                refusal = outcome  # of this repeat; what the first request led to is another question
            elif not (isinstance(outcome, Unknown) and outcome.repeats):
                return outcome
        found = await processor.look_up_refund(order)
        return refusal if found is None else found.outcome

    def _ask_time(self, refund: Refund, now: datetime) -> datetime | None:
        match refund.state:
            case RefundState.SUBMITTING | RefundState.UNKNOWN:
                return now + delay(self.pace.unknown, refund.tries)
            case RefundState.PENDING:
                return now + self.pace.open_poll
        return None


def _is_lost(before: Refund, after: Refund, outcome: Outcome) -> bool:
    """Whether the processor has no record of the request, so that another one may do better."""
    has_failed = after.state is RefundState.FAILED and before.state is not after.state
    is_again = isinstance(outcome, NotMade) and outcome.again
    return has_failed and is_again and after.key_generation < MOST_AUTOMATIC_ATTEMPTS
