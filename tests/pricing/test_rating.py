from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument, NotFound
from libs.common.money import EXACT, Money, exponent
from services.pricing.domain.breakdown import RatedTier, total
from services.pricing.domain.graduated import GraduatedPrice, PriceTier, rate_graduated
from services.pricing.domain.package import PackagePrice, rate_package
from services.pricing.domain.plans import BillingInterval, Charge, PlanVersion, Price
from services.pricing.domain.rating import RatedCharge, rate, rate_version
from services.pricing.domain.standard import StandardPrice, rate_standard
from tests.pricing.conftest import NOW
from tests.pricing.strategies import decimals, graduated_prices, package_prices, prices

MODEST = 19
"""Digits of a quantity or a price, 7 before the point: what they make fits into Money."""

INPUT_TOKENS = GraduatedPrice(
    (
        PriceTier(Decimal(1_000_000), Decimal("0.0000025")),
        PriceTier(Decimal(5_000_000), Decimal("0.000002")),
        PriceTier(None, Decimal("0.0000015")),
    )
)


def charge(price: Price, code: str = "tokens") -> Charge:
    return Charge(code, "", "meter", price)


def cost(price: Price, quantity: str | Decimal, currency: str = "USD") -> RatedCharge:
    return rate(charge(price), Decimal(quantity), currency)


@given(decimals(38), decimals(38))
def test_a_standard_price_of_38_digits_stays_exact(unit_price: Decimal, quantity: Decimal) -> None:
    steps = rate_standard(StandardPrice(unit_price), quantity)
    assert Fraction(total(steps)) == Fraction(unit_price) * Fraction(quantity)


@given(graduated_prices(37), decimals(37))
def test_a_graduated_price_is_the_sum_over_the_tiers_reached(price: GraduatedPrice, quantity: Decimal) -> None:
    expected = Fraction(0)
    bottom = Fraction(0)
    for index, tier in enumerate(price.tiers):
        top = Fraction(quantity) if tier.up_to is None else min(Fraction(quantity), Fraction(tier.up_to))
        expected += max(top - bottom, Fraction(0)) * Fraction(tier.unit_price)
        expected += Fraction(tier.flat_fee) if index == 0 or quantity > bottom else 0
        bottom = Fraction(tier.up_to or 0)
    assert Fraction(total(rate_graduated(price, quantity))) == expected


@given(package_prices(38), decimals(38))
def test_a_package_begun_is_a_package_sold(price: PackagePrice, quantity: Decimal) -> None:
    paid = max(Fraction(quantity) - Fraction(price.free_units), Fraction(0))
    [step] = rate_package(price, quantity)
    assert step.quantity == ceil(paid / Fraction(price.package_size))
    assert Fraction(step.amount) == Fraction(step.quantity) * Fraction(price.package_price)


@given(prices(MODEST), decimals(MODEST), decimals(MODEST))
def test_more_usage_never_costs_less(price: Price, one: Decimal, other: Decimal) -> None:
    less, more = sorted((one, other))
    assert cost(price, less).unrounded_amount <= cost(price, more).unrounded_amount
    assert cost(price, less).amount.minor_units <= cost(price, more).amount.minor_units


