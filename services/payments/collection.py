"""Collecting: an attempt is recorded, then the processor is asked, then its answer is recorded (law 9).

Whatever is learned of a charge, from the answer, by asking again or after a webhook, comes to `record`, which moves
the attempt forward under the payment's lock. So answers may come twice, late and in any order.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Conn, Pool
from services.payments import routing
from services.payments.accounts import Accounts
from services.payments.domain.attempt import (
    CLOSED,
    UNDER_WAY,
    Attempt,
    AttemptState,
    Declined,
    NotMade,
    Outcome,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
    advance,
    idempotency_key,
)
from services.payments.domain.page import CLOSED_CODE as PAGE_CLOSED
from services.payments.domain.payment import CANCELABLE, Payment, PaymentState, after_attempt, delay
from services.payments.pace import Pace
from services.payments.providers import Charge, Processor, ProcessorUnavailable, Sighting
from services.payments.routing import Route
from services.payments.store import attempts, methods, payment_pages, payments, receipts

log = structlog.get_logger()

_TURNED_AWAY = frozenset({PaymentState.FAILED, PaymentState.PENDING})
"""Where an attempt that has not charged leaves its payment."""


@dataclass(frozen=True, slots=True)
class Collection:
    pool: Pool
    accounts: Accounts
    clock: Clock
    pace: Pace

    async def charge(self, payment: Payment) -> None:
        """Make the next attempt of a claimed payment."""
        if not await self.close_last(payment):
            return
        async with self.pool.acquire() as conn, conn.transaction():
            begun = await self._begin(conn, payment)
        if begun is None:
            return
        attempt, charge, taken = begun
        processor = await self.accounts.get(attempt.tenant_id, attempt.processor_account_id)
        outcome = await processor.charge(charge)
        await routing.observe(self.pool, attempt, outcome, taken, self.clock())
        await self.record(attempt, outcome)

    async def cancel(self, asked: Payment) -> Payment | None:
        """The invoice's payment, canceled as of `asked.version`; None where that can't be done, or not now."""
        async with self.pool.acquire() as conn:
            found = await payments.find_of_invoice(conn, asked.tenant_id, asked.invoice_id)
            if found is None and await payments.insert_canceled(conn, asked):
                return asked
            found = found or await payments.find_of_invoice(conn, asked.tenant_id, asked.invoice_id)
        assert found is not None, "payments are never deleted"
        if found.state is PaymentState.CANCELED:
            return found if found.version >= asked.version else await self._take_back(found, asked.version)
        if found.state not in CANCELABLE or found.version >= asked.version or not await self.close_last(found):
            return None
        return await self._take_back(found, asked.version)

    async def _take_back(self, payment: Payment, version: int) -> Payment | None:
        """Its last attempt is closed, unless somebody has begun another one meanwhile. What was paid of it must have
        been told before: who asks for the rest then must know.
        """
        async with self.pool.acquire() as conn, conn.transaction():
            current = await payments.lock(conn, payment.tenant_id, payment.id)
            last = await attempts.find_last(conn, payment.tenant_id, payment.id)
            assert current is not None, "payments are never deleted"
            is_closed = last is None or last.state in CLOSED
            if current.state not in CANCELABLE or current.version >= version or not is_closed:
                return None
            if current.paid.minor_units and not await payments.is_reported(conn, current):
                return None
            taken_back = replace(current, state=PaymentState.CANCELED, version=version)
            await payments.set_asked(conn, taken_back)
            await payments.set_state(conn, current, PaymentState.CANCELED, self.clock())
        return taken_back

    async def resolve(self, attempt: Attempt) -> None:
        """Learn what has become of a claimed attempt, by asking about it or by repeating the very same request."""
        if attempt.is_open_page:
            if not await self._page_is_over(attempt):
                await self.record(attempt, Unknown("somebody seems to have paid on the page"))
            return
        processor = await self.accounts.get(attempt.tenant_id, attempt.processor_account_id)
        try:
            if attempt.reference:
                outcome = _outcome_of(await processor.fetch(attempt.reference))
            else:
                async with self.pool.acquire() as conn:
                    charge = await attempts.find_charge(conn, attempt.tenant_id, attempt.payment_id, attempt.number)
                outcome = await self._ask_again(processor, charge)
        except ProcessorUnavailable as error:
            outcome = Unknown(str(error))
        await self.record(attempt, outcome)

    async def close_last(self, payment: Payment) -> bool:
        """Whether the payment's last attempt can never succeed any more, so that the next one may begin."""
        async with self.pool.acquire() as conn:
            last = await attempts.find_last(conn, payment.tenant_id, payment.id)
        if last is None or last.state is AttemptState.SUCCEEDED:
            return True
        if last.is_open_page:
            return await self._page_is_over(last)
        if not last.reference:
            return last.state in CLOSED
        processor = await self.accounts.get(last.tenant_id, last.processor_account_id)
        try:
            outcome = await processor.cancel(last.reference)
        except ProcessorUnavailable as error:
            log.warning("charge not canceled yet", tenant=payment.tenant_id, payment=payment.id, cause=str(error))
            return False
        await self.record(last, outcome)
        return isinstance(outcome, Declined)

    async def close_page(self, attempt: Attempt) -> bool:
        """Whether nobody has paid on the page of `attempt`, nor can any more. Where somebody may have, the charge is
        looked for. Raises ProcessorUnavailable.
        """
        processor = await self.accounts.get(attempt.tenant_id, attempt.processor_account_id)
        async with self.pool.acquire() as conn:
            page = await payment_pages.find_of_attempt(conn, attempt.tenant_id, attempt.payment_id, attempt.number)
            charge = await attempts.find_charge(conn, attempt.tenant_id, attempt.payment_id, attempt.number)
        if not page.reference or await processor.close_page(page.reference):
            await self.record(attempt, Declined("", PAGE_CLOSED, "The customer has not paid on the page."))
            return True
        if (found := await processor.look_up(charge)) is not None:
            await self.record(attempt, found.outcome)
        return False

    async def _page_is_over(self, attempt: Attempt) -> bool:
        try:
            return await self.close_page(attempt)
        except ProcessorUnavailable as error:
            log.warning("page not closed yet", tenant=attempt.tenant_id, payment=attempt.payment_id, cause=str(error))
            return False

    async def _begin(self, conn: Conn, payment: Payment) -> tuple[Attempt, Charge, Route] | None:
        """Record the next attempt; None where the payment has gone another way, or nothing can be charged now."""
        now = self.clock()
        await methods.lock_customer(conn, payment.tenant_id, payment.customer_id)
        current = await payments.lock(conn, payment.tenant_id, payment.id)
        last = await attempts.find_last(conn, payment.tenant_id, payment.id)
        if current is None or current.state is not PaymentState.PENDING or (last and last.state in UNDER_WAY):
            return None
        taken = await routing.route(conn, current, last, now, self.pace.lease)
        if (method := taken.method) is None:
            await _wait(conn, current, taken, now)
            return None
        number = last.number + 1 if last else 1
        attempt = Attempt(
            tenant_id=payment.tenant_id,
            payment_id=payment.id,
            number=number,
            payment_method_id=method.id,
            processor_account_id=method.processor_account_id,
            state=AttemptState.SUBMITTING,
            idempotency_key=idempotency_key(payment.tenant_id, payment.id, number),
            reference="",
            decline_code="",
            decline_message="",
            tries=0,
            create_time=now,
            minor_units=current.due.minor_units,
            decision=taken.decision,
        )
        await attempts.insert(conn, attempt, now + self.pace.lease)
        await payments.set_state(conn, current, PaymentState.PROCESSING, now)
        return attempt, await attempts.find_charge(conn, payment.tenant_id, payment.id, number), taken

    async def _ask_again(self, processor: Processor, charge: Charge) -> Outcome:
        """Raises ProcessorUnavailable."""
        refusal = NotMade("not_made", "The processor has no record of this charge.", again=True)
        if self.clock() - charge.create_time < processor.key_life:
            outcome = await processor.charge(charge)
            if isinstance(outcome, NotMade):
                refusal = outcome  # of this repeat; what the first request led to is another question
            elif not (isinstance(outcome, Unknown) and outcome.repeats):
                return outcome
        found = await processor.look_up(charge)
        return refusal if found is None else found.outcome

    async def record(self, attempt: Attempt, outcome: Outcome) -> None:
        async with self.pool.acquire() as conn, conn.transaction():
            payment = await payments.lock(conn, attempt.tenant_id, attempt.payment_id)
            before = await attempts.lock(conn, attempt.tenant_id, attempt.payment_id, attempt.number)
            assert payment is not None, "payments are never deleted"
            assert before is not None, "attempts are never deleted"
            after = _moved(before, outcome)
            now = self.clock()
            await attempts.save(conn, before, after, self._ask_time(after, now))
            if after.state is before.state:
                return
            if after.state is AttemptState.SUCCEEDED:
                await payments.add_charged(conn, payment, after.minor_units, now)
                await receipts.issue(conn, payment, after.minor_units, now, attempt_number=after.number)
                payment = replace(payment, charged_minor=payment.charged_minor + after.minor_units)
            state = after_attempt(
                payment.state, after.state, outcome, after.number, is_paid=not payment.due.minor_units
            )
            failover = None
            if payment.state is PaymentState.PROCESSING and state in _TURNED_AWAY:
                failover = await routing.detour(conn, payment, after, outcome, now)
            if failover is not None:
                await payments.set_state(conn, payment, PaymentState.PENDING, now, now, failover)
            elif state is not payment.state:
                due_time = now + delay(self.pace.lost, after.number - 1) if state is PaymentState.PENDING else None
                await payments.set_state(conn, payment, state, now, due_time)
        log.info(
            "attempt moved",
            tenant=after.tenant_id,
            payment=after.payment_id,
            attempt=after.number,
            state=after.state,
            cause=outcome.cause if isinstance(outcome, Unknown) else after.decline_code,
        )

    def _ask_time(self, attempt: Attempt, now: datetime) -> datetime | None:
        """When to ask the processor about the attempt, unless it tells before."""
        match attempt.state:
            case AttemptState.SUBMITTING:
                return now + self.pace.lease
            case AttemptState.UNKNOWN:
                return now + delay(self.pace.unknown, attempt.tries)
            case AttemptState.PENDING | AttemptState.REQUIRES_ACTION:
                return now + self.pace.open_poll
        return None


