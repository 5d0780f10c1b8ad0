"""Who is billed, and for what."""

from dataclasses import dataclass, replace
from datetime import datetime

from libs.common.errors import FailedPrecondition
from services.invoicing.domain.period import Period, zone
from services.invoicing.domain.schedule import BillingInterval, BillingTime, Schedule, schedule


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who is billed. `time_zone` is an IANA name: where the customer's days and months begin."""

    id: str
    name: str
    email: str
    time_zone: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer's agreement to a plan version, billed a `current_period` at a time, when that has ended.

    `is_opening` says that the current period's base fee is charged when it begins, and has not been yet. It ends at
    `end_time`, where its last period is cut; `is_closed` says that everything up to there is billed.
    `time_zone` is the customer's.
    """

    id: str
    customer_id: str
    plan_code: str
    plan_version: int
    billing_interval: BillingInterval
    billing_time: BillingTime
    start_time: datetime
    current_period: Period
    is_opening: bool
    create_time: datetime
    time_zone: str
    end_time: datetime | None = None
    is_closed: bool = False

    def due(self, time_zone: str) -> "DueSubscription":
        """What its next invoice is made from, for a customer of `time_zone`."""
        return DueSubscription(
            self.id,
            self.customer_id,
            self.plan_code,
            self.plan_version,
            self.billing_interval,
            self.billing_time,
            self.start_time,
            self.current_period,
            self.is_opening,
            self.end_time,
            time_zone,
            failures=0,
        )


@dataclass(frozen=True, slots=True)
class DueSubscription:
    """What a billing run needs of a subscription whose current period has ended, or if it `is_opening`, begun.

    `failures` are tries in a row.
    """

    id: str
    customer_id: str
    plan_code: str
    plan_version: int
    billing_interval: BillingInterval
    billing_time: BillingTime
    start_time: datetime
    period: Period
    is_opening: bool
    end_time: datetime | None
    time_zone: str
    failures: int

    @property
    def due_time(self) -> datetime:
        return self.period.start if self.is_opening else self.period.end

    @property
    def next_period(self) -> Period | None:
        """What is current once this is billed; None when nothing is left."""
        if self.is_opening:
            return self.period
        if self.period.end == self.end_time:
            return None
        return self.schedule.following(self.period).until(self.end_time)

    @property
    def schedule(self) -> Schedule:
        return schedule(self.billing_interval, self.billing_time, self.start_time, zone(self.time_zone))


def closed(found: Subscription) -> FailedPrecondition:
    return FailedPrecondition("SUBSCRIPTION_CLOSED", f"subscription {found.id} has ended, and is billed to its end")


def ended(found: Subscription, end_time: datetime, periods: Schedule) -> Subscription:
    """The subscription as it is once it is to end at `end_time`.

    Raises FailedPrecondition SUBSCRIPTION_CLOSED, and PERIOD_BILLED when it is billed beyond that already.
    """
    if found.is_closed:
        raise closed(found)
    begun = found.current_period.start
    if end_time < begun:
        raise FailedPrecondition(
            "PERIOD_BILLED",
            f"subscription {found.id} is billed up to {begun.isoformat()}; it can end then or later",
            billed_until=begun.isoformat(),
        )
    if end_time == begun:
        return replace(found, end_time=end_time, is_closed=True)
    return replace(found, end_time=end_time, current_period=periods.first_period(begun).until(end_time))
