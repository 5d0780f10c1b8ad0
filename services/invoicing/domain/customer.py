"""Who is billed, and for what."""

from dataclasses import dataclass
from datetime import datetime

from services.invoicing.domain.period import Period


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
    """A customer's agreement to a plan version, billed a `current_period` at a time, when that has ended."""

    id: str
    customer_id: str
    plan_code: str
    plan_version: int
    start_time: datetime
    current_period: Period
    create_time: datetime


@dataclass(frozen=True, slots=True)
class DueSubscription:
    """What a billing run needs of a subscription whose current period has ended. `failures` are tries in a row."""

    id: str
    customer_id: str
    plan_code: str
    plan_version: int
    period: Period
    time_zone: str
    failures: int