async def _wait(conn: Conn, payment: Payment, found: Route, now: datetime) -> None:
    """What becomes of a payment that can't be charged now."""
    if not found.has_methods:
        await payments.set_state(conn, payment, PaymentState.AWAITING_METHOD, now)
    elif found.until is None:
        await payments.set_state(conn, payment, PaymentState.FAILED, now)
    else:
        log.warning("payment waits", tenant=payment.tenant_id, payment=payment.id, cause=found.reason)
        await payments.set_due_time(conn, payment, found.until)


def _outcome_of(sighting: Sighting | None) -> Outcome:
    return Unknown("the processor no longer shows the charge") if sighting is None else sighting.outcome


def _moved(attempt: Attempt, outcome: Outcome) -> Attempt:
    """The attempt with what `outcome` adds to it; unchanged where that is old news."""
    state = advance(attempt.state, outcome)
    if state is attempt.state:
        return attempt
    moved = replace(attempt, state=state, decline_code="", decline_message="", advice_code="")
    match outcome:
        case Succeeded(reference) | Pending(reference):
            return replace(moved, reference=reference)
        case RequiresAction(reference, code, message):
            return replace(moved, reference=reference, decline_code=code, decline_message=message)
        case Declined(reference, code, message, told):
            return replace(moved, reference=reference, decline_code=code, decline_message=message, advice_code=told)
        case NotMade(code, message):
            return replace(moved, decline_code=code, decline_message=message)
        case Unknown():
            return moved
