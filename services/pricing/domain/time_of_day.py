"""The time-of-day charge model: the price of a unit depends on the hour of the week in which it was used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from libs.common.errors import InvalidArgument
from services.pricing.domain.breakdown import EXACT, ZERO, RatedTier
from services.pricing.domain.calendar import zone
from services.pricing.domain.usage import Usage

OUTSIDE = ""
"""In the place of a window's code: the hours that no window has."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The hours from `start_hour` until `end_hour` (exclusive, 24 at most) of some `weekdays`, 1 for Monday to 7 for
    Sunday, or of every day, if there are none. `unit_price` is in major units.
    """

    code: str
    weekdays: tuple[int, ...]
    start_hour: int
    end_hour: int
    unit_price: Decimal

    def has(self, weekday: int, hour: int) -> bool:
        return self.start_hour <= hour < self.end_hour and (not self.weekdays or weekday in self.weekdays)


@dataclass(frozen=True, slots=True)
class TimeOfDayPrice:
    """Hours are those of the clocks in `time_zone`, and belong to the first window that has them. In those that none
    has, a unit costs `default_unit_price`.
    """

    model: ClassVar[str] = "time_of_day"

    time_zone: str
    windows: tuple[TimeWindow, ...]
    default_unit_price: Decimal
    unit_prices: Mapping[str, Decimal] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        prices = {window.code: window.unit_price for window in self.windows}
        object.__setattr__(self, "unit_prices", {OUTSIDE: self.default_unit_price, **prices})


def window_at(price: TimeOfDayPrice, instant: datetime) -> str:
    """The code of the window that an instant is in, or OUTSIDE."""
    shown = instant.astimezone(zone(price.time_zone))
    weekday, hour = shown.isoweekday(), shown.hour
    return next((window.code for window in price.windows if window.has(weekday, hour)), OUTSIDE)


def rate_time_of_day(price: TimeOfDayPrice, usage: Usage) -> tuple[RatedTier, ...]:
    """One step. Raises InvalidArgument WINDOW_MISSING for a quantity without its window, and WINDOW_UNKNOWN."""
    if usage.window is None and usage.quantity:
        raise _wrong("WINDOW_MISSING", usage, "needs to be told in which window units were used")
    unit_price = price.unit_prices.get(usage.window or OUTSIDE)
    if unit_price is None:
        raise _wrong("WINDOW_UNKNOWN", usage, f"has no window {usage.window}")
    return (RatedTier(ZERO, None, usage.quantity, unit_price, EXACT.multiply(usage.quantity, unit_price)),)


def _wrong(reason: str, usage: Usage, what: str) -> InvalidArgument:
    return InvalidArgument(
        reason, f"charge {usage.charge_code} {what}", field="quantities", charge_code=usage.charge_code
    )
