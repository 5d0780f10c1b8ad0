"""Stretches of time, and the zones whose days they are counted in."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Billing happens between these; metering takes no event before the first either."""

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


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone that `name` is known to be."""
    return ZoneInfo(name)


def is_time_zone(name: str) -> bool:
    return name in _time_zones()


@lru_cache(maxsize=DAYS_KEPT)
def day_start(day: date, tz: ZoneInfo) -> datetime:
    """The first instant that the zone's clocks date on `day`; where they skip it, the next one."""
    return datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)


@lru_cache(maxsize=DAYS_KEPT)
def day_of(instant: datetime, tz: ZoneInfo) -> date:
    """The last day that has begun. Where the clocks are set back over midnight, their date goes back; this does not."""
    day = local_date(instant, tz)
    after = day + timedelta(days=1)
    return after if day_start(after, tz) <= instant else day


def day_from(instant: datetime, tz: ZoneInfo) -> date:
    """The first day that begins at `instant` or later."""
    day = day_of(instant, tz)
    return day if day_start(day, tz) == instant else day + timedelta(days=1)


def local_date(instant: datetime, tz: ZoneInfo) -> date:
    return instant.astimezone(tz).date()


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
