"""What a period costs a subscription beside its usage."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from services.pricing.domain.accumulation import Accumulation
from services.pricing.domain.bills import Bill, Span
from services.pricing.domain.calendar import Period, zone
from services.pricing.domain.commitments import FixedCharge, MinimumCommitment
from services.pricing.domain.intervals import whole
from services.pricing.domain.needs import MeteredVersion, needs_of
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.plans import BillingInterval, Charge, Phase, PlanVersion, PriceChange
from services.pricing.domain.simulation import Told, cost, refusal_of
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.time_of_day import TimeOfDayPrice
from services.pricing.domain.usage import Usage
from tests.pricing.conftest import NOW

UTC_ZONE = zone("UTC")
NOVEMBER = whole(date(2023, 11, 1), BillingInterval.MONTHLY, UTC_ZONE)
CALLS = Charge("calls", "", "calls", StandardPrice(Decimal(1)))
PLAN = PlanVersion("pro", 1, "USD", BillingInterval.MONTHLY, Money(3000, "USD"), (CALLS,), (), NOW)


def span(start: datetime, end: datetime = NOVEMBER.end) -> Span:
    return Span(start, Period(max(start, NOVEMBER.start), end), NOVEMBER, UTC_ZONE)


def of(version: PlanVersion, over: Span, units: int = 0) -> int:
    """Minor units, for so many calls."""
    metered = MeteredVersion.of(version)
    told = {source: [Usage("calls", Decimal(units))] for _, source in metered.in_month(over.month).sources}
    return cost(metered, [Bill(over)], [Told(told)]).amount.minor_units


def day(number: int, month: int = 11) -> datetime:
    return datetime(2023, month, number, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "trial_days", "base_fee"),
    [
        (day(1, 10), 0, 3000),
        (day(1, 10), 31, 3000),
        (day(1, 10), 32, 2900),
        (day(1, 10), 40, 2100),
        (day(1, 10), 61, 0),
        (day(21), 0, 1000),
        (day(21), 4, 600),
        (day(21), 10, 0),
        (day(21) + timedelta(hours=12), 4, 600),
    ],
)
def test_a_trial_waives_the_base_fee_by_days_and_no_usage(start: datetime, trial_days: int, base_fee: int) -> None:
    assert of(replace(PLAN, trial_days=trial_days), span(start), 5) == base_fee + 500


@given(st.integers(0, 3650), st.integers(0, 60))
def test_a_longer_trial_never_costs_more(trial_days: int, begun: int) -> None:
    over = span(day(1, 10) + timedelta(days=begun))
    longer = of(replace(PLAN, trial_days=trial_days + 1), over)
    assert 0 <= longer <= of(replace(PLAN, trial_days=trial_days), over)


def test_fixed_charges_cost_the_days_of_the_contract_where_they_are_prorated() -> None:
    seats = FixedCharge("seats", "", "seat", Decimal(2), StandardPrice(Decimal(15)))
    both = replace(PLAN, fixed_charges=(seats, replace(seats, code="desks", prorated=True)))
    assert of(both, span(day(1, 10))) == 3000 + 3000 + 3000
    assert of(both, span(day(21))) == 1000 + 3000 + 1000


def test_a_minimum_commitment_is_compared_with_everything_for_the_days_of_the_contract() -> None:
    seats = FixedCharge("seats", "", "seat", Decimal(2), StandardPrice(Decimal(15)))
    version = replace(PLAN, fixed_charges=(seats,), minimum_commitment=MinimumCommitment(Money(9000, "USD"), ""))
    assert of(version, span(day(1, 10)), 5) == 9000
    assert of(version, span(day(1, 10)), 50) == 3000 + 3000 + 5000
    assert of(version, span(day(21))) == 1000 + 3000
    assert of(replace(version, fixed_charges=(), trial_days=30), span(day(21))) == 3000


def test_a_phase_holds_by_the_month_of_the_contract_and_its_prices_are_asked_for_too() -> None:
    dear = PriceChange("calls", "", PercentagePrice(Decimal(100), Decimal(0), free_transactions=3))
    phases = (
        Phase("", 0, 1, Decimal(-50), (PriceChange("calls", "", Decimal(100)),)),
        Phase("", 2, None, Money(1, "USD"), (dear,)),
    )
    version = replace(PLAN, phases=phases)
    assert of(version, span(day(1)), 5) == 1500 + 1000
    assert of(version, span(day(2, 10)), 5) == 1500 + 1000
    assert of(version, span(day(1, 10)), 5) == 3000 + 500
    assert [split.first_events for split in needs_of([MeteredVersion.of(version)])] == [0, 3]


@pytest.mark.parametrize(
    ("changed", "is_refused"),
    [
        ({}, False),
        ({"prorated": True}, False),
        ({"meter_code": "seats"}, False),
        ({"meter_code": "seats", "price": PercentagePrice(Decimal(1))}, True),
        ({"accumulation": Accumulation.CONTRACT}, True),
        ({"price": TimeOfDayPrice("UTC", (), Decimal(1))}, True),
    ],
)
def test_what_no_single_event_can_be_charged_for_is_refused(changed: dict[str, Any], is_refused: bool) -> None:
    refused = refusal_of(
        replace(PLAN, charges=(CALLS, replace(CALLS, code="early", in_advance=True, **changed))), {"seats"}
    )
    assert (refused is not None) == is_refused
    if refused is not None:
        assert (refused.reason, refused.metadata["fields"]) == ("PLAN_UNSUPPORTED", "charges[1].in_advance")
    assert refusal_of(replace(PLAN, charges=(replace(CALLS, **changed),))) is None
