"""The collection of one invoice: which state its attempts put it in.

AWAITING_METHOD ──> PENDING ──> PROCESSING ──┬──> SUCCEEDED
                       ^                     ├──> FAILED ───────────┐
                       │                     └──> REQUIRES_ACTION ──┤
                       └────────────────── retried ─────────────────┘

All but PROCESSING and SUCCEEDED can be CANCELED by invoicing, and go on from there when it asks again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from libs.common.money import Money
from services.payments.domain.attempt import UNDER_WAY, AttemptState, NotMade, Outcome
from services.payments.domain.condition import Facts
from services.payments.domain.routing import Failover


class PaymentState(StrEnum):
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    AWAITING_METHOD = "AWAITING_METHOD"
    CANCELED = "CANCELED"


CANCELABLE = frozenset(PaymentState) - {PaymentState.PROCESSING, PaymentState.SUCCEEDED}
RETRIABLE = frozenset({PaymentState.FAILED, PaymentState.REQUIRES_ACTION})

MOST_AUTOMATIC_ATTEMPTS = 5
"""After so many attempts a payment whose requests the processor loses waits for a person."""

_CONCLUSIONS = {
    AttemptState.DECLINED: PaymentState.FAILED,
    AttemptState.REQUIRES_ACTION: PaymentState.REQUIRES_ACTION,
}


@dataclass(frozen=True, slots=True)
class Payment:
    """`revision` grows with each change that invoicing is told of. `version` is invoicing's, and grows each time it
    changes what it asks for. `amount` is what is to be collected in all; `charged_minor` was by processors and
    `manual_minor` past them, and `refunded_minor` of both was given back, or is being given back. `failover` says why
    the next attempt is to take over from the last one.
    """

    tenant_id: str
    id: str
    invoice_id: str
    invoice_number: str
    customer_id: str
    amount: Money
    state: PaymentState
    revision: int
    create_time: datetime
    version: int = 0
    charged_minor: int = 0
    manual_minor: int = 0
    refunded_minor: int = 0
    country_code: str = ""
    segment: str = ""
    failover: Failover | None = None
    disputed_minor: int = 0
    """What banks have taken back."""

    @property
    def facts(self) -> Facts:
        """What rules look at."""
        return Facts(self.amount.currency, self.due.minor_units, self.country_code, self.segment)

    @property
    def paid(self) -> Money:
        """What was collected; what was given back since is not taken off."""
        return Money(self.charged_minor + self.manual_minor, self.amount.currency)

    @property
    def due(self) -> Money:
        return Money(max(self.amount.minor_units - self.paid.minor_units, 0), self.amount.currency)

    @property
    def refundable(self) -> Money:
        return self.paid - Money(self.refunded_minor, self.amount.currency)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to collect an invoice, with the `payment` that is recorded where there is none yet."""

    payment: Payment
    request_id: UUID
    request_hash: bytes


def after_attempt(
    state: PaymentState, attempt: AttemptState, outcome: Outcome, number: int, *, is_paid: bool = True
) -> PaymentState:
    """The payment's state once its attempt `number` has come to `attempt` by `outcome`; `is_paid` when a success leaves
    nothing to collect.

    A payment that waits for its next attempt (it was retried) is not failed by news of the one before; it is collected
    by it, or held up by it.
    """
    if attempt is AttemptState.SUCCEEDED and is_paid:
        return PaymentState.SUCCEEDED
    if state in (PaymentState.SUCCEEDED, PaymentState.CANCELED):
        return state
    if attempt is AttemptState.SUCCEEDED:
        return PaymentState.PENDING
    if attempt in UNDER_WAY:
        return PaymentState.PROCESSING
    if state in (PaymentState.PENDING, PaymentState.AWAITING_METHOD):
        return state
    if isinstance(outcome, NotMade) and outcome.again and number < MOST_AUTOMATIC_ATTEMPTS:
        return PaymentState.PENDING
    return _CONCLUSIONS[attempt]


def delay(schedule: Sequence[timedelta], tries: int) -> timedelta:
    """How long to wait after `tries` tries; the last step of `schedule` repeats for ever."""
    return schedule[min(tries, len(schedule) - 1)]
