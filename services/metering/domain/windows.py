"""Windows: a period cut where the clocks of a time zone say that a minute, hour, day, week or month begins."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum, auto
from zoneinfo import ZoneInfo


class Window(Enum):
    MINUTE = auto()
    HOUR = auto()
    DAY = auto()
    WEEK = auto()
    """From Monday."""
    MONTH = auto()


def windows(start: datetime, end: datetime, window: Window, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) without gap or overlap; the first and the last window may be cut."""
    while start < end:
        following = min(_following(start, window, zone), end)
        yield start, following
        start = following


def _following(instant: datetime, window: Window, zone: ZoneInfo) -> datetime:
    """The next instant after `instant` at which a window begins, in UTC."""
    local = instant.astimezone(zone)
    if window in (Window.MINUTE, Window.HOUR):
        into = timedelta(seconds=local.second, microseconds=local.microsecond)
        length = timedelta(minutes=1)
        if window is Window.HOUR:
            into, length = into + timedelta(minutes=local.minute), timedelta(hours=1)
        return instant.astimezone(UTC) + length - into
    return datetime.combine(_next_day(local.date(), window), time(), zone).astimezone(UTC)


def _next_day(day: date, window: Window) -> date:
    """The first day of the window after that of `day`."""
    match window:
        case Window.WEEK:
            return day + timedelta(days=7 - day.weekday())
        case Window.MONTH:
            return date(day.year + day.month // 12, day.month % 12 + 1, 1)
        case _:
            return day + timedelta(days=1)
