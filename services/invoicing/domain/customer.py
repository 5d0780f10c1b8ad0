"""Who is billed, and for what."""

from dataclasses import dataclass
from datetime import datetime

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

    `is_opening` says that the current period's base fee is charged when it begins, and has not been yet.
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
    time_zone: str
    failures: int

    @property
    def due_time(self) -> datetime:
        return self.period.start if self.is_opening else self.period.end

    @property
    def schedule(self) -> Schedule:
        return schedule(self.billing_interval, self.billing_time, self.start_time, zone(self.time_zone))
