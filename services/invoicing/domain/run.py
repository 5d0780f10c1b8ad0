"""Billing runs, and when to try again what failed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

BILL, HAND_OVER, REFUND, CONCLUDE = "bill", "hand_over", "refund", "conclude"
TELL_METERING, REPLAY, PROVE = "tell_metering", "replay", "prove"
"""The worker's sweeps, by the names that the alarm rings."""

MAX_RETRY_DELAY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class BillingFailure:
    """Why a subscription's last try failed, and when it is tried again, in real time."""

    subscription_id: str
    reason: str
    message: str
    retry_time: datetime


@dataclass(frozen=True, slots=True)
class BillingRun:
    """One pass over the subscriptions that fall due up to `as_of` on the tenant's clock. The other times are real.

    `due_count` subscriptions have a period left to bill, `finalized_count` invoices are done; `failures` are at most
    100 of the last tries that failed. It `is_drained` when nothing but what failed is left.
    """

    id: str
    as_of: datetime
    create_time: datetime
    complete_time: datetime | None
    due_count: int
    finalized_count: int
    failures: tuple[BillingFailure, ...]
    is_drained: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What a run did while the test clock stood at `time`."""

    time: datetime
    made_count: int
    finalized_count: int
    failed_count: int


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run under way: it bills what falls due after `after`, where the tenant's run before it ends, up to `until`,
    where it ends itself or the test clock stands.
    """

    tenant_id: str
    id: str
    after: datetime | None
    until: datetime


def retry_delay(failures: int) -> timedelta:
    """How long to wait after the `failures`-th failure in a row: a second, doubled each time, up to five minutes."""
    return min(timedelta(seconds=2 ** min(failures - 1, 10)), MAX_RETRY_DELAY)
