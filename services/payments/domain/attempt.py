"""One try to charge one method: what a processor can say about it, and where that leads.

    SUBMITTING ──> UNKNOWN ──> REQUIRES_ACTION <──> PENDING ──> DECLINED ──> SUCCEEDED

An attempt moves to the right, over as many states as the news is ahead, and back only from PENDING to REQUIRES_ACTION.
DECLINED is not the end of the truth: what was collected after all is recorded, so that nobody charges again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from services.payments.domain.routing import Decision


class AttemptState(StrEnum):
    SUBMITTING = "SUBMITTING"
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    DECLINED = "DECLINED"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    UNKNOWN = "UNKNOWN"


UNDER_WAY = frozenset({AttemptState.SUBMITTING, AttemptState.PENDING, AttemptState.UNKNOWN})
"""Money may be moving: no other attempt of the payment may begin."""

CLOSED = frozenset({AttemptState.DECLINED, AttemptState.SUCCEEDED})

_ORDER = (
    AttemptState.SUBMITTING,
    AttemptState.UNKNOWN,
    AttemptState.REQUIRES_ACTION,
    AttemptState.PENDING,
    AttemptState.DECLINED,
    AttemptState.SUCCEEDED,
)
_BACK = AttemptState.PENDING, AttemptState.REQUIRES_ACTION


@dataclass(frozen=True, slots=True)
class Attempt:
    """`reference` is the processor's id of the charge, empty until known; `tries` counts how often it was asked.
    `payment_method_id` is "" where the customer pays on a page.
    """

    tenant_id: str
    payment_id: str
    number: int
    payment_method_id: str
    processor_account_id: str
    state: AttemptState
    idempotency_key: str
    reference: str
    decline_code: str
    decline_message: str
    tries: int
    create_time: datetime
    minor_units: int
    """Of the payment's currency: what was due when it began."""
    refunded_minor: int = 0
    decision: Decision | None = None
    advice_code: str = ""

    @property
    def is_open_page(self) -> bool:
        """The customer can pay on a page, and is not known to have."""
        return not self.payment_method_id and not self.reference and self.state not in CLOSED


@dataclass(frozen=True, slots=True)
class Succeeded:
    reference: str


@dataclass(frozen=True, slots=True)
class Pending:
    reference: str


@dataclass(frozen=True, slots=True)
class RequiresAction:
    reference: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Declined:
    """Not charged. `reference` is empty where the processor made no charge object. `advice` is what came with it, in
    the words of domain.advice.
    """

    reference: str
    code: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class NotMade:
    """The request was not carried out, and never will be under this key. `again`: another attempt may do better."""

    code: str
    message: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, or one that does not tell. `repeats`: the processor will answer the same under this key."""

    cause: str
    repeats: bool = False


Outcome: TypeAlias = Succeeded | Pending | RequiresAction | Declined | NotMade | Unknown


def observed(outcome: Outcome) -> AttemptState:
    """The state that `outcome` alone would mean."""
    match outcome:
        case Succeeded():
            return AttemptState.SUCCEEDED
        case Pending():
            return AttemptState.PENDING
        case RequiresAction():
            return AttemptState.REQUIRES_ACTION
        case Declined() | NotMade():
            return AttemptState.DECLINED
        case Unknown():
            return AttemptState.UNKNOWN


def advance(state: AttemptState, outcome: Outcome) -> AttemptState:
    """Where an attempt in `state` is once `outcome` is known. Late and repeated news leave it where it is."""
    news = observed(outcome)
    if _ORDER.index(news) > _ORDER.index(state) or (state, news) == _BACK:
        return news
    return state


def idempotency_key(tenant_id: str, payment_id: str, number: int) -> str:
    """What the processor knows the attempt by: the same for every repeat of it, another for every other attempt."""
    return f"pay:{tenant_id}:{payment_id}:{number}"
