"""Prices that depend on quantity."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from services.pricing.domain.breakdown import EXACT, RatedTier, StepKind, total
from services.pricing.domain.graduated import GraduatedPrice, rate_graduated
from services.pricing.domain.graduated_percentage import (
    GraduatedPercentagePrice,
    PercentageTier,
    rate_graduated_percentage,
)
from services.pricing.domain.package import PackagePrice, rate_package
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.usage import Usage
from services.pricing.domain.volume import VolumePrice, rate_volume
from tests.pricing.costs import MODEST, cost
from tests.pricing.strategies import (
    SMALLEST,
    decimals,
    graduated_percentage_prices,
    graduated_prices,
    package_prices,
    volume_prices,
)

cents = st.integers(0, 1000).map(lambda cents: Decimal(cents).scaleb(-2))

INPUT_TOKENS = GraduatedPrice(
    (
        PriceTier(Decimal(1_000_000), Decimal("0.0000025")),
        PriceTier(Decimal(5_000_000), Decimal("0.000002")),
        PriceTier(None, Decimal("0.0000015")),
    )
)


@given(graduated_prices(38), decimals(52))
def test_a_graduated_price_is_the_sum_over_the_tiers_reached(price: GraduatedPrice, quantity: Decimal) -> None:
    expected = Fraction(0)
    bottom = Fraction(0)
    for index, tier in enumerate(price.tiers):
        top = Fraction(quantity) if tier.up_to is None else min(Fraction(quantity), Fraction(tier.up_to))
        expected += max(top - bottom, Fraction(0)) * Fraction(tier.unit_price)
        expected += Fraction(tier.flat_fee) if index == 0 or quantity > bottom else 0
        bottom = Fraction(tier.up_to or 0)
    assert Fraction(total(rate_graduated(price, quantity))) == expected


@given(graduated_prices(38), decimals(52))
def test_the_steps_of_a_graduated_price_cover_the_quantity_without_gaps(
    price: GraduatedPrice, quantity: Decimal
) -> None:
    steps = rate_graduated(price, quantity)
    assert sum((Fraction(step.quantity) for step in steps), Fraction(0)) == Fraction(quantity)
    assert [step.above for step in steps] == [Decimal(0), *(step.up_to for step in steps[:-1])]
    last = steps[-1].up_to
    assert last is None or quantity <= last


@given(graduated_prices(38), decimals(52), decimals(38).filter(bool))
def test_a_tier_split_anywhere_costs_the_same(price: GraduatedPrice, quantity: Decimal, at: Decimal) -> None:
    ends = [tier.up_to for tier in price.tiers]
    index = next(i for i, end in enumerate(ends) if end is None or at <= end)
    tier = price.tiers[index]
    halves = () if at == tier.up_to else (replace(tier, up_to=at), replace(tier, flat_fee=Decimal(0)))
    split = GraduatedPrice((*price.tiers[:index], *(halves or (tier,)), *price.tiers[index + 1 :]))
    assert total(rate_graduated(split, quantity)) == total(rate_graduated(price, quantity))


@given(graduated_prices(38), decimals(52), decimals(52))
def test_a_quantity_split_anywhere_costs_the_same(price: GraduatedPrice, one: Decimal, other: Decimal) -> None:
    """What the first part costs, and what the rest adds to it tier by tier, is what the whole costs."""
    part, whole = sorted((one, other))
    first, all_steps = rate_graduated(price, part), rate_graduated(price, whole)
    added = Fraction(0)
    for index, step in enumerate(all_steps):
        before = Fraction(first[index].quantity) if index < len(first) else Fraction(0)
        added += (Fraction(step.quantity) - before) * Fraction(step.unit_price)
        added += Fraction(step.flat_fee) if index >= len(first) else 0
    assert Fraction(total(first)) + added == Fraction(total(all_steps))


@pytest.mark.parametrize(
    ("quantity", "flat_fees"),
    [("0", ["5"]), ("10", ["5"]), ("10.000000000001", ["5", "7"]), ("11", ["5", "7"])],
)
def test_the_first_flat_fee_is_always_due_and_the_next_ones_once_their_tier_is_reached(
    quantity: str, flat_fees: list[str]
) -> None:
    price = GraduatedPrice((PriceTier(Decimal(10), Decimal(0), Decimal(5)), PriceTier(None, Decimal(0), Decimal(7))))
    assert [str(step.flat_fee) for step in cost(price, quantity).tiers] == flat_fees


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [("1000000", "2.5"), ("5000000", "10.5"), ("6000001", "12.0000015"), ("6000000.5", "12.00000075")],
)
def test_input_tokens_are_graduated(quantity: str, amount: str) -> None:
    assert cost(INPUT_TOKENS, quantity).unrounded_amount == Decimal(amount)


@given(graduated_percentage_prices(38), decimals(52))
def test_a_graduated_percentage_is_a_graduated_price_of_hundredths(
    price: GraduatedPercentagePrice, quantity: Decimal
) -> None:
    steps = rate_graduated_percentage(price, quantity)
    hundredfold = GraduatedPrice(
        tuple(PriceTier(tier.up_to, tier.rate_percent, tier.flat_fee.scaleb(2, EXACT)) for tier in price.tiers)
    )
    assert Fraction(total(steps)) * 100 == Fraction(total(rate_graduated(hundredfold, quantity)))
    assert [step.rate_percent for step in steps] == [tier.rate_percent for tier in price.tiers[: len(steps)]]


def test_a_graduated_percentage_step_tells_the_percentage_and_the_price_it_makes() -> None:
    price = GraduatedPercentagePrice(
        (PercentageTier(Decimal(10), Decimal(1), Decimal(200)), PercentageTier(None, Decimal("2.5"), Decimal(300)))
    )
    first, second = cost(price, "12").tiers
    assert (first.rate_percent, first.unit_price, first.amount) == (Decimal(1), Decimal("0.01"), Decimal("200.1"))
    assert (second.rate_percent, second.unit_price, second.amount) == (
        Decimal("2.5"),
        Decimal("0.025"),
        Decimal("300.05"),
    )


@given(volume_prices(38), decimals(52))
def test_a_volume_price_is_that_of_the_one_tier_which_holds_the_last_unit(
    price: VolumePrice, quantity: Decimal
) -> None:
    [step] = rate_volume(price, quantity, None)
    tier = next(tier for tier in price.tiers if tier.up_to is None or quantity <= tier.up_to)
    assert (step.up_to, step.unit_price, step.flat_fee) == (tier.up_to, tier.unit_price, tier.flat_fee)
    assert Fraction(step.amount) == Fraction(quantity) * Fraction(tier.unit_price) + Fraction(tier.flat_fee)


@given(volume_prices(MODEST), decimals(MODEST), decimals(MODEST))
def test_more_usage_costs_less_under_a_volume_price_only_where_a_tier_begins(
    price: VolumePrice, one: Decimal, other: Decimal
) -> None:
    less, more = (cost(price, quantity) for quantity in sorted((one, other)))
    if less.unrounded_amount > more.unrounded_amount:
        assert less.tiers[0].above < more.tiers[0].above
    else:
        assert less.amount.minor_units <= more.amount.minor_units


@given(volume_prices(MODEST))
def test_a_volume_tier_begins_with_a_step_in_what_everything_costs(price: VolumePrice) -> None:
    """Down or up by what all units cost more or less in the next tier, and its flat fee: the rule, not an accident."""
    for tier, following in zip(price.tiers, price.tiers[1:], strict=False):
        assert tier.up_to is not None
        last, first = cost(price, tier.up_to), cost(price, tier.up_to + SMALLEST)
        change = Fraction(tier.up_to) * (Fraction(following.unit_price) - Fraction(tier.unit_price))
        change += Fraction(following.flat_fee) - Fraction(tier.flat_fee)
        change += Fraction(SMALLEST) * Fraction(following.unit_price)
        assert Fraction(first.unrounded_amount) - Fraction(last.unrounded_amount) == change


VOLUME = VolumePrice(
    (
        PriceTier(Decimal(100), Decimal(2), Decimal(10)),
        PriceTier(Decimal(200), Decimal(1)),
        PriceTier(None, Decimal("0.5"), Decimal(50)),
    )
)


def test_one_unit_more_can_halve_a_volume_price() -> None:
    assert cost(VOLUME, "100").unrounded_amount == 210
    assert cost(VOLUME, "101").unrounded_amount == 101


def test_a_prorated_quantity_is_priced_in_the_volume_tier_of_the_full_one() -> None:
    rated = cost(VOLUME, Usage("tokens", Decimal(60), full_quantity=Decimal(120)))
    assert (rated.unrounded_amount, rated.unit_amount) == (Decimal(60), Decimal("0.5"))


whole_ranges = (
    st.lists(st.integers(1, 40), max_size=4, unique=True)
    .map(sorted)
    .flatmap(
        lambda ends: st.tuples(
            *(st.builds(PriceTier, st.just(end), cents, cents) for end in (*map(Decimal, ends), None))
        )
    )
)
"""Tiers that other products state as ranges 0-10, 11-20, … of whole units."""


@given(whole_ranges, st.integers(0, 5000).map(lambda hundredths: Decimal(hundredths).scaleb(-2)))
def test_ranges_of_whole_units_cost_what_tiers_up_to_their_ends_cost(
    tiers: tuple[PriceTier, ...], quantity: Decimal
) -> None:
    """By the rule of such ranges: units - from + 1 in all but the first; for volume the one that holds ceil(units)."""
    graduated, starts = Fraction(0), [0, *(int(tier.up_to) + 1 for tier in tiers if tier.up_to is not None)]
    for start, tier in zip(starts, tiers, strict=True):
        reached = tier.up_to is None or tier.up_to >= quantity
        top = quantity if tier.up_to is None or reached else tier.up_to
        graduated += Fraction(top - start + (1 if start else 0)) * Fraction(tier.unit_price) + Fraction(tier.flat_fee)
        if reached:
            break
    assert Fraction(cost(GraduatedPrice(tiers), quantity).unrounded_amount) == graduated
    holds = next(
        tier
        for start, tier in zip(starts, tiers, strict=True)
        if start <= ceil(quantity) and (tier.up_to is None or quantity <= tier.up_to)
    )
    assert cost(VolumePrice(tiers), quantity).tiers[0].up_to == holds.up_to


@given(package_prices(38), decimals(52))
def test_a_package_begun_is_a_package_sold(price: PackagePrice, quantity: Decimal) -> None:
    paid = max(Fraction(quantity) - Fraction(price.free_units), Fraction(0))
    [step] = rate_package(price, quantity)
    assert step.quantity == ceil(paid / Fraction(price.package_size))
    assert Fraction(step.amount) == Fraction(step.quantity) * Fraction(price.package_price)


@pytest.mark.parametrize(
    ("quantity", "packages", "minor_units"),
    [("0", 0, 0), ("500", 0, 0), ("500.000000000001", 1, 100), ("1500", 1, 100), ("1501", 2, 200), ("2940", 3, 300)],
)
def test_a_package_counts_what_lies_above_the_free_units(quantity: str, packages: int, minor_units: int) -> None:
    price = PackagePrice(package_size=Decimal(1000), package_price=Decimal("1.00"), free_units=Decimal(500))
    rated = cost(price, quantity)
    [step] = rated.tiers
    assert step == RatedTier(
        Decimal(0),
        None,
        Decimal(packages),
        Decimal("1.00"),
        Decimal(packages),
        free_units=Decimal(500),
        kind=StepKind.PACKAGES,
        package_size=Decimal(1000),
    )
    assert rated.amount == Money(minor_units, "USD")
