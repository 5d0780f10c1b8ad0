"""Prices by time of day on the wire."""

from collections.abc import Sequence
from functools import partial

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import amount_in, code_in, text_in
from services.pricing.convert.collected import read_all, require_unique
from services.pricing.domain.calendar import time_zones
from services.pricing.domain.time_of_day import TimeOfDayPrice, TimeWindow
from weir.pricing.v1 import pricing_pb2

UTC = "UTC"
LAST_WEEKDAY = 7
HOURS = 24


def time_of_day_in(message: pricing_pb2.TimeOfDayPrice, field: str) -> TimeOfDayPrice:
    text_in(message.time_zone, f"{field}.time_zone")
    if not message.windows:
        raise InvalidArgument("FIELD_MISSING", f"{field}.windows is required", field=f"{field}.windows")
    windows = read_all(
        partial(_window_in, window, f"{field}.windows[{index}]") for index, window in enumerate(message.windows)
    )
    require_unique("WINDOW_DUPLICATE", [window.code for window in windows], field + ".windows[{}].code")
    return TimeOfDayPrice(
        time_zone=time_zone_in(message.time_zone, f"{field}.time_zone"),
        windows=windows,
        default_unit_price=amount_in(message.default_unit_price, f"{field}.default_unit_price"),
    )


def time_of_day_out(price: TimeOfDayPrice) -> pricing_pb2.TimeOfDayPrice:
    return pricing_pb2.TimeOfDayPrice(
        time_zone=price.time_zone,
        windows=[
            pricing_pb2.TimeWindow(
                code=window.code,
                weekdays=window.weekdays,
                start_hour=window.start_hour,
                end_hour=window.end_hour,
                unit_price=plain(window.unit_price),
            )
            for window in price.windows
        ],
        default_unit_price=plain(price.default_unit_price),
    )


def time_zone_in(value: str, field: str) -> str:
    """UTC when empty."""
    if value and value not in time_zones():
        raise InvalidArgument("TIME_ZONE_UNKNOWN", f"{field} is {value!r}, which is not an IANA time zone", field=field)
    return value or UTC


def _window_in(message: pricing_pb2.TimeWindow, field: str) -> TimeWindow:
    start, end = message.start_hour, message.end_hour
    if not 0 <= start < end <= HOURS:
        raise InvalidArgument(
            "WINDOW_MALFORMED", f"{field} is from {start} until {end}; expected hours of a day, 0 to 24", field=field
        )
    return TimeWindow(
        code=code_in(message.code, f"{field}.code"),
        weekdays=_weekdays_in(message.weekdays, f"{field}.weekdays"),
        start_hour=start,
        end_hour=end,
        unit_price=amount_in(message.unit_price, f"{field}.unit_price"),
    )


def _weekdays_in(values: Sequence[int], field: str) -> tuple[int, ...]:
    if len(set(values)) < len(values) or any(not 1 <= value <= LAST_WEEKDAY for value in values):
        raise InvalidArgument(
            "WINDOW_MALFORMED", f"{field}: expected weekdays from 1 to {LAST_WEEKDAY}, each once", field=field
        )
    return tuple(values)
