"""Days of a time zone.

Days are counted by the clock on the wall: hours that daylight saving adds or takes make no day longer. Where a zone has
no midnight (daylight saving begins then), its first instant is the day's midnight.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

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


@cache
def time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def days(period: Period, tz: ZoneInfo) -> int:
    """How many days of 24 hours on the wall's clock, the last one rounded up. At least 1."""
    return max(-((_wall(period.start, tz) - _wall(period.end, tz)) // _DAY), 1)


def dates(period: Period, tz: ZoneInfo) -> int:
    """How many days of the calendar the period is in. For a period that begins or ends with a day that is `days`."""
    return ((period.end - _INSTANT).astimezone(tz).date() - period.start.astimezone(tz).date()).days + 1


def begin(day: date, tz: ZoneInfo) -> datetime:
    """Of a day."""
    return datetime.combine(day, time(), tz).astimezone(UTC)


def _wall(instant: datetime, tz: ZoneInfo) -> datetime:
    """What the clock shows, without its zone; midnight at the first instant of a day."""
    shown = instant.astimezone(tz)
    if (instant - _INSTANT).astimezone(tz).date() < shown.date():
        return datetime.combine(shown.date(), time())
    return shown.replace(tzinfo=None)
