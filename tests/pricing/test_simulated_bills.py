"""The bills that a simulated period is made of add up: periods to bills, events to usage."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from services.pricing.domain.advance import Recorded, charge_events
from services.pricing.domain.bills import Bill, bills
from services.pricing.domain.calendar import Period, zone
from services.pricing.domain.commitments import MinimumCommitment
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.intervals import whole
from services.pricing.domain.needs import MeteredVersion
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.plans import BillingInterval, Charge, PlanVersion
from services.pricing.domain.rating import rate
from services.pricing.domain.simulation import Told, cost
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.usage import Usage
from services.pricing.domain.volume import VolumePrice
from tests.pricing.conftest import NOW

ZONES = [zone("UTC"), zone("America/New_York"), zone("Pacific/Apia")]
MONTHS = [date(2023, month, 1) for month in range(1, 13)]
instants = st.integers(0, 2 * 366 * 24).map(lambda hours: datetime(2022, 7, 1, tzinfo=UTC) + timedelta(hours=hours))
intervals = st.sampled_from(BillingInterval)
TIERS = (
    PriceTier(Decimal(500), Decimal("0.1"), Decimal(7)),
    PriceTier(Decimal(1500), Decimal("0.03"), Decimal(1)),
    PriceTier(None, Decimal("0.015"), Decimal(0)),
)


def seconds(found: list[Bill]) -> float:
    return sum(
        (-1 if each.is_before else 1) * (each.span.period.end - each.span.period.start).total_seconds()
        for each in found
    )


@given(instants, st.none() | instants, st.sampled_from(MONTHS), intervals, intervals, st.sampled_from(ZONES))
def test_the_bills_of_a_period_are_for_the_time_of_the_contract_in_it(
    start: datetime,
    end: datetime | None,
    first: date,
    of_period: BillingInterval,
    billed: BillingInterval,
    tz: ZoneInfo,
) -> None:
    if of_period is BillingInterval.WEEKLY:
        first -= timedelta(days=first.weekday())
    elif first.month not in (1, 7) or of_period is BillingInterval.YEARLY:
        first = first.replace(month=1)
    period = whole(first, of_period, tz)
    found = list(bills(start, end, period, billed, tz))
    after = period.end if end is None else min(end, period.end)
    assert seconds(found) == max((after - max(start, period.start)).total_seconds(), 0)
    for each in found:
        span = each.span
        assert span.whole.start <= span.period.start < span.period.end <= span.whole.end
        assert span.period.start == max(start, span.whole.start)
    assert all(one.span.whole.end == other.span.whole.start for one, other in pairwise(found) if not other.is_before)


@given(
    st.lists(st.integers(0, 900), min_size=12, max_size=12),
    st.integers(0, 364),
    st.sampled_from([GraduatedPrice(TIERS), VolumePrice(TIERS), StandardPrice(Decimal("0.0173"))]),
)
def test_months_of_a_yearly_plan_add_up_to_its_bill(
    used: list[int], begun: int, price: GraduatedPrice | VolumePrice | StandardPrice
) -> None:
    tz = ZONES[1]
    charge = Charge("calls", "", "calls", price)
    plan = PlanVersion("pro", 1, "USD", BillingInterval.YEARLY, Money(99999, "USD"), (charge,), (), NOW)
    plan = replace(plan, trial_days=20, minimum_commitment=MinimumCommitment(Money(150_000, "USD"), ""))
    metered = MeteredVersion.of(plan)
    start = datetime(2023, 1, 1, 5, tzinfo=UTC) + timedelta(days=begun)

    def until(span: Period) -> Told:
        months = [whole(first, BillingInterval.MONTHLY, tz) for first in MONTHS]
        units = sum(n for n, month in zip(used, months, strict=True) if start < month.end <= span.end)
        return Told({source: [Usage("calls", Decimal(units))] for _, source in metered.sources})

    def amount(first: date, interval: BillingInterval) -> int:
        found = list(bills(start, None, whole(first, interval, tz), BillingInterval.YEARLY, tz))
        return cost(metered, found, [until(each.span.period) for each in found]).amount.minor_units

    assert sum(amount(first, BillingInterval.MONTHLY) for first in MONTHS) == amount(MONTHS[0], BillingInterval.YEARLY)


@given(st.lists(st.integers(1, 900).map(lambda n: Decimal(n) / 4), max_size=8))
def test_fees_of_events_add_up_to_what_all_usage_costs(values: list[Decimal]) -> None:
    """Where no fee has to be rounded."""
    tiers = tuple(replace(tier, unit_price=tier.unit_price * 200) for tier in TIERS)
    percentage = PercentagePrice(Decimal(4), Decimal("0.3"), free_transactions=2)
    for price in (GraduatedPrice(tiers), StandardPrice(Decimal("0.08")), percentage):
        charge = Charge("calls", "", "calls", price, in_advance=True)
        marks = [sum(values[: index + 1], Decimal(0)) for index in range(len(values))]
        events = [
            Recorded("", (), number, value, Decimal(0), mark)
            for number, (value, mark) in enumerate(zip(values, marks, strict=True), 1)
        ]
        minor_units, places = charge_events(charge, events, "USD")
        assert minor_units == sum(rate(charge, usage, "USD").amount.minor_units for _, _, usage in places)


def test_each_fee_is_rounded_and_nothing_is_given_back() -> None:
    charge = Charge("calls", "", "calls", StandardPrice(Decimal("0.006")), in_advance=True)
    events = [
        Recorded("", (), 1, Decimal(1), Decimal(0), Decimal(1)),
        Recorded("", (), 2, Decimal(-1), Decimal(0), Decimal(1)),
        Recorded("", (), 3, Decimal(2), Decimal(0), Decimal(2)),
    ]
    assert charge_events(charge, events, "USD")[0] == 2
