"""Days and months of time zones."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.period import local_date
from services.invoicing.domain.schedule import BillingInterval, BillingTime, Schedule, schedule
from services.pricing.domain import plans
from services.pricing.domain.calendar import Period, dates, days, zone
from services.pricing.domain.intervals import begins, months_between, whole

ZONES = ("UTC", "Europe/Paris", "America/New_York", "America/Asuncion", "Asia/Kathmandu", "Australia/Lord_Howe")
"""Some skip midnight, some have half hours."""

instants = st.datetimes(
    min_value=datetime(2001, 1, 1),  # noqa: DTZ001 hypothesis adds the zone
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def invoiced(name: str, interval: BillingInterval = BillingInterval.MONTHLY) -> Schedule:
    """Periods of subscriptions that are billed by the calendar."""
    return schedule(interval, BillingTime.CALENDAR, datetime(2000, 1, 1, tzinfo=UTC), ZoneInfo(name))


@given(st.dates(date(2001, 1, 1), date(2040, 1, 1)), st.sampled_from(ZONES), st.sampled_from(plans.BillingInterval))
def test_intervals_and_their_days_are_those_that_are_invoiced(
    day: date, name: str, interval: plans.BillingInterval
) -> None:
    begun = day
    while not begins(begun, interval):
        begun -= timedelta(days=1)
    found = whole(begun, interval, zone(name))
    periods = invoiced(name, BillingInterval(interval))
    billed = periods.period_of(found.start)
    assert (found.start, found.end) == (billed.start, billed.end)
    assert days(found, zone(name)) == dates(found, zone(name)) == periods.days_in(billed)[1]
    assert periods.period_of(_noon(day, name)) == billed


def _noon(day: date, name: str) -> datetime:
    return datetime.combine(day, time(12), zone(name)).astimezone(UTC)


@given(st.dates(date(2001, 1, 1), date(2040, 1, 1)), st.integers(0, 60), st.sampled_from(ZONES))
def test_a_month_of_a_contract_is_over_on_the_anniversary(start: date, months: int, name: str) -> None:
    anchored = Schedule(BillingInterval.MONTHLY, start, zone(name))
    period = anchored.period_of(_noon(start, name))
    for _ in range(months):
        period = anchored.following(period)
    for instant in (_noon(local_date(period.start, zone(name)), name), period.end - timedelta(hours=12)):
        assert months_between(_noon(start, name), instant, zone(name)) == months


@given(instants, st.sampled_from(ZONES))
def test_a_first_part_of_a_month_has_as_many_days_as_are_invoiced(start: datetime, name: str) -> None:
    billed = invoiced(name).first_period(start)
    found = Period(billed.start, billed.end)
    assert days(found, zone(name)) == dates(found, zone(name)) == invoiced(name).days_in(billed)[0]


def test_a_part_that_neither_begins_nor_ends_with_a_day_is_counted_by_hours_or_by_dates() -> None:
    part = Period(datetime(2023, 11, 10, 18, tzinfo=UTC), datetime(2023, 11, 12, 6, tzinfo=UTC))
    assert (days(part, zone("UTC")), dates(part, zone("UTC"))) == (2, 3)


@given(instants, st.integers(1, 400), st.integers(0, 400), st.sampled_from(ZONES))
def test_a_longer_stretch_has_no_fewer_days(start: datetime, hours: int, more: int, name: str) -> None:
    shorter = Period(start, start + timedelta(hours=hours))
    longer = Period(start, shorter.end + timedelta(hours=more + 1))
    assert 1 <= days(shorter, zone(name)) <= days(longer, zone(name))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2023-08-31T23:10:00", "2023-09-30T22:59:59", 30),
        ("2023-09-30T23:10:00", "2023-10-31T22:59:59", 31),
        ("2023-10-28T22:00", "2023-10-29T23:00", 1),
        ("2023-03-25T23:00", "2023-03-26T22:00", 1),
        ("2023-11-15T11:00", "2023-11-30T23:00", 16),
        ("2023-11-15T11:00", "2023-11-15T11:00:00.000001", 1),
    ],
)
def test_hours_that_daylight_saving_adds_or_takes_make_no_day(start: str, end: str, expected: int) -> None:
    period = Period(*(datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end)))
    assert days(period, zone("Europe/Paris")) == expected
