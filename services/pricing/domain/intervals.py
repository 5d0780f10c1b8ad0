"""Billing intervals of the calendar of a time zone, and months of contracts."""

from calendar import monthrange
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.pricing.domain.calendar import Period, begin
from services.pricing.domain.plans import BillingInterval

_MONTHS = {
    BillingInterval.MONTHLY: 1,
    BillingInterval.QUARTERLY: 3,
    BillingInterval.SEMIANNUAL: 6,
    BillingInterval.YEARLY: 12,
}
_WEEK = timedelta(weeks=1)


def whole(first: date, interval: BillingInterval, tz: ZoneInfo) -> Period:
    """The interval of the calendar that begins on `first`, which `begins` one."""
    if interval is BillingInterval.WEEKLY:
        return Period(begin(first, tz), begin(first + _WEEK, tz))
    months = first.year * 12 + first.month - 1 + _MONTHS[interval]
    return Period(begin(first, tz), begin(date(months // 12, months % 12 + 1, 1), tz))


def first_day(day: date, interval: BillingInterval) -> date:
    """Of the interval of the calendar that `day` is in."""
    if interval is BillingInterval.WEEKLY:
        return day - timedelta(days=day.weekday())
    return date(day.year, day.month - (day.month - 1) % _MONTHS[interval], 1)


def begins(first: date, interval: BillingInterval) -> bool:
    """Whether an interval of the calendar begins then: weeks on Mondays, all else with the year."""
    return first_day(first, interval) == first


def months_between(start: datetime, later: datetime, tz: ZoneInfo) -> int:
    """Whole months from one instant's day to another's; in a month that is too short, its last day completes one."""
    first, day = start.astimezone(tz).date(), later.astimezone(tz).date()
    months = (day.year - first.year) * 12 + day.month - first.month
    return months - (day.day < min(first.day, monthrange(day.year, day.month)[1]))
