"""Calendar months in every zone of the world."""

from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.invoicing.domain.period import (
    Period,
    days_in,
    first_period,
    following,
    is_time_zone,
    local_date,
    month_of,
    zone,
)

INSTANT = timedelta(microseconds=1)
ZONES = st.sampled_from(sorted(available_timezones())).map(zone)
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@settings(deadline=None)
@given(ZONES, INSTANTS)
def test_periods_tile_time_without_gap_or_overlap_in_every_zone(tz, start):  # type: ignore[no-untyped-def]
    period = first_period(start, tz)
    assert period.start == start
    for _ in range(13):
        after = following(period, tz)
        assert period.start < period.end == after.start < after.end
        assert after == month_of(after.start, tz) == month_of(after.end - INSTANT, tz)
        period = after


@settings(deadline=None)
@given(ZONES, INSTANTS)
def test_a_month_begins_at_the_first_instant_that_the_clocks_date_on_its_first_day(tz, instant):  # type: ignore[no-untyped-def]
    month = month_of(instant, tz)
    assert month.start <= instant < month.end
    for boundary in (month.start, month.end):
        assert local_date(boundary, tz).day == 1
        assert local_date(boundary - INSTANT, tz).month != local_date(boundary, tz).month


@settings(deadline=None)
@given(ZONES, INSTANTS)
def test_days_before_an_instant_and_days_from_it_share_only_its_own_day(tz, instant):  # type: ignore[no-untyped-def]
    month = month_of(instant, tz)
    days, month_days = days_in(first_period(instant, tz), tz)
    assert 1 <= days <= month_days
    assert days_in(month, tz) == (month_days, month_days)
    if month.start < instant:
        days_before, _ = days_in(Period(month.start, instant), tz)
        starts_a_day = local_date(instant - INSTANT, tz) < local_date(instant, tz)
        assert days_before + days == month_days + (not starts_a_day)


@pytest.mark.parametrize(
    ("start", "days", "month_days"),
    [
        ("2023-01-15T00:00Z", 17, 31),
        ("2023-01-15T23:59:59.999999Z", 17, 31),
        ("2023-04-30T12:00Z", 1, 30),
        ("2023-02-01T00:00Z", 28, 28),
        ("2023-02-28T00:00Z", 1, 28),
        ("2024-02-02T00:00Z", 28, 29),
    ],
)
def test_the_day_that_a_subscription_starts_on_is_billed(start: str, days: int, month_days: int) -> None:
    tz = zone("UTC")
    assert days_in(first_period(utc(start), tz), tz) == (days, month_days)


@pytest.mark.parametrize(
    ("start", "period_end", "days", "hours"),
    [
        ("2023-03-01T00:00+01:00", "2023-04-01T00:00+02:00", 31, 31 * 24 - 1),
        ("2023-03-26T03:00+02:00", "2023-04-01T00:00+02:00", 6, 5 * 24 + 21),
        ("2023-10-01T00:00+02:00", "2023-11-01T00:00+01:00", 31, 31 * 24 + 1),
        ("2023-10-29T02:30+01:00", "2023-11-01T00:00+01:00", 3, 69.5),
    ],
)
def test_daylight_saving_in_berlin_moves_hours_and_no_days(
    start: str, period_end: str, days: int, hours: float
) -> None:
    tz = zone("Europe/Berlin")
    period = first_period(utc(start), tz)
    assert period.end == utc(period_end)
    assert days_in(period, tz) == (days, 31)
    assert period.end - period.start == timedelta(hours=hours)


def test_a_start_on_the_last_evening_in_utc_is_the_first_day_of_the_next_month_in_berlin() -> None:
    tz = zone("Europe/Berlin")
    start = utc("2023-10-31T23:30Z")
    assert first_period(start, tz).end == utc("2023-11-30T23:00Z")
    assert days_in(first_period(start, tz), tz) == (30, 30)


def test_an_hour_that_the_clocks_repeat_across_midnight_belongs_to_the_new_month_once() -> None:
    """In Goose Bay, November 2009 began, and one minute later the clocks were set back to 23:01 of 31 October."""
    tz = zone("America/Goose_Bay")
    november = month_of(utc("2009-11-15T00:00Z"), tz)
    again_october = november.start + timedelta(minutes=30)
    assert local_date(again_october, tz).month == 10
    assert month_of(again_october, tz) == november
    assert days_in(first_period(again_october, tz), tz) == (30, 30)


def test_a_month_whose_midnight_the_clocks_skip_begins_when_they_jump() -> None:
    """In Asuncion the clocks went from 00:00 to 01:00 on 1 October 2023."""
    tz = zone("America/Asuncion")
    october = month_of(utc("2023-10-15T00:00Z"), tz)
    assert october.start == utc("2023-10-01T00:00-04:00")
    assert days_in(october, tz) == (31, 31)


def test_only_iana_names_are_time_zones() -> None:
    assert is_time_zone("Europe/Berlin")
    for name in ("Europe/Atlantis", "", "europe", "../etc/passwd", "America", "CET+1"):
        assert not is_time_zone(name)
