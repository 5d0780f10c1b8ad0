"""Money given back of one charge: what a processor can say about it, and where that leads.

    SUBMITTING ──> UNKNOWN ──> PENDING ──> SUCCEEDED ──> FAILED

A refund moves to the right, over as many states as the news is ahead: a bank may send money back weeks after the refund
succeeded. What failed without the processor having made anything of it may yet turn out to be made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.payments.domain.attempt import (
    Attempt,
    AttemptState,
    Declined,
    NotMade,
    Outcome,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
)
from services.payments.domain.payment import Payment


class RefundState(StrEnum):
    SUBMITTING = "SUBMITTING"
    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


_ORDER = tuple(RefundState)


@dataclass(frozen=True, slots=True)
class Refund:
    """`attempt_number` is of the charge that is given back of; None where the money went back by hand, with
    `manual_reference`. `key_generation` is part of the idempotency key, and `submit_time` begins that key's life;
    `revision` grows with each change of state, and invoicing is told about revisions.
    """

    tenant_id: str
    id: str
    payment_id: str
    invoice_id: str
    attempt_number: int | None
    credit_note_id: str
    reason: str
    manual_reference: str
    amount: Money
    state: RefundState
    key_generation: int
    submit_time: datetime | None
    reference: str
    failure_code: str
    failure_message: str
    tries: int
    revision: int
    create_time: datetime

    @property
    def idempotency_key(self) -> str:
        """The same for every repeat of the request, another once the processor is known not to have carried it out."""
        return f"refund:{self.tenant_id}:{self.name}"

    @property
    def name(self) -> str:
        """What the processor knows this request for the refund by."""
        return f"{self.id}-{self.key_generation}"


def parsed_name(name: str) -> tuple[str, int]:
    """The refund's id and key generation; the latter is 0 in what is no name."""
    refund_id, _, generation = name.partition("-")
    return refund_id, int(generation) if generation.isascii() and generation.isdigit() else 0


def charge_to_refund(payment: Payment, attempts: Sequence[Attempt], amount: Money) -> Attempt:
    """The newest charge of the payment that has `amount` left. Raises FailedPrecondition REFUND_EXCEEDS_PAID."""
    left = {each.number: each.minor_units - each.refunded_minor for each in attempts if _is_charged(each)}
    for attempt in reversed(attempts):
        if left.get(attempt.number, 0) >= amount.minor_units:
            return attempt
    raise exceeds(payment, Money(max(left.values(), default=0), payment.amount.currency))


def exceeds(payment: Payment, refundable: Money) -> FailedPrecondition:
    return FailedPrecondition(
        "REFUND_EXCEEDS_PAID",
        f"{refundable} of payment {payment.id} can be given back in this way",
        payment_id=payment.id,
        refundable_minor_units=str(refundable.minor_units),
    )


def moved(refund: Refund, outcome: Outcome) -> Refund:
    """The refund with what `outcome` adds to it; unchanged where that is old news."""
    news = _observed(outcome)
    was_made_after_all = refund.state is RefundState.FAILED and not refund.reference and news is not RefundState.UNKNOWN
    if _ORDER.index(news) <= _ORDER.index(refund.state) and not was_made_after_all:
        return refund
    after = replace(refund, state=news, failure_code="", failure_message="")
    match outcome:
        case Succeeded(reference) | Pending(reference) | RequiresAction(reference):
            return replace(after, reference=reference)
        case Declined(reference, code, message):
            return replace(after, reference=reference or refund.reference, failure_code=code, failure_message=message)
        case NotMade(code, message):
            return replace(after, failure_code=code, failure_message=message)
        case Unknown():
            return after


def _observed(outcome: Outcome) -> RefundState:
    match outcome:
        case Succeeded():
            return RefundState.SUCCEEDED
        case Pending() | RequiresAction():
            return RefundState.PENDING
        case Declined() | NotMade():
            return RefundState.FAILED
        case Unknown():
            return RefundState.UNKNOWN


def _is_charged(attempt: Attempt) -> bool:
    return attempt.state is AttemptState.SUCCEEDED
