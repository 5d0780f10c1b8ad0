"""Minimum and maximum amounts of a charge."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import plain
from services.pricing.domain.breakdown import RatedTier, StepKind
from services.pricing.domain.limits import Limits, Proration
from services.pricing.domain.plans import Charge, ChargeFilter, PropertyFilter
from services.pricing.domain.rating import RatedCharge, rate_charge
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.usage import Usage
from tests.pricing.costs import MODEST, charge
from tests.pricing.strategies import decimals, limits

CENTS = StandardPrice(Decimal("0.01"))
SPLIT = replace(
    charge(CENTS),
    filters=(ChargeFilter("eu", "", (PropertyFilter("region", ("eu",)),), StandardPrice(Decimal("0.02"))),),
    group_keys=("model",),
)


def limited(minimum: str | None = None, maximum: str | None = None) -> Charge:
    limits = Limits(*(None if limit is None else Decimal(limit) for limit in (minimum, maximum)))
    return replace(SPLIT, limits=limits)


def rated(charge: Charge, *quantities: int, proration: Proration | None = None) -> list[RatedCharge]:
    groups = [Usage("tokens", Decimal(each), group=(("model", str(n)),)) for n, each in enumerate(quantities)]
    return rate_charge(charge, [*groups, Usage("tokens", Decimal(100), "eu")], "USD", proration)


def test_a_minimum_is_made_up_for_over_all_filters_and_groups() -> None:
    *used, true_up = rated(limited("50"), 300, 500)
    assert [entry.amount.minor_units for entry in used] == [300, 500, 200]
    assert (true_up.model, true_up.usage, true_up.filter) == ("minimum", Usage("tokens", Decimal(1)), None)
    assert (true_up.amount.minor_units, plain(true_up.unrounded_amount), plain(true_up.unit_amount)) == (
        4000,
        "40",
        "40",
    )
    assert [(step.kind, *told(step)) for step in true_up.tiers] == [(StepKind.LIMIT, "10", "50", "1", "40")]


def test_what_exceeds_the_maximum_is_taken_off() -> None:
    *used, off = rated(limited(maximum="5"), 300, 500)
    assert (off.model, off.amount.minor_units, plain(off.unrounded_amount)) == ("maximum", -500, "-5")
    assert sum(entry.amount.minor_units for entry in (*used, off)) == 500
    assert [told(step) for step in off.tiers] == [("10", "5", "1", "-5")]


def told(step: RatedTier) -> tuple[str, ...]:
    assert step.up_to is not None
    return tuple(plain(each) for each in (step.above, step.up_to, step.quantity, step.amount))


@pytest.mark.parametrize(("minimum", "maximum"), [(None, None), ("10", None), (None, "10"), ("10", "10"), ("0", "99")])
def test_nothing_is_added_within_the_limits(minimum: str | None, maximum: str | None) -> None:
    assert len(rated(limited(minimum, maximum), 300, 500)) == 3


def test_a_difference_of_less_than_half_a_minor_unit_is_none() -> None:
    assert len(rated(limited("10.004999"), 300, 500)) == 3
    assert len(rated(limited("10.005"), 300, 500)) == 4


def test_a_minimum_is_owed_for_a_part_of_the_period() -> None:
    true_up = rated(limited("100", "1000"), 300, 500, proration=Proration(10, 31))[-1]
    assert true_up.amount.minor_units == 3226 - 1000
    assert true_up.unrounded_amount == Decimal("22.258064516129032258064516")


def test_an_unused_charge_owes_its_minimum() -> None:
    assert [entry.amount.minor_units for entry in rate_charge(limited("50"), [], "JPY", None)] == [0, 0, 50]


@given(limits(MODEST), st.lists(st.integers(0, 10**9), max_size=4), st.integers(1, 31), st.integers(0, 30))
def test_a_charge_comes_to_what_its_limits_allow(
    pair: tuple[Decimal | None, Decimal | None], quantities: list[int], days: int, more: int
) -> None:
    entries = rated(replace(SPLIT, limits=Limits(*pair)), *quantities, proration=Proration(days, days + more))
    used = sum(quantities) + 200
    minimum, maximum = pair
    owed = Fraction(minimum or 0) * days / (days + more)
    comes_to = sum(entry.amount.minor_units for entry in entries)
    if owed * 100 > used:
        assert comes_to == floor(owed * 100 + Fraction(1, 2))
    elif maximum is not None and Fraction(maximum) * 100 < used:
        assert abs(Fraction(maximum) * 100 - comes_to) <= Fraction(1, 2)
    else:
        assert comes_to == used


@given(decimals(MODEST), st.integers(1, 366), st.integers(0, 366))
def test_a_prorated_minimum_is_never_cut_across_a_tie(minimum: Decimal, days: int, more: int) -> None:
    exact = Fraction(minimum) * days / (days + more)
    cut = Fraction(Proration(days, days + more).of(minimum))
    assert floor(cut * 100 + Fraction(1, 2)) == floor(exact * 100 + Fraction(1, 2))
