"""Changes of plan: what is billed tiles time, and base fees tile days, whatever is changed and when."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.domain.change import Effective, FirstFee, PlanChange, cancelled, changed
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.lifecycle import begun, ended
from services.invoicing.domain.pausing import paused, resumed
from services.invoicing.domain.period import INSTANT, Period, day_from, day_of, day_start, zone
from services.invoicing.domain.phase import UnusedFee
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.recurring import base_fee
from services.invoicing.domain.schedule import BillingInterval, BillingTime
from services.invoicing.domain.settlement import settled
from services.invoicing.domain.subscription import Subscription
from services.invoicing.domain.unused_fee import unused_days

START = datetime(2024, 1, 1, tzinfo=UTC)
ZONES = st.sampled_from(sorted(available_timezones()))
OFFSETS = st.one_of(
    st.timedeltas(timedelta(0), timedelta(days=500)),
    st.integers(0, 400).map(lambda days: timedelta(days=days)),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plan(
    code: str,
    fee: int = 3000,
    interval: BillingInterval = BillingInterval.MONTHLY,
    currency: str = "USD",
    *,
    in_advance: bool = False,
    charges_monthly: bool = False,
) -> PlanVersion:
    usage = BillingInterval.MONTHLY if charges_monthly else interval
    of_fee = interval if charges_monthly else None
    return PlanVersion(code, 1, currency, usage, Money(fee, currency), in_advance, (), (), fee_interval=of_fee)


def subscribed(
    to: PlanVersion,
    start: datetime = START,
    time_zone: str = "UTC",
    billing_time: BillingTime = BillingTime.CALENDAR,
) -> Subscription:
    return begun("s", Customer("c", "C", "", time_zone, start), to, billing_time, start, start)


def change(
    to: PlanVersion,
    effective: Effective | datetime | None = None,
    first_fee: FirstFee = FirstFee.PRORATE,
    *,
    on_unused_fee: UnusedFee = UnusedFee.CREDIT,
) -> PlanChange:
    return PlanChange(to, effective, first_fee, on_unused_fee)


CHEAP, DEAR = plan("cheap", 3000), plan("dear", 6000)


def billed_until(found: Subscription, until: datetime) -> tuple[list[Subscription], Subscription]:
    """What falls due up to `until`, each as it stood then, and the subscription after that."""
    made = []
    while not found.is_closed and found.due_time <= until:
        made.append(found)
        found = found.billed()
    return made, found


def fee_dates(made: list[Subscription]) -> Iterator[tuple[date, str]]:
    """Every day that a base fee is charged for, with the plan that charges it."""
    for due in made:
        if fee := settled(due).fee:
            tz = zone(due.time_zone)
            day = day_of(fee.start, tz)
            days, _ = due.fee_schedule_of(due.phase).days_in(fee)
            yield from ((day + timedelta(days=i), due.phase.plan_code) for i in range(days))


def usages(made: list[Subscription]) -> list[Period]:
    return [usage for due in made if (usage := settled(due).usage)]


def by_plan(made: list[Subscription]) -> dict[str, int]:
    found: dict[str, int] = {}
    for _, code in fee_dates(made):
        found[code] = found.get(code, 0) + 1
    return found


def refusal(of: object) -> str:
    assert isinstance(of, FailedPrecondition)
    return of.reason


def days_of(period: Period, tz: ZoneInfo) -> list[date]:
    first, last = day_of(period.start, tz), day_of(period.end, tz)
    return [first + timedelta(days=i) for i in range((last - first).days)]


LONG = (BillingInterval.QUARTERLY, BillingInterval.SEMIANNUAL, BillingInterval.YEARLY)
INTERVALS = st.one_of(
    st.tuples(st.sampled_from(BillingInterval), st.just(False)), st.tuples(st.sampled_from(LONG), st.just(True))
)
"""Of plans, and whether charges are monthly."""

STEPS = st.lists(
    st.tuples(
        OFFSETS,
        st.sampled_from(["change", "change", "schedule", "cancel", "bill", "end", "pause", "at once", "end at once"]),
        INTERVALS,
        st.booleans(),
        st.sampled_from([FirstFee.PRORATE, FirstFee.FULL_NEW_ANCHOR]),
        OFFSETS,
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=300)
@given(ZONES, OFFSETS, st.sampled_from(BillingTime), INTERVALS, st.booleans(), STEPS, OFFSETS)
def test_periods_tile_time_and_fees_tile_days_over_any_sequence_of_changes(  # type: ignore[no-untyped-def]
    time_zone, offset, billing_time, interval, in_advance, steps, last
):
    """A day that is charged and given back is not owed."""
    start = START + offset
    first = plan("p0", 3000, interval[0], in_advance=in_advance, charges_monthly=interval[1])
    found = subscribed(first, start, time_zone, billing_time)
    made, now, unused = [], start, []
    for number, (wait, verb, next_interval, next_advance, first_fee, later) in enumerate(steps, 1):
        now += wait / 4
        due, found = billed_until(found, now if verb == "bill" else now - timedelta(days=20))
        made += due
        present = replace(first, plan_code=found.phase_at(now).plan_code)
        to = plan(f"p{number}", 3000, next_interval[0], in_advance=next_advance, charges_monthly=next_interval[1])
        before = found
        try:
            if verb == "change":
                found, _ = changed(found, change(to, Effective.NOW, first_fee), present, now)
            elif verb == "schedule":
                found, _ = changed(found, change(to, now + later / 4, first_fee), present, now)
            elif verb == "cancel":
                found = cancelled(found, now)
            elif verb == "end":
                found = ended(found, now + later / 4)
            elif verb == "at once":
                found, _ = changed(found, change(to, found.current_period.start, first_fee), present, now)
            elif verb == "end at once":
                found = ended(found, found.current_period.start)
            elif verb == "pause":
                found = paused(found, found.current_period.start, None, UnusedFee.CREDIT, now)
                found = resumed(found, found.phases[-1].start_time, now)
        except FailedPrecondition:
            continue
        unused.append(unused_days(before, found))
    end = max(now, start) + last
    due, found = billed_until(found, max(now, start))
    made += due
    if found.end_time is None:
        before = found
        found = ended(found, max(end, found.current_period.start))
        unused.append(unused_days(before, found))
    due, found = billed_until(found, datetime(2200, 1, 1, tzinfo=UTC))
    made += due
    assert found.is_closed
    end = found.end_time

    periods = usages(made)
    assert [each.start for each in periods] == [start, *(each.end for each in periods[:-1])][: len(periods)]
    assert (periods[-1].end if periods else start) == end
    tz = zone(time_zone)
    unused += (unused_days(due, due.billed()) for due in made)
    charged = Counter(day for day, _ in fee_dates(made))
    given_back = Counter(day for each in unused if each for day in days_of(each, tz))
    assert given_back <= charged
    dates = sorted((charged - given_back).elements())
    stopped_at_once = found.current_period.start == end >= (found.fee_paid_until or end)  # by a change just before
    if found.phase.fee_interval and not found.phase.in_advance:  # its fee may be billed an instant after its usage
        stopped_at_once |= end == day_start(day_of(end, tz), tz) + INSTANT
    owed = ((day_of(end, tz) if stopped_at_once else day_from(end, tz)) - day_of(start, tz)).days
    assert dates == [day_of(start, tz) + timedelta(days=i) for i in range(owed)]
    keys = [(due.phase_number, due.due_time) for due in made]
    assert len(set(keys)) == len(keys)


def test_a_dearer_plan_begins_now_and_has_the_day_of_the_change() -> None:
    now = utc("2024-02-12T06:00")
    _, found = billed_until(subscribed(CHEAP), now)
    found, at = changed(found, change(DEAR), CHEAP, now)
    assert at == now
    made, _ = billed_until(found, utc("2024-03-01"))
    assert usages(made) == [Period(utc("2024-02-01"), now), Period(now, utc("2024-03-01"))]
    assert by_plan(made) == {"cheap": 11, "dear": 18}


def test_a_plan_that_costs_as_much_a_year_begins_now_and_a_cheaper_one_when_the_period_ends() -> None:
    now = utc("2024-02-12T06:00")
    _, found = billed_until(subscribed(DEAR), now)
    yearly = plan("yearly", 6000 * 12, BillingInterval.YEARLY)
    assert changed(found, change(yearly), DEAR, now)[1] == now
    assert changed(found, change(replace(yearly, base_fee=Money(6000 * 12 - 1, "USD"))), DEAR, now)[1] == utc(
        "2024-03-01"
    )
    weekly = plan("weekly", 1385, BillingInterval.WEEKLY)
    assert changed(found, change(weekly), DEAR, now)[1] == now
    assert changed(found, change(CHEAP, Effective.NOW), DEAR, now)[1] == now
    assert changed(found, change(yearly, Effective.PERIOD_END), DEAR, now)[1] == utc("2024-03-01")


def test_the_end_of_the_period_is_that_of_the_one_running_now_however_late_billing_is() -> None:
    found, at = changed(subscribed(DEAR), change(CHEAP), DEAR, utc("2024-03-20"))
    assert at == utc("2024-04-01")
    made, _ = billed_until(found, utc("2024-05-01"))
    assert by_plan(made) == {"dear": 31 + 29 + 31, "cheap": 30}


def test_no_fee_until_the_running_period_would_have_ended() -> None:
    now = utc("2024-02-12")
    _, found = billed_until(subscribed(CHEAP), now)
    found, _ = changed(found, change(DEAR, None, FirstFee.NONE), CHEAP, now)
    made, _ = billed_until(found, utc("2024-04-01"))
    assert by_plan(made) == {"cheap": 11, "dear": 31}
    assert usages(made)[1] == Period(now, utc("2024-03-01"))


def test_no_fee_for_the_rest_of_the_month_and_then_for_the_rest_of_the_year() -> None:
    yearly = plan("yearly", 36600, BillingInterval.YEARLY)
    now = utc("2024-02-12")
    _, found = billed_until(subscribed(CHEAP), now)
    found, _ = changed(found, change(yearly, Effective.NOW, FirstFee.NONE), CHEAP, now)
    made, _ = billed_until(found, utc("2025-01-01"))
    assert settled(made[-1]).fee == Period(utc("2024-03-01"), utc("2025-01-01"))


def test_a_fee_by_the_year_recurs_by_a_twelfth_whatever_is_billed_by_the_month() -> None:
    yearly = plan("yearly", 36600, BillingInterval.YEARLY, charges_monthly=True)
    found = subscribed(yearly)
    assert base_fee(found, found.phase, yearly, utc("2024-02-12")) == Fraction(36600, 12)


def test_a_full_fee_begins_a_period_and_an_anniversary() -> None:
    now = utc("2024-02-12T06:00")
    _, found = billed_until(subscribed(CHEAP), now)
    found, _ = changed(found, change(DEAR, None, FirstFee.FULL_NEW_ANCHOR), CHEAP, now)
    made, _ = billed_until(found, utc("2024-04-12"))
    assert usages(made)[1:] == [Period(now, utc("2024-03-12")), Period(utc("2024-03-12"), utc("2024-04-12"))]
    assert [due.schedule.days_in(fee) for due in made if (fee := settled(due).fee)] == [(11, 29), (29, 29), (31, 31)]


def test_the_anniversary_is_inherited() -> None:
    """As in case sc-prorate-01: 91 days make a whole quarter, of which 32 are billed."""
    cheap = plan("cheap", 45500, BillingInterval.QUARTERLY)
    big = plan("big", 91000, BillingInterval.QUARTERLY)
    _, found = billed_until(
        subscribed(cheap, utc("2024-01-15T10:00"), billing_time=BillingTime.ANNIVERSARY), utc("2024-05-20T10:00")
    )
    found, _ = changed(found, change(big), cheap, utc("2024-05-20T10:00"))
    _, found = billed_until(found, utc("2024-06-20T10:00"))
    made, _ = billed_until(ended(found, utc("2024-06-20T10:00")), utc("2024-06-20T10:00"))
    fee = settled(made[-1]).fee
    assert fee is not None
    assert made[-1].schedule.days_in(fee) == (32, 91)


def test_a_plan_that_is_changed_on_its_first_day_charges_no_day() -> None:
    """As in case sc-inv-07: the new plan has the three days from the 24th to the 26th."""
    free = plan("free", 0)
    found = subscribed(free, utc("2024-04-24T10:00"))
    found, _ = changed(found, change(DEAR), free, utc("2024-04-24T11:00"))
    made, _ = billed_until(ended(found, utc("2024-04-26T11:00")), utc("2024-05-01"))
    assert by_plan(made) == {"dear": 3}
    assert usages(made)[0] == Period(utc("2024-04-24T10:00"), utc("2024-04-24T11:00"))


def test_before_it_begins_a_subscription_gets_its_plan_from_the_start() -> None:
    found, at = changed(subscribed(CHEAP, utc("2024-03-15")), change(DEAR), CHEAP, utc("2024-02-01"))
    assert at == utc("2024-03-15")
    assert [(each.number, each.plan_code) for each in found.phases] == [(1, "dear")]
    assert by_plan(billed_until(found, utc("2024-04-01"))[0]) == {"dear": 17}


def test_another_change_takes_the_place_of_the_one_that_was_scheduled() -> None:
    now = utc("2024-01-10")
    found, _ = changed(subscribed(DEAR), change(CHEAP), DEAR, now)
    third = plan("third", 9000)
    found, _ = changed(found, change(third), DEAR, utc("2024-01-20"))
    assert [each.plan_code for each in found.phases] == ["dear", "third"]
    assert by_plan(billed_until(found, utc("2024-03-01"))[0]) == {"dear": 19, "third": 12 + 29}


def test_a_change_for_later_takes_the_place_of_an_earlier_one_that_was_scheduled_too() -> None:
    now = utc("2024-01-10")
    found, _ = changed(subscribed(DEAR), change(CHEAP), DEAR, now)
    found, _ = changed(found, change(plan("third"), utc("2024-03-01")), DEAR, now)
    assert [each.plan_code for each in found.phases] == ["dear", "third"]


def test_a_scheduled_change_is_cancelled_until_it_has_taken_effect() -> None:
    now = utc("2024-01-10")
    before = subscribed(DEAR)
    found, at = changed(before, change(CHEAP, utc("2024-01-20T05:00")), DEAR, now)
    back = cancelled(found, at - timedelta(microseconds=1))
    assert (back.phases, back.current_period) == (before.phases, before.current_period)
    for of in (before, found):
        with pytest.raises(FailedPrecondition) as refused:
            cancelled(of, at)
        assert refused.value.reason == "CHANGE_NOT_SCHEDULED"


def test_an_end_takes_what_would_begin_then_or_later_with_it() -> None:
    found, _ = changed(subscribed(DEAR), change(CHEAP), DEAR, utc("2024-01-10"))
    assert len(ended(found, utc("2024-02-01")).phases) == 1
    assert len(ended(found, utc("2024-02-02")).phases) == 2


@pytest.mark.parametrize(
    ("to", "at", "reason"),
    [
        (plan("euro", currency="EUR"), "2024-03-10", "PLAN_CURRENCY_DIFFERS"),
        (CHEAP, "2024-03-10", "PLAN_UNCHANGED"),
        (DEAR, "2024-02-29", "PERIOD_BILLED"),
        (DEAR, "2024-06-01", "CHANGE_AFTER_END"),
    ],
)
def test_what_can_not_be_changed_is_refused(to: PlanVersion, at: str, reason: str) -> None:
    _, found = billed_until(ended(subscribed(CHEAP), utc("2024-06-01")), utc("2024-03-01"))
    with pytest.raises(FailedPrecondition) as refused:
        changed(found, change(to, utc(at)), CHEAP, utc("2024-03-05"))
    assert refused.value.reason == reason


ADVANCE, DEAR_ADVANCE = plan("cheap", 2900, in_advance=True), plan("dear", 29000, in_advance=True)


def test_in_advance_the_new_fee_opens_the_phase() -> None:
    """As in case sc-inv-13: 18 of 29 days of the new fee at once, the usage of the old plan up to then beside it."""
    now = utc("2024-02-12T06:00")
    _, found = billed_until(subscribed(ADVANCE), now)
    found, _ = changed(found, change(DEAR_ADVANCE), ADVANCE, now)
    made, _ = billed_until(found, utc("2024-03-01"))
    assert [(due.phase_number, settled(due).fee, settled(due).usage) for due in made] == [
        (1, None, Period(utc("2024-02-01"), now)),
        (2, Period(now, utc("2024-03-01")), None),
        (2, Period(utc("2024-03-01"), utc("2024-04-01")), Period(now, utc("2024-03-01"))),
    ]
    assert made[1].schedule.days_in(Period(now, utc("2024-03-01"))) == (18, 29)


def test_in_advance_to_a_cheaper_plan_at_the_end_of_the_period_nothing_is_unused() -> None:
    now = utc("2024-02-12")
    _, found = billed_until(subscribed(DEAR_ADVANCE), now)
    found, _ = changed(found, change(ADVANCE), DEAR_ADVANCE, now)
    made, _ = billed_until(found, utc("2024-04-01"))
    assert by_plan(made) == {"cheap": 31 + 30}


def test_a_fee_paid_up_to_a_change_that_is_cancelled_goes_on_where_it_ended() -> None:
    found, _ = changed(subscribed(ADVANCE), change(DEAR_ADVANCE, utc("2024-02-10T06:00")), ADVANCE, utc("2024-01-05"))
    made, found = billed_until(found, utc("2024-02-05"))
    found = cancelled(found, utc("2024-02-05"))
    more, _ = billed_until(found, utc("2024-03-01"))
    dates = [day for day, _ in fee_dates(made + more)]
    assert dates == [date(2024, 1, 1) + timedelta(days=i) for i in range(31 + 29 + 31)]


def test_a_kept_fee_is_not_charged_again_when_the_end_is_moved_away() -> None:
    _, found = billed_until(subscribed(ADVANCE), utc("2024-02-05"))
    found = ended(found, utc("2024-02-10"), UnusedFee.KEEP)
    found = ended(found, utc("2024-03-15"))
    made, _ = billed_until(found, utc("2024-06-01"))
    assert [settled(due).fee for due in made] == [Period(utc("2024-03-01"), utc("2024-03-15")), None]
