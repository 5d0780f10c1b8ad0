"""Billing periods of every length in every zone of the world."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.invoicing.domain.period import Period, day_of, is_time_zone, local_date, zone
from services.invoicing.domain.schedule import BillingInterval, BillingTime, Schedule, schedule

INSTANT = timedelta(microseconds=1)
ZONES = st.sampled_from(sorted(available_timezones())).map(zone)
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
INTERVALS = st.sampled_from(BillingInterval)
BILLING_TIMES = st.sampled_from(BillingTime)
SCHEDULES = st.builds(schedule, INTERVALS, BILLING_TIMES, INSTANTS, ZONES)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def monthly(tz: ZoneInfo) -> Schedule:
    return schedule(BillingInterval.MONTHLY, BillingTime.CALENDAR, utc("2000-01-01T00:00Z"), tz)


@settings(deadline=None)
@given(SCHEDULES, INSTANTS)
def test_periods_tile_time_without_gap_or_overlap_in_every_zone(periods, start):  # type: ignore[no-untyped-def]
    period = periods.first_period(start)
    assert period.start == start
    for _ in range(13):
        after = periods.following(period)
        assert period.start < period.end == after.start < after.end
        assert after == periods.period_of(after.start) == periods.period_of(after.end - INSTANT)
        period = after


@settings(deadline=None)
@given(SCHEDULES, INSTANTS)
def test_every_instant_is_in_the_period_that_is_said_to_have_it(periods, instant):  # type: ignore[no-untyped-def]
    period = periods.period_of(instant)
    assert period.start <= instant < period.end


@settings(deadline=None)
@given(SCHEDULES, INSTANTS)
def test_days_before_an_instant_and_days_from_it_share_only_its_own_day(periods, instant):  # type: ignore[no-untyped-def]
    whole = periods.period_of(instant)
    days, all_days = periods.days_in(periods.first_period(instant))
    assert 1 <= days <= all_days
    assert periods.days_in(whole) == (all_days, all_days)
    if whole.start < instant:
        days_before, _ = periods.days_in(Period(whole.start, instant))
        starts_a_day = day_of(instant - INSTANT, periods.tz) < day_of(instant, periods.tz)
        assert days_before + days == all_days + (not starts_a_day)


@settings(deadline=None)
@given(ZONES, INSTANTS)
def test_a_month_begins_at_the_first_instant_that_the_clocks_date_on_its_first_day(tz, instant):  # type: ignore[no-untyped-def]
    month = monthly(tz).period_of(instant)
    for boundary in (month.start, month.end):
        assert local_date(boundary, tz).day == 1
        assert local_date(boundary - INSTANT, tz).month != local_date(boundary, tz).month


def starts(periods: Schedule, start: str, count: int) -> list[date]:
    """The first days of the periods from the one that begins at `start`."""
    period = periods.period_of(utc(start))
    found = []
    for _ in range(count):
        found.append(local_date(period.start, periods.tz))
        period = periods.following(period)
    return found


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (BillingInterval.WEEKLY, [date(2024, 5, 13), date(2024, 5, 20), date(2024, 5, 27)]),
        (BillingInterval.MONTHLY, [date(2024, 5, 1), date(2024, 6, 1), date(2024, 7, 1)]),
        (BillingInterval.QUARTERLY, [date(2024, 4, 1), date(2024, 7, 1), date(2024, 10, 1)]),
        (BillingInterval.SEMIANNUAL, [date(2024, 1, 1), date(2024, 7, 1), date(2025, 1, 1)]),
        (BillingInterval.YEARLY, [date(2024, 1, 1), date(2025, 1, 1), date(2026, 1, 1)]),
    ],
)
def test_by_the_calendar_weeks_begin_on_mondays_and_the_rest_with_the_year(
    interval: BillingInterval, expected: list[date]
) -> None:
    began = utc("2024-05-15T10:00Z")
    periods = schedule(interval, BillingTime.CALENDAR, began, zone("Europe/Paris"))
    assert starts(periods, "2024-05-15T10:00Z", 3) == expected


@pytest.mark.parametrize(
    ("interval", "began", "expected"),
    [
        (BillingInterval.WEEKLY, "2024-05-15T10:00Z", [date(2024, 5, 15), date(2024, 5, 22), date(2024, 5, 29)]),
        (
            BillingInterval.MONTHLY,
            "2024-01-30T00:00Z",
            [date(2024, 1, 30), date(2024, 2, 29), date(2024, 3, 30), date(2024, 4, 30)],
        ),
        (
            BillingInterval.MONTHLY,
            "2023-01-31T00:00Z",
            [date(2023, 1, 31), date(2023, 2, 28), date(2023, 3, 31), date(2023, 4, 30), date(2023, 5, 31)],
        ),
        (
            BillingInterval.QUARTERLY,
            "2023-11-30T00:00Z",
            [date(2023, 11, 30), date(2024, 2, 29), date(2024, 5, 30), date(2024, 8, 30)],
        ),
        (BillingInterval.YEARLY, "2024-02-29T00:00Z", [date(2024, 2, 29), date(2025, 2, 28), date(2026, 2, 28)]),
    ],
)
def test_anniversaries_fall_on_the_last_day_of_a_month_that_is_too_short_and_return(
    interval: BillingInterval, began: str, expected: list[date]
) -> None:
    periods = schedule(interval, BillingTime.ANNIVERSARY, utc(began), zone("UTC"))
    assert starts(periods, began, len(expected)) == expected


def test_a_year_that_begins_on_a_leap_day_returns_to_it() -> None:
    periods = schedule(BillingInterval.YEARLY, BillingTime.ANNIVERSARY, utc("2024-02-29T00:00Z"), zone("UTC"))
    assert starts(periods, "2028-02-29T00:00Z", 1) == [date(2028, 2, 29)]
    assert periods.days_in(periods.period_of(utc("2027-06-01T00:00Z"))) == (366, 366)


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
    assert monthly(tz).days_in(monthly(tz).first_period(utc(start))) == (days, month_days)


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
    period = monthly(tz).first_period(utc(start))
    assert period.end == utc(period_end)
    assert monthly(tz).days_in(period) == (days, 31)
    assert period.end - period.start == timedelta(hours=hours)


def test_a_start_on_the_last_evening_in_utc_is_the_first_day_of_the_next_month_in_berlin() -> None:
    tz = zone("Europe/Berlin")
    start = utc("2023-10-31T23:30Z")
    assert monthly(tz).first_period(start).end == utc("2023-11-30T23:00Z")
    assert monthly(tz).days_in(monthly(tz).first_period(start)) == (30, 30)


def test_an_hour_that_the_clocks_repeat_across_midnight_belongs_to_the_new_month_once() -> None:
    """In Goose Bay, November 2009 began, and one minute later the clocks were set back to 23:01 of 31 October."""
    tz = zone("America/Goose_Bay")
    november = monthly(tz).period_of(utc("2009-11-15T00:00Z"))
    again_october = november.start + timedelta(minutes=30)
    assert local_date(again_october, tz).month == 10
    assert monthly(tz).period_of(again_october) == november
    assert monthly(tz).days_in(monthly(tz).first_period(again_october)) == (30, 30)


def test_a_month_whose_midnight_the_clocks_skip_begins_when_they_jump() -> None:
    """In Asuncion the clocks went from 00:00 to 01:00 on 1 October 2023."""
    tz = zone("America/Asuncion")
    october = monthly(tz).period_of(utc("2023-10-15T00:00Z"))
    assert october.start == utc("2023-10-01T00:00-04:00")
    assert monthly(tz).days_in(october) == (31, 31)


def test_only_iana_names_are_time_zones() -> None:
    assert is_time_zone("Europe/Berlin")
    for name in ("Europe/Atlantis", "", "europe", "../etc/passwd", "America", "CET+1"):
        assert not is_time_zone(name)
