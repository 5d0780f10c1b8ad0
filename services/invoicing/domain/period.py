"""Stretches of time, and the calendars whose days they are counted in."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo, available_timezones

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Billing happens between these; metering takes no event before the first either."""

INSTANT = timedelta(microseconds=1)
"""No time is told more precisely."""

_DAY = timedelta(days=1)

DAYS_KEPT = 8192
"""A run asks for the same few days again and again."""


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end), in UTC, not empty."""

    start: datetime
    end: datetime

    def until(self, instant: datetime | None) -> "Period":
        """What of it is before `instant`, which is after its start; all of it without one."""
        return self if instant is None or instant >= self.end else Period(self.start, instant)


@dataclass(frozen=True, slots=True)
class Moves:
    """The days of somebody who has moved: each of the `past` zones shows them up to an instant, then `zone` does.

    They tile time as a zone's days do. Where a move sets the date back, the day that has begun goes on until the next
    one begins; where it sets the date forward, the days between take no time.
    """

    past: tuple[tuple[ZoneInfo, datetime], ...]
    zone: ZoneInfo


Calendar: TypeAlias = ZoneInfo | Moves


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone that `name` is known to be."""
    return ZoneInfo(name)


def is_time_zone(name: str) -> bool:
    return name in _time_zones()


def zone_at(instant: datetime, tz: Calendar) -> ZoneInfo:
    """Whose clocks are looked at; at the instant of a move, those of before."""
    if isinstance(tz, ZoneInfo):
        return tz
    return next((past for past, until in tz.past if instant <= until), tz.zone)


@lru_cache(maxsize=DAYS_KEPT)
def day_start(day: date, tz: Calendar) -> datetime:
    """The first instant that the clocks date on `day`; where they skip it, the next one."""
    if isinstance(tz, ZoneInfo):
        return datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)
    moved = datetime.min.replace(tzinfo=UTC)
    for past, until in tz.past:
        if (start := max(day_start(day, past), moved)) <= until:
            return start
        moved = until + INSTANT
    return max(day_start(day, tz.zone), moved)


@lru_cache(maxsize=DAYS_KEPT)
def day_of(instant: datetime, tz: Calendar) -> date:
    """The last day that has begun. Where the clocks are set back over midnight, their date goes back; this does not."""
    day = local_date(instant, tz)
    while day_start(day + _DAY, tz) <= instant:
        day += _DAY
    return day


def day_from(instant: datetime, tz: Calendar) -> date:
    """The first day that begins at `instant` or later."""
    day = day_of(instant, tz)
    return day if day_start(day, tz) == instant else day + _DAY


def local_date(instant: datetime, tz: Calendar) -> date:
    return instant.astimezone(zone_at(instant, tz)).date()


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
