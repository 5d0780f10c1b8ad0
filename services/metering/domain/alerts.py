"""Alerts: which thresholds usage has crossed, and over which window it is measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

from libs.common.money import EXACT
from services.metering.domain.meters import DimensionFilter
from services.metering.domain.windows import Window, windows

MAX_STEPS = 1_000
"""As many of a recurring step's thresholds trigger at once: the last ones."""

LIFETIME = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""No event is older, nor in the future."""

Period = tuple[datetime, datetime]


class Direction(StrEnum):
    INCREASING = "increasing"
    DECREASING = "decreasing"


class AlertWindow(StrEnum):
    LIFETIME = "lifetime"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_CUT = {
    AlertWindow.HOUR: Window.HOUR,
    AlertWindow.DAY: Window.DAY,
    AlertWindow.WEEK: Window.WEEK,
    AlertWindow.MONTH: Window.MONTH,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    code: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The usage of one window at a watermark."""

    period: Period
    quantity: Decimal
    watermark: int


@dataclass(frozen=True, slots=True)
class Alert:
    """`recurring_step` repeats beyond the last of `thresholds`. The window is a calendar unit in `zone`.

    `evaluation` is that of its last window, None before the first.
    """

    code: str
    name: str
    subscription_id: str
    meter_code: str
    filters: tuple[DimensionFilter, ...]
    direction: Direction
    thresholds: tuple[Threshold, ...]
    recurring_step: Threshold | None
    window: AlertWindow
    zone: ZoneInfo
    create_time: datetime
    delete_time: datetime | None = None
    evaluation: Evaluation | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold that was crossed: one of a recurring step, or one that triggers once in a window."""

    threshold: Threshold
    recurring: bool


@dataclass(frozen=True, slots=True)
class Trigger:
    """A crossing in a window, from the quantity before to `evaluation`."""

    id: str
    alert_code: str
    subscription_id: str
    meter_code: str
    crossing: Crossing
    previous: Decimal
    evaluation: Evaluation
    create_time: datetime


def crossed(
    direction: Direction,
    thresholds: Sequence[Threshold],
    recurring_step: Threshold | None,
    previous: Decimal,
    current: Decimal,
) -> list[Crossing]:
    """Thresholds in (previous, current], in the order in which they were passed; [current, previous) downwards."""

    def up(value: Decimal) -> Decimal:
        return value if direction is Direction.INCREASING else value.copy_negate()

    low, high = up(previous), up(current)
    ordered = sorted(thresholds, key=lambda each: up(each.value))
    found = [Crossing(each, recurring=False) for each in ordered if low < up(each.value) <= high]
    if recurring_step is not None:
        last = up(ordered[-1].value) if ordered else Decimal(0)
        for number in _steps(low, high, last, recurring_step.value):
            value = up(EXACT.fma(recurring_step.value, number, last))
            found.append(Crossing(Threshold(recurring_step.code, value), recurring=True))
    return found


def _steps(low: Decimal, high: Decimal, last: Decimal, step: Decimal) -> range:
    """Numbers, from 1, of the steps beyond `last` in (low, high]."""
    passed, reached = (floor((Fraction(each) - Fraction(last)) / Fraction(step)) for each in (low, high))
    return range(max(1, passed + 1, reached - MAX_STEPS + 1), reached + 1)


def window_at(instant: datetime, window: AlertWindow, zone: ZoneInfo) -> Period:
    """The window that `instant` is in."""
    if window is AlertWindow.LIFETIME:
        return LIFETIME
    day = instant.astimezone(zone).date()
    if window is AlertWindow.WEEK:
        day -= timedelta(days=day.weekday())
    elif window is AlertWindow.MONTH:
        day = day.replace(day=1)
    found = windows(_midnight(day, zone), instant + timedelta(days=32), _CUT[window], zone)
    return next((start, end) for start, end in found if instant < end)


def windows_of(instants: Iterable[datetime], window: AlertWindow, zone: ZoneInfo) -> list[Period]:
    """The windows that events of these instants are in, in order."""
    found: list[Period] = []
    for each in sorted(instants):
        if not found or each >= found[-1][1]:
            found.append(window_at(each, window, zone))
    return found


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
