"""Prices by time of day: which hours of a period are in which window of the week."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby

from services.invoicing.domain.period import Period, zone

OUTSIDE = ""
"""In the place of a window's code: the hours that no window has."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Hours from `start_hour` until `end_hour`, exclusive, of some `weekdays`, 1 for Monday; of all if it has none."""

    code: str
    weekdays: tuple[int, ...]
    start_hour: int
    end_hour: int

    def has(self, weekday: int, hour: int) -> bool:
        return self.start_hour <= hour < self.end_hour and (not self.weekdays or weekday in self.weekdays)


@dataclass(frozen=True, slots=True)
class Hours:
    """The windows of one price, by the clocks of `time_zone`; an hour belongs to the first that has it. `part` is the
    code of the charge's filter whose price it is, "" for the charge's own.
    """

    part: str
    time_zone: str
    windows: tuple[TimeWindow, ...]

    def window_at(self, instant: datetime) -> str:
        shown = instant.astimezone(zone(self.time_zone))
        weekday, hour = shown.isoweekday(), shown.hour
        return next((window.code for window in self.windows if window.has(weekday, hour)), OUTSIDE)


@lru_cache(maxsize=256)
def stretches(priced: tuple[Hours, ...], period: Period) -> Sequence[tuple[Period, dict[str, str]]]:
    """`period` cut where a price changes its window, each stretch with the window of every price, by part."""
    found = []
    for windows, hours in groupby(_hours(priced, period), lambda hour: tuple(each.window_at(hour) for each in priced)):
        start = next(hours)
        found.append((start, {each.part: window for each, window in zip(priced, windows, strict=True)}))
    ends = [start for start, _ in found[1:]] + [period.end]
    return [(Period(start, end), windows) for (start, windows), end in zip(found, ends, strict=True)]


def _hours(priced: tuple[Hours, ...], period: Period) -> Iterator[datetime]:
    """The beginning of `period`, and of every hour in it on the clocks of any of the prices."""
    zones = {zone(each.time_zone) for each in priced}
    instant = period.start
    while instant < period.end:
        yield instant
        shown = (instant.astimezone(tz) for tz in zones)
        instant += min(
            timedelta(hours=1) - timedelta(minutes=it.minute, seconds=it.second, microseconds=it.microsecond)
            for it in shown
        )
