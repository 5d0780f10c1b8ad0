"""Customers who move to another time zone: periods tile time, days the calendar, and what was billed stays."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from services.invoicing.domain.moving import moved
from services.invoicing.domain.period import Moves, Period, day_from, day_of, day_start, local_date, zone
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.schedule import BillingInterval, BillingTime
from services.invoicing.domain.subscription import Subscription
from tests.invoicing.test_changes import bill_until
from tests.invoicing.test_customer_changes import update
from tests.invoicing.test_kinds_of_charges import require_replayed
from tests.invoicing.world import Tenant, World, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import pricing_pb2

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Pacific/Pago_Pago")
ZONES += ("America/Santiago", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia")
DAY = timedelta(days=1)

FIRST = datetime(2011, 1, 1, tzinfo=UTC)
instants = st.integers(0, 15 * 366 * 86400).map(lambda seconds: FIRST + timedelta(seconds=seconds))


@given(st.lists(st.tuples(st.sampled_from(ZONES), instants), min_size=1, max_size=3), st.sampled_from(ZONES), instants)
def test_the_days_of_somebody_who_moves_tile_time(left: list[tuple[str, datetime]], last: str, near: datetime) -> None:
    untils = sorted({until for _, until in left})
    past = tuple((zone(name), until) for (name, _), until in zip(left, untils, strict=False))
    calendar = Moves(past, zone(last))
    for around in (near, *untils):
        for instant in (around - DAY, around, around + timedelta(microseconds=1), around + timedelta(hours=7)):
            day = day_of(instant, calendar)
            assert day_start(day, calendar) <= instant < day_start(day + DAY, calendar)
            assert day_start(day_from(instant, calendar), calendar) >= instant
            assert local_date(instant, calendar) <= day
        begun = day_of(around - 3 * DAY, calendar)
        starts = [day_start(begun + n * DAY, calendar) for n in range(7)]
        assert starts == sorted(starts)


@given(
    start=instants,
    interval=st.sampled_from(BillingInterval),
    of_fee=st.none() | st.sampled_from([BillingInterval.QUARTERLY, BillingInterval.YEARLY]),
    billing_time=st.sampled_from(BillingTime),
    in_advance=st.booleans(),
    first=st.sampled_from(ZONES),
    steps=st.lists(st.none() | st.sampled_from(ZONES), min_size=1, max_size=14),
    ends=st.booleans(),
)
@settings(max_examples=300)
def test_periods_go_on_tiling_time_and_every_one_is_whole_wherever_the_customer_moves(
    start: datetime,
    interval: BillingInterval,
    of_fee: BillingInterval | None,
    billing_time: BillingTime,
    in_advance: bool,
    first: str,
    steps: list[str | None],
    ends: bool,
) -> None:
    if of_fee is not None:
        interval = BillingInterval.MONTHLY
    of = subscription(start, interval, billing_time, in_advance, first, of_fee)
    periods: list[Period] = []
    fees: list[tuple[Period, tuple[int, int]]] = []
    for step in steps:
        if step is not None:
            before = of
            of = moved(of, step, now=of.current_period.start + timedelta(hours=1))
            assert of.current_period.start == before.current_period.start < of.current_period.end
            assert not in_advance or of.is_opening or of.current_period == before.current_period
            continue
        fee = of.opening_fee if of.is_opening else of.closing_fee
        if fee is not None:
            fees.append((fee, of.fee_schedule_of(of.phase).days_in(fee)))
        if not of.is_opening:
            periods.append(of.current_period)
        of = of.billed()
    assert all(one.end == other.start for one, other in pairwise(periods))
    assert not periods or periods[0].start == start
    assert all(
        one.end == other.start or day_of(one.end, of.calendar) == day_of(other.start, of.calendar)
        for (one, _), (other, _) in pairwise(fees)
    )
    assert all(days == whole for _, (days, whole) in fees[1:])
    assert [of.fee_schedule_of(of.phase).days_in(fee) for fee, _ in fees] == [days for _, days in fees], (
        "what is billed stays"
    )


def subscription(
    start: datetime,
    interval: BillingInterval,
    billing_time: BillingTime,
    in_advance: bool,
    time_zone: str,
    of_fee: BillingInterval | None = None,
) -> Subscription:
    phase = Phase(1, start, "plan", 1, interval, billing_time, start, start, in_advance, fee_interval=of_fee)
    made = Subscription("s", "c", time_zone, billing_time, start, (phase,), 1, Period(start, start + DAY), False, start)
    return made.entering(phase)


def monthly(first: str, *, in_advance: bool = False) -> Subscription:
    start = day_start(date(2024, 1, 1), zone(first))
    return subscription(start, BillingInterval.MONTHLY, BillingTime.CALENDAR, in_advance, first)


def ends_at(of: Subscription) -> str:
    return of.current_period.end.strftime("%m-%dT%H")


def test_a_period_of_which_nothing_is_billed_ends_by_the_new_zone() -> None:
    of = monthly("Asia/Tokyo")
    there = moved(of, "America/New_York", datetime(2024, 1, 20, tzinfo=UTC))
    assert (ends_at(of), ends_at(there)) == ("01-31T15", "02-01T05")
    assert there.days_in(there.phase, there.current_period) == (31, 31)
    assert ends_at(there.billed()) == "03-01T05"


def test_a_period_that_is_paid_in_advance_ends_as_it_was_and_the_next_is_stitched_to_it() -> None:
    for first, other, ended, follows in (
        ("Asia/Tokyo", "America/New_York", "01-31T15", "03-01T05"),
        ("America/New_York", "Asia/Tokyo", "02-01T05", "02-29T15"),
    ):
        paid = monthly(first, in_advance=True).billed()
        there = moved(paid, other, datetime(2024, 1, 20, tzinfo=UTC))
        assert ends_at(there) == ended
        fee = there.closing_fee
        assert fee is not None
        assert there.schedule.days_in(fee) == (29, 29)
        assert ends_at(there.billed()) == follows


def test_a_change_at_the_end_of_the_period_and_an_end_stay_there() -> None:
    of = monthly("Asia/Tokyo")
    boundary = of.current_period.end
    following = replace(of.phases[0], number=2, start_time=boundary, anchor_time=boundary, fee_start_time=boundary)
    of = replace(of, phases=(of.phase, following), end_time=of.billed().current_period.end)
    there = moved(of, "America/New_York", datetime(2024, 1, 20, tzinfo=UTC))
    assert ends_at(there) == "02-01T05"
    assert there.phases[1].start_time == there.phases[1].fee_start_time == there.current_period.end
    assert there.end_time == datetime(2024, 3, 1, 5, tzinfo=UTC)
    assert there.days_in(there.phase, there.current_period) == (31, 31)


def test_what_has_not_begun_is_in_the_new_zone_alone() -> None:
    of = monthly("Asia/Tokyo")
    there = moved(of, "America/New_York", datetime(2023, 12, 1, tzinfo=UTC))
    assert there.past_zones == ()
    assert there.calendar == ZoneInfo("America/New_York")
    assert ends_at(there) == "01-01T05"


def test_moves_to_and_fro_within_a_period_leave_nothing_behind() -> None:
    of = monthly("Asia/Tokyo")
    for there in ("America/New_York", "Europe/Berlin", "Asia/Tokyo"):
        of = moved(of, there, datetime(2024, 1, 20, tzinfo=UTC))
    assert ends_at(of) == "01-31T15"
    assert len(of.past_zones) == 1


CALLS = pricing_pb2.Charge(
    code="requests", name="Requests", meter_code="requests", standard=pricing_pb2.StandardPrice(unit_price="1")
)


async def begin(acme: Tenant) -> None:
    """Two subscriptions of a customer in Tokyo from 1 January, one that is paid in advance."""
    await acme.meter("requests")
    await acme.start_clock("2023-12-31T15:00")
    await acme.customer("globex", "Asia/Tokyo")
    await acme.plan("late", CALLS, base_fee=3100)
    await acme.plan("early", CALLS, base_fee=3100, in_advance=True)
    for plan in ("late", "early"):
        await acme.subscribe(plan, "globex", plan, "2023-12-31T15:00")


async def move(acme: Tenant, time_zone: str) -> None:
    await acme.customers.UpdateCustomer(update("time_zone", time_zone=time_zone))


def used_units(invoices: list[invoicing_pb2.Invoice]) -> int:
    """At 1 USD each; a line of late usage is what it adds."""
    lines = [line for each in invoices for line in each.lines if line.code == "requests"]
    return sum(line.amount.minor_units for line in lines) // 100


async def test_what_a_customer_who_moves_uses_and_holds_is_billed_once(world: World, acme: Tenant) -> None:
    await begin(acme)
    used = utc("2024-01-01")
    for to, zone_after in (
        ("2024-01-20", "America/New_York"),
        ("2024-02-12", "Pacific/Kiritimati"),
        ("2024-03-09", "UTC"),
    ):
        await acme.advance(to)
        await world.bill()
        while used < utc(to):
            for each in ("late", "early"):
                await acme.events(each, 1, at=used.isoformat(), prefix=f"{used:%m%dT%H}")
            used += timedelta(hours=13)
        await move(acme, zone_after)
    invoices = await bill_until(world, acme, "2024-04-03")
    events = -(-(utc("2024-03-09") - utc("2024-01-01")) // timedelta(hours=13))
    for name, fee_months in (("late", 3), ("early", 4)):
        its = [each for each in invoices if each.subscription_id == name]
        assert used_units(its) == events
        fees = [line for each in its for line in each.lines if line.code == "base"]
        assert [line.amount.minor_units for line in fees] == [3100] * fee_months
    await require_replayed(acme, invoices)


async def test_moves_and_runs_at_once_leave_every_month_whole(world: World, acme: Tenant) -> None:
    await begin(acme)
    await acme.advance("2024-02-01T06:00")
    zones = ("America/New_York", "Europe/Berlin", "Asia/Tokyo", "America/New_York")
    moves = [move(acme, each) for each in zones]
    answers = await asyncio.gather(world.bill(), *moves, world.bill(), return_exceptions=True)
    assert [each for each in answers if isinstance(each, BaseException)] == []
    invoices = await bill_until(world, acme, "2024-04-03")
    for name, fee_months in (("late", 3), ("early", 4)):
        fees = [line for each in invoices if each.subscription_id == name for line in each.lines if line.code == "base"]
        assert [line.amount.minor_units for line in fees] == [3100] * fee_months
    await require_replayed(acme, invoices)
