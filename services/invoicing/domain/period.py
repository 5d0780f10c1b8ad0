"""Billing periods: calendar months of the customer's time zone, as half-open stretches of UTC.

A month begins at the first instant that the zone's clocks date on its first day. Where that midnight does not exist
(daylight saving begins then), the month begins when the clocks jump; where it happens twice, at the first of the two.
So the months of a zone tile time, and those that daylight saving ends in are an hour longer than others.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Billing happens between these; metering takes no event before the first either."""

_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end), in UTC, not empty."""

    start: datetime
    end: datetime


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone that `name` is known to be."""
    return ZoneInfo(name)


def is_time_zone(name: str) -> bool:
    return name in _time_zones()


def first_period(start_time: datetime, tz: ZoneInfo) -> Period:
    """What a subscription that begins at `start_time` is billed first: the rest of that month."""
    return Period(start_time, month_of(start_time, tz).end)


def following(period: Period, tz: ZoneInfo) -> Period:
    """The period that begins where `period` ends."""
    return first_period(period.end, tz)


def month_of(instant: datetime, tz: ZoneInfo) -> Period:
    """The whole month of `tz` that `instant` is in."""
    local = instant.astimezone(tz)
    month = local.year * 12 + local.month - 1
    while (end := _month_start(month + 1, tz)) <= instant:  # clocks set back over midnight date it in the month before
        month += 1
    return Period(_month_start(month, tz), end)


def local_date(instant: datetime, tz: ZoneInfo) -> date:
    return instant.astimezone(tz).date()


def days_in(period: Period, tz: ZoneInfo) -> tuple[int, int]:
    """(days of `period`, days of the whole month it lies in), as the calendar of `tz` counts them.

    A day that is only partly in the period counts in full: who starts at noon on the 15th is billed for the 15th.
    """
    month = month_of(period.start, tz)
    first, after = local_date(month.start, tz), local_date(month.end, tz)
    begun = max(local_date(period.start, tz), first)
    ended = min(local_date(period.end - _INSTANT, tz), after - _DAY)
    return (ended - begun + _DAY).days, (after - first).days


def _month_start(month: int, tz: ZoneInfo) -> datetime:
    """`month` counts from January of the year 0."""
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=tz).astimezone(UTC)


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
