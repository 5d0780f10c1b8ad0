"""Hearing: what a webhook is about is fetched from the processor, and what is seen there is recorded.

What the event itself says is not relied on where the processor can be asked; order and number of events do not matter.
"""

from dataclasses import dataclass
from typing import Protocol

import structlog

from libs.common.clock import Clock
from libs.common.money import Money
from libs.common.postgres import Pool
from services.payments.accounts import Accounts
from services.payments.collection import Collection
from services.payments.disputing import Disputing
from services.payments.domain.attempt import CLOSED, Attempt, AttemptState, Declined, RequiresAction, Unknown
from services.payments.domain.payment import Payment, delay
from services.payments.domain.refund import Refund, parsed_name
from services.payments.domain.webhook import WebhookEvent
from services.payments.pace import Pace
from services.payments.providers import (
    Event,
    Processor,
    ProcessorUnavailable,
    RefundSighting,
    Sighting,
    Subject,
)
from services.payments.providers.disputes import told
from services.payments.refunding import Refunding
from services.payments.saving import Saving
from services.payments.store import attempts, events, payments, refunds

log = structlog.get_logger()

SKIMMED = 1_000
"""Events in one look."""


class _NotYet(Exception):
    """The event can't be applied now: it may outrun our own commit, or the processor does not tell."""


class _Contradiction(Exception):
    """The event can never be applied."""


@dataclass(frozen=True, slots=True)
class Hearing:
    pool: Pool
    accounts: Accounts
    collection: Collection
    refunding: Refunding
    saving: Saving
    disputing: Disputing
    clock: Clock
    pace: Pace

    async def skim(self) -> bool:
        """Have done, many at once, with events that tell nothing new. Whether there may be more of them."""
        async with self.pool.acquire() as conn:
            seen, concluded = await events.process_known(conn, self.clock(), SKIMMED)
        return seen == SKIMMED and concluded > 0

    async def hear(self, event: WebhookEvent) -> None:
        """Look at what a claimed event is about."""
        try:
            if event.reference and event.subject in _LISTENERS:
                processor = await self.accounts.get(event.tenant_id, event.processor_account_id)
                await _LISTENERS[event.subject](self, processor, event)
        except ProcessorUnavailable as error:
            await self._postpone(event, str(error))
        except _NotYet as error:
            if self.clock() - event.receive_time < self.pace.event_patience:
                await self._postpone(event, str(error))
            else:
                await self._park(event, str(error))
        except _Contradiction as error:
            await self._park(event, str(error))
        else:
            async with self.pool.acquire() as conn:
                await events.process(conn, event, self.clock())

    async def _hear_of_charge(self, processor: Processor, event: WebhookEvent) -> None:
        async with self.pool.acquire() as conn:
            known = await attempts.find_by_reference(conn, event.tenant_id, event.processor_account_id, event.reference)
        if known is not None and known.state is AttemptState.SUCCEEDED:
            return
        sighting = await processor.sight(_told(event))
        if not isinstance(sighting, Sighting):
            raise _NotYet("the processor knows no such charge")
        if not sighting.payment_id:
            return
        async with self.pool.acquire() as conn:
            payment = await payments.find(conn, event.tenant_id, sighting.payment_id)
            attempt = await attempts.find(conn, event.tenant_id, sighting.payment_id, sighting.number)
        if payment is None or attempt is None or attempt.processor_account_id != event.processor_account_id:
            raise _NotYet(f"no attempt of ours made {sighting.reference}")
        if attempt.is_open_page and isinstance(sighting.outcome, Declined | RequiresAction):
            return  # the customer may try again there
        _require_told(sighting)
        _require_agrees(payment, attempt, sighting)
        await self.collection.record(attempt, sighting.outcome)

    async def _hear_of_refund(self, processor: Processor, event: WebhookEvent) -> None:
        sighting = await processor.sight(_told(event))
        if not isinstance(sighting, RefundSighting):
            raise _NotYet("the processor knows no such refund")
        if not sighting.refund_id:
            return
        refund_id, generation = parsed_name(sighting.refund_id)
        async with self.pool.acquire() as conn:
            refund = await refunds.find(conn, event.tenant_id, refund_id)
            account_id = (await refunds.find_order(conn, refund))[0] if refund and refund.attempt_number else ""
        if refund is None or account_id != event.processor_account_id:
            raise _NotYet(f"no refund of ours is {sighting.reference}")
        _require_told(sighting)
        if generation == refund.key_generation:
            _require_same_refund(refund, sighting)
            await self.refunding.record(refund, sighting.outcome)

    async def _hear_of_dispute(self, processor: Processor, event: WebhookEvent) -> None:
        """The event says it all: a dispute is not asked for, and its charge is one of ours or nobody's here."""
        async with self.pool.acquire() as conn:
            known = await attempts.find_by_reference(conn, event.tenant_id, event.processor_account_id, event.reference)
        if known is None or known.state not in CLOSED:
            raise _NotYet(f"no charge that we know collected is {event.reference}")
        if known.state is AttemptState.SUCCEEDED:  # otherwise it was taken back before it was known to be there
            await self.disputing.record(known, told(event.type, event.body))

    async def _hear_of_method(self, processor: Processor, event: WebhookEvent) -> None:
        """A customer of ours has saved it on a page; of somebody else's customers nothing is known here."""
        await self.saving.adopt(event)

    async def _postpone(self, event: WebhookEvent, cause: str) -> None:
        due_time = self.clock() + delay(self.pace.event, event.tries - 1)
        async with self.pool.acquire() as conn:
            await events.postpone(conn, event, cause, due_time)

    async def _park(self, event: WebhookEvent, cause: str) -> None:
        log.warning("webhook parked", tenant=event.tenant_id, webhook=event.id, type=event.type, cause=cause)
        async with self.pool.acquire() as conn:
            await events.park(conn, event, cause)


class _Listener(Protocol):
    async def __call__(self, hearing: Hearing, processor: Processor, event: WebhookEvent, /) -> None: ...


_LISTENERS: dict[str, _Listener] = {
    Subject.CHARGE: Hearing._hear_of_charge,
    Subject.REFUND: Hearing._hear_of_refund,
    Subject.METHOD: Hearing._hear_of_method,
    Subject.DISPUTE: Hearing._hear_of_dispute,
}


def _told(event: WebhookEvent) -> Event:
    return Event(event.id, event.type, Subject(event.subject), event.reference, event.body, event.customer_reference)


def _require_told(sighting: Sighting | RefundSighting) -> None:
    if isinstance(sighting.outcome, Unknown):
        raise _NotYet(sighting.outcome.cause)


def _require_agrees(payment: Payment, attempt: Attempt, sighting: Sighting) -> None:
    """A charge that claims to be this attempt must be able to be it."""
    if attempt.reference not in ("", sighting.reference):
        raise _Contradiction(f"{sighting.reference} claims to be the attempt that made {attempt.reference}")
    asked = Money(attempt.minor_units, payment.amount.currency)
    if (sighting.amount, sighting.currency) != (asked.amount, asked.currency):
        raise _Contradiction(
            f"{sighting.reference} is over {sighting.amount} {sighting.currency}, the attempt over {asked}"
        )


def _require_same_refund(refund: Refund, sighting: RefundSighting) -> None:
    if refund.reference not in ("", sighting.reference):
        raise _Contradiction(f"{sighting.reference} claims to be the refund that made {refund.reference}")
    if (sighting.amount, sighting.currency) != (refund.amount.amount, refund.amount.currency):
        raise _Contradiction(
            f"{sighting.reference} is over {sighting.amount} {sighting.currency}, the refund over {refund.amount}"
        )
