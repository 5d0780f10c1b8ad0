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

from libs.common.money import Money
from services.payments.domain.attempt import UNDER_WAY, AttemptState, NotMade, Outcome


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
    AttemptState.SUCCEEDED: PaymentState.SUCCEEDED,
    AttemptState.DECLINED: PaymentState.FAILED,
    AttemptState.REQUIRES_ACTION: PaymentState.REQUIRES_ACTION,
}


@dataclass(frozen=True, slots=True)
class Payment:
    """`revision` grows with each change of state; invoicing is told about revisions. `version` is invoicing's, and
    grows each time it changes what it asks for.
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


def after_attempt(payment: PaymentState, attempt: AttemptState, outcome: Outcome, number: int) -> PaymentState:
    """The payment's state once its attempt `number` has come to `attempt` by `outcome`.

    A payment that waits for its next attempt (it was retried) is not failed by news of the one before; it is collected
    by it, or held up by it.
    """
    if payment is PaymentState.SUCCEEDED or (
        payment is PaymentState.CANCELED and attempt is not AttemptState.SUCCEEDED
    ):
        return payment
    if attempt in UNDER_WAY:
        return PaymentState.PROCESSING
    if payment in (PaymentState.PENDING, PaymentState.AWAITING_METHOD) and attempt is not AttemptState.SUCCEEDED:
        return payment
    if isinstance(outcome, NotMade) and outcome.again and number < MOST_AUTOMATIC_ATTEMPTS:
        return PaymentState.PENDING
    return _CONCLUSIONS[attempt]


def delay(schedule: Sequence[timedelta], tries: int) -> timedelta:
    """How long to wait after `tries` tries; the last step of `schedule` repeats for ever."""
    return schedule[min(tries, len(schedule) - 1)]
