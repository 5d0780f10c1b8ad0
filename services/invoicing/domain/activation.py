"""Subscriptions that wait for their first payment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class ActivationState(StrEnum):
    INCOMPLETE = "incomplete"
    ACTIVE = "active"
    CANCELED = "canceled"


class CancelReason(StrEnum):
    PAYMENT_FAILED = "payment_failed"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Activation:
    """The opening invoice is to be paid by `expire_time`; only what is canceled has a `cancel_reason`."""

    state: ActivationState
    payment_timeout: timedelta
    expire_time: datetime
    cancel_reason: CancelReason | None = None


@dataclass(frozen=True, slots=True)
class Overdue:
    """A subscription that is not paid in time, and its opening invoice, if that is made."""

    tenant_id: str
    subscription_id: str
    invoice_id: str | None
    reason: CancelReason