@given(prices(MODEST), decimals(MODEST), st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
def test_the_steps_add_up_to_the_unrounded_amount_which_is_rounded_once(
    price: Price, quantity: Decimal, currency: str
) -> None:
    rated = cost(price, quantity, currency)
    exact = sum((Fraction(step.amount) for step in rated.tiers), Fraction(0))
    assert exact == Fraction(rated.unrounded_amount)
    assert rated.amount == Money(floor(exact * 10 ** exponent(currency) + Fraction(1, 2)), currency)


@given(graduated_prices(37), decimals(37))
def test_the_steps_of_a_graduated_price_cover_the_quantity_without_gaps(
    price: GraduatedPrice, quantity: Decimal
) -> None:
    steps = rate_graduated(price, quantity)
    assert sum((Fraction(step.quantity) for step in steps), Fraction(0)) == Fraction(quantity)
    assert [step.above for step in steps] == [Decimal(0), *(step.up_to for step in steps[:-1])]
    assert steps[-1].up_to is None or quantity <= steps[-1].up_to


@given(graduated_prices(37), decimals(37), decimals(37).filter(bool))
def test_a_tier_split_anywhere_costs_the_same(price: GraduatedPrice, quantity: Decimal, at: Decimal) -> None:
    ends = [tier.up_to for tier in price.tiers]
    index = next(i for i, end in enumerate(ends) if end is None or at <= end)
    tier = price.tiers[index]
    halves = () if at == tier.up_to else (replace(tier, up_to=at), replace(tier, flat_fee=Decimal(0)))
    split = GraduatedPrice((*price.tiers[:index], *(halves or (tier,)), *price.tiers[index + 1 :]))
    assert total(rate_graduated(split, quantity)) == total(rate_graduated(price, quantity))


@given(graduated_prices(37), decimals(37), decimals(37))
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


@given(prices(MODEST), decimals(MODEST).filter(bool))
def test_a_negative_quantity_costs_nothing(price: Price, quantity: Decimal) -> None:
    rated = cost(price, -quantity)
    assert rated == RatedCharge(charge(price), -quantity, Money(0, "USD"), Decimal(0), tiers=())


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
    ("quantity", "packages", "minor_units"),
    [("0", 0, 0), ("500", 0, 0), ("500.000000000001", 1, 100), ("1500", 1, 100), ("1501", 2, 200), ("2940", 3, 300)],
)
def test_a_package_counts_what_lies_above_the_free_units(quantity: str, packages: int, minor_units: int) -> None:
    price = PackagePrice(package_size=Decimal(1000), package_price=Decimal("1.00"), free_units=Decimal(500))
    rated = cost(price, quantity)
    [step] = rated.tiers
    assert step == RatedTier(Decimal(0), None, Decimal(packages), Decimal("1.00"), free_units=Decimal(500))
    assert rated.amount == Money(minor_units, "USD")


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [("1000000", "2.5"), ("5000000", "10.5"), ("6000001", "12.0000015"), ("6000000.5", "12.00000075")],
)
def test_input_tokens_are_graduated(quantity: str, amount: str) -> None:
    assert cost(INPUT_TOKENS, quantity).unrounded_amount == Decimal(amount)


@pytest.mark.parametrize(
    ("unit_price", "currency", "minor_units"),
    [
        ("0.005", "USD", 1), ("0.004999999999", "USD", 0), ("1.015", "USD", 102), ("1.025", "USD", 103),
        ("0.5", "JPY", 1), ("0.499999999999", "JPY", 0), ("1.5", "JPY", 2), ("2.5", "JPY", 3),
        ("0.0005", "KWD", 1), ("0.0025", "KWD", 3), ("0.00005", "CLF", 1),
    ],
)  # fmt: skip
def test_a_fee_is_rounded_half_away_from_zero(unit_price: str, currency: str, minor_units: int) -> None:
    rated = cost(StandardPrice(Decimal(unit_price)), "1", currency)
    assert rated.amount == Money(minor_units, currency)
    assert rated.unrounded_amount == Decimal(unit_price)


HUGE = Decimal("9" * 26 + "." + "9" * 12)


@pytest.mark.parametrize(
    "price",
    [
        StandardPrice(HUGE),
        GraduatedPrice((PriceTier(Decimal(1), HUGE, HUGE), PriceTier(None, HUGE, HUGE))),
        PackagePrice(Decimal("0.000000000001"), HUGE),
        StandardPrice(Decimal("0.000000001")),
    ],
)
def test_an_amount_that_money_cannot_state_is_refused(price: Price) -> None:
    with pytest.raises(InvalidArgument) as refused:
        cost(price, HUGE)
    assert refused.value.reason == "AMOUNT_TOO_LARGE"


def test_the_largest_amount_that_money_can_state_is_not_refused() -> None:
    largest = EXACT.multiply(Decimal(2**63 - 1), Decimal("0.01"))
    assert cost(StandardPrice(largest), "1").amount == Money(2**63 - 1, "USD")
    with pytest.raises(InvalidArgument):
        cost(StandardPrice(EXACT.add(largest, Decimal("0.005"))), "1")


def version(*charges: Charge) -> PlanVersion:
    return PlanVersion("llm-api", 1, "USD", BillingInterval.MONTHLY, None, charges, (), NOW)


def test_charges_are_rated_in_the_order_of_the_version_and_those_left_out_at_0() -> None:
    flat = GraduatedPrice((PriceTier(None, Decimal(1), Decimal(9)),))
    plan = version(charge(flat, "b"), charge(StandardPrice(Decimal(2)), "a"))
    rated = rate_version(plan, {"a": Decimal(3)})
    assert [each.charge.code for each in rated] == ["b", "a"]
    assert [each.amount.minor_units for each in rated] == [900, 600]


def test_a_quantity_for_a_charge_that_the_version_lacks_is_refused() -> None:
    with pytest.raises(NotFound) as refused:
        rate_version(version(), {"tokens": Decimal(1)})
    assert refused.value.reason == "CHARGE_NOT_FOUND"
    assert refused.value.metadata["charge_code"] == "tokens"
