"""The rules of measuring that are easier to see without a service."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metering.domain.meters import DimensionFilter
from services.metering.domain.parts import Part, part_of
from services.metering.domain.percentile import percentile
from services.metering.domain.proration import Frame
from services.metering.domain.rounding import ceil_to, nearest
from services.metering.domain.windows import Window, windows

ZONES = [
    ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "Australia/Lord_Howe")
]
INSTANTS = st.timedeltas(timedelta(0), timedelta(days=35 * 365)).map(datetime(1995, 1, 1, tzinfo=UTC).__add__)
VALUES = st.sets(st.sampled_from("xyz"), max_size=3).map(lambda values: tuple(sorted(values)))
PARTS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, min_size=1).map(
        lambda filters: tuple(DimensionFilter(name, values) for name, values in filters.items())
    ),
    max_size=6,
).map(lambda several: [Part(f"p{number}", filters) for number, filters in enumerate(several)])
PROPERTIES = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from("xyz"))


@given(parts=PARTS, properties=PROPERTIES)
def test_an_event_is_in_a_part_that_admits_it_and_none_is_more_specific(
    parts: list[Part], properties: dict[str, str]
) -> None:
    code = part_of(properties, parts)
    admitting = {part.code: part for part in parts if part.admits(properties)}
    if not admitting:
        assert code == ""
        return
    chosen = admitting[code]
    assert len(chosen.filters) == max(len(part.filters) for part in admitting.values())
    assert not any(part.is_within(chosen) for part in admitting.values())


@given(start=INSTANTS, hours=st.integers(1, 2000), window=st.sampled_from(Window), zone=st.sampled_from(ZONES))
def test_windows_touch_and_cover_the_period(start: datetime, hours: int, window: Window, zone: ZoneInfo) -> None:
    if window is Window.MINUTE:
        hours = min(hours, 10)
    end = start + timedelta(hours=hours)
    found = list(windows(start, end, window, zone))
    assert (found[0][0], found[-1][1]) == (start, end)
    for before, after in pairwise(found):
        assert before[1] == after[0]
        local = after[0].astimezone(zone)
        assert (local.second, local.microsecond) == (0, 0)
        assert window is Window.MINUTE or local.minute == 0 or local.minute == 30  # where clocks move by half an hour
        assert window is not Window.WEEK or local.weekday() == 0
        assert window is not Window.MONTH or local.day == 1


@given(start=INSTANTS, hours=st.integers(1, 2000), zone=st.sampled_from(ZONES), into=st.floats(0, 1))
def test_days_begin_where_the_instants_that_postgres_is_told_say(
    start: datetime, hours: int, zone: ZoneInfo, into: float
) -> None:
    end = start + timedelta(hours=hours)
    frame = Frame(start, end, start, end, zone)
    instant = start + (end - start) * min(into, 0.999999)
    bucket = sum(day <= instant for day in frame.day_starts())
    assert frame.days_from(instant) == len(frame.day_starts()) + 1 - max(bucket, 1)
    assert frame.full_days == len(frame.day_starts())


@given(
    values=st.lists(st.decimals(-100, 100, places=2), min_size=1),
    percent=st.decimals("0.01", 100, places=2),
)
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[Decimal], percent: Decimal) -> None:
    found = percentile(((value, 1) for value in values), percent)
    enough = Fraction(percent) * len(values) / 100
    assert found in values
    assert sum(value <= found for value in values) >= enough
    assert sum(value < found for value in values) < enough


@pytest.mark.parametrize(
    ("value", "up", "near"),
    [("1/3", "0.34", "0.33"), ("-1/3", "-0.33", "-0.33"), ("1/200", "0.01", "0.01"), ("-1/200", "0", "-0.01")],
)
def test_divisions_that_do_not_end_are_rounded_as_said(value: str, up: str, near: str) -> None:
    assert (ceil_to(Fraction(value), 2), nearest(Fraction(value), 2)) == (Decimal(up), Decimal(near))
