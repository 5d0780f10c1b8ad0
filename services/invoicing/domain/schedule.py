"""Billing periods: weeks and months of the customer's calendar, as half-open stretches of UTC that tile time.

A period begins at the first instant that the zone's clocks date on its first day. Where that midnight does not exist
(daylight saving begins then), it begins when the clocks jump; where it happens twice, at the first of the two. So a
period that daylight saving ends in is an hour longer than others, and has as many days.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from services.invoicing.domain.period import Calendar, Period, day_from, day_of, day_start, local_date

_WEEK = timedelta(weeks=1)

PERIODS_KEPT = 8192
"""A run asks for the same few periods again and again."""


class BillingInterval(StrEnum):
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    SEMIANNUAL = "semiannual"
    YEARLY = "yearly"


class BillingTime(StrEnum):
    """Where periods begin."""

    CALENDAR = "calendar"
    """On Mondays, or on the first of January and every so many months later."""
    ANNIVERSARY = "anniversary"
    """On the day the subscription began; in a month that is too short, on its last day."""


_MONTHS = {
    BillingInterval.MONTHLY: 1,
    BillingInterval.QUARTERLY: 3,
    BillingInterval.SEMIANNUAL: 6,
    BillingInterval.YEARLY: 12,
}
_FIRST_MONDAY = date(2000, 1, 3)
_FIRST_JANUARY = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Periods of `interval` in the calendar of `tz`, one of which begins on `anchor`."""

    interval: BillingInterval
    anchor: date
    tz: Calendar

    def period_of(self, instant: datetime) -> Period:
        """The whole period that `instant` is in."""
        return _period_of(self, instant)

    def first_period(self, start_time: datetime) -> Period:
        """What a subscription that begins at `start_time` is billed first: the rest of that period."""
        return Period(start_time, self.period_of(start_time).end)

    def following(self, period: Period) -> Period:
        """The period that begins where `period` ends."""
        return self.first_period(period.end)

    def days_in(self, period: Period) -> tuple[int, int]:
        """(days of `period`, days of the whole period it begins in), as the calendar counts them.

        A day that is only partly in the period counts in full: who starts at noon on the 15th is billed for the 15th.
        """
        whole = self.period_of(period.start)
        first, begun = day_of(whole.start, self.tz), day_of(period.start, self.tz)
        return (day_from(period.end, self.tz) - begun).days, (day_from(whole.end, self.tz) - first).days

    def number_near(self, day: date) -> int:
        """Of a period that `day` is in, or of one beside it; the anchor's is 0."""
        if self.interval is BillingInterval.WEEKLY:
            return (day - self.anchor) // _WEEK
        months = (day.year - self.anchor.year) * 12 + day.month - self.anchor.month
        return months // _MONTHS[self.interval]

    def start(self, number: int) -> datetime:
        """Of a period; the anchor's is 0."""
        day = self._first_day(number)
        return day_start(day, self.tz)

    def _first_day(self, number: int) -> date:
        if self.interval is BillingInterval.WEEKLY:
            return self.anchor + number * _WEEK
        month = self.anchor.year * 12 + self.anchor.month - 1 + number * _MONTHS[self.interval]
        year, month = month // 12, month % 12 + 1
        return date(year, month, min(self.anchor.day, monthrange(year, month)[1]))


def months_between(start: datetime, later: datetime, tz: Calendar) -> int:
    """Whole months from one instant's day to another's; in a month that is too short, its last day completes one."""
    first, day = local_date(start, tz), local_date(later, tz)
    months = (day.year - first.year) * 12 + day.month - first.month
    return months - (day.day < min(first.day, monthrange(day.year, day.month)[1]))


@lru_cache(maxsize=PERIODS_KEPT)
def _period_of(periods: Schedule, instant: datetime) -> Period:
    number = periods.number_near(local_date(instant, periods.tz))
    while periods.start(number) > instant:
        number -= 1
    while (end := periods.start(number + 1)) <= instant:  # clocks set back over midnight date it in the period before
        number += 1
    return Period(periods.start(number), end)


def schedule(interval: BillingInterval, billing_time: BillingTime, start_time: datetime, tz: Calendar) -> Schedule:
    """That of a subscription, or a phase of one, whose anniversary is that of `start_time`."""
    if billing_time is BillingTime.ANNIVERSARY:
        return Schedule(interval, local_date(start_time, tz), tz)
    return Schedule(interval, _FIRST_MONDAY if interval is BillingInterval.WEEKLY else _FIRST_JANUARY, tz)
