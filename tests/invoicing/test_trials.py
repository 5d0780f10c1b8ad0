"""Trials: free of base fees and of nothing else, from the subscription's start on."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.invoicing.domain.change import changed
from services.invoicing.domain.lifecycle import ended
from services.invoicing.domain.period import Period, day_from, day_of, zone
from services.invoicing.domain.schedule import BillingInterval, BillingTime
from services.invoicing.domain.settlement import settled
from tests.invoicing.test_phases import (
    CHEAP,
    DEAR,
    OFFSETS,
    START,
    ZONES,
    billed_until,
    by_plan,
    change,
    fee_dates,
    plan,
    subscribed,
    usages,
    utc,
)


@settings(deadline=None)
@given(
    ZONES, OFFSETS, st.sampled_from(BillingTime), st.sampled_from(BillingInterval), st.booleans(), st.integers(0, 400)
)
def test_a_trial_is_free_of_fees_and_nothing_else(  # type: ignore[no-untyped-def]
    time_zone, offset, billing_time, interval, in_advance, trial_days
):
    start, trial = START + offset, timedelta(days=trial_days)
    to = replace(plan("p", 3000, interval, in_advance=in_advance), trial=trial)
    end = start + timedelta(days=800)
    found = ended(subscribed(to, start, time_zone, billing_time), end)
    made, _ = billed_until(found, end)
    assert usages(made)[-1].end == end
    tz = zone(time_zone)
    first, after = day_of(start + trial, tz), day_from(end, tz)
    assert [day for day, _ in fee_dates(made)] == [first + timedelta(days=i) for i in range((after - first).days)]
    opening = [due for due in made if due.is_opening]
    assert all(due.due_time == max(due.current_period.start, start + trial) for due in opening)


def test_a_fee_in_advance_is_charged_when_the_trial_ends() -> None:
    """As in case sc-trial-05: usage on 1 April, 12 of 30 days on 19 April, May on 1 May."""
    to = replace(plan("p", 5000000, in_advance=True), trial=timedelta(days=45))
    made, _ = billed_until(subscribed(to, utc("2024-03-05T12:12")), utc("2024-05-01"))
    assert [(due.due_time, due.is_opening) for due in made] == [
        (utc("2024-04-01"), False),
        (utc("2024-04-19T12:12"), True),
        (utc("2024-05-01"), False),
    ]
    fees = [settled(due).fee for due in made]
    assert fees[0] is None
    assert [made[0].schedule.days_in(fee) for fee in fees if fee] == [(12, 30), (31, 31)]


def test_a_trial_that_ends_on_the_first_day_of_a_period_has_no_invoice_of_its_own() -> None:
    """As in case sc-trial-08."""
    to = replace(plan("p", 5000000, in_advance=True), trial=timedelta(days=10))
    made, _ = billed_until(subscribed(to, utc("2024-03-22T01:12"), "Europe/Paris"), utc("2024-04-01T13:11"))
    [due] = made
    assert (due.due_time, settled(due).usage) == (
        utc("2024-03-31T22:00"),
        Period(utc("2024-03-22T01:12"), utc("2024-03-31T22:00")),
    )
    fee = settled(due).fee
    assert fee is not None
    assert due.schedule.days_in(fee) == (30, 30)


def test_the_trial_of_another_plan_runs_from_the_beginning_too() -> None:
    trial = replace(DEAR, trial=timedelta(days=20))
    found, _ = changed(subscribed(CHEAP), change(trial), CHEAP, utc("2024-01-11"))
    assert by_plan(billed_until(found, utc("2024-02-01"))[0]) == {"cheap": 10, "dear": 11}
    found, _ = changed(subscribed(CHEAP), change(trial), CHEAP, utc("2024-01-26"))
    assert by_plan(billed_until(found, utc("2024-02-01"))[0]) == {"cheap": 25, "dear": 6}
