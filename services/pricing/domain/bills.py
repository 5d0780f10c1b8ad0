"""The bills that a simulated period is made of, under a version of some billing interval.

A period costs what bills grow by in it. Where the version is billed within the period, these are its bills; where its
interval begins before the period or ends after it, that is a bill up to where the period ends, less one up to where
it begins. So the months of a yearly plan add up to what the year is invoiced for, and twelve monthly bills are a year.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from services.pricing.domain.calendar import Period, dates
from services.pricing.domain.intervals import first_day, months_between, whole
from services.pricing.domain.limits import Proration
from services.pricing.domain.plans import BillingInterval


@dataclass(frozen=True, slots=True)
class Span:
    """`period` is the part of `whole`, an interval of the calendar of `tz`, in which a contract runs that began at
    `start`.
    """

    start: datetime
    period: Period
    whole: Period
    tz: ZoneInfo
    proration: Proration | None = field(init=False)
    """None for all of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "proration", None if self.period == self.whole else self._days(self.period))

    @property
    def month(self) -> int:
        """Of the contract, in which the period begins; counted from 0."""
        return months_between(self.start, self.period.start, self.tz)

    def after_trial(self, days: int) -> Proration | None:
        """What of the interval a base fee is for; 0 days when the trial goes on. None for all of it."""
        end = self.start + timedelta(days=days)
        if end <= self.period.start:
            return self.proration
        if end >= self.period.end:
            return Proration(0, self._days(self.whole).period_days)
        return self._days(Period(end, self.period.end))

    def _days(self, part: Period) -> Proration:
        return Proration(dates(part, self.tz), dates(self.whole, self.tz))


@dataclass(frozen=True, slots=True)
class Bill:
    """What a contract comes to in `span`; if it `is_before`, what of another bill does not belong to the period."""

    span: Span
    is_before: bool = False


def bills(
    start: datetime, end: datetime | None, period: Period, interval: BillingInterval, tz: ZoneInfo
) -> Iterator[Bill]:
    """Of a contract of [start, end), for `period`, in order. None where it does not run in the period."""
    after = period.end if end is None else min(end, period.end)
    at = max(start, period.start)
    while at < after:
        full = whole(first_day(at.astimezone(tz).date(), interval), interval, tz)
        begun = max(start, full.start)
        yield Bill(Span(start, Period(begun, min(full.end, after)), full, tz))
        if begun < period.start:
            yield Bill(Span(start, Period(begun, period.start), full, tz), is_before=True)
        at = full.end
