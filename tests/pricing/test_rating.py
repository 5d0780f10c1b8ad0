"""What holds under every charge model, and for a plan version as a whole."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument, NotFound
from libs.common.money import Money, exponent
from services.pricing.domain.breakdown import EXACT, total
from services.pricing.domain.dynamic import DynamicPrice
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.matrix import MatrixPrice, rate_matrix
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.percentage import PercentagePrice, rate_percentage
from services.pricing.domain.plans import BillingInterval, Charge, ChargeFilter, PlanVersion, Price, PropertyFilter
from services.pricing.domain.rating import rate_version
from services.pricing.domain.standard import StandardPrice, rate_standard
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.time_of_day import OUTSIDE, TimeOfDayPrice, TimeWindow, rate_time_of_day
from services.pricing.domain.usage import EventValue, Usage
from services.pricing.domain.volume import VolumePrice
from tests.pricing.conftest import NOW
from tests.pricing.costs import MODEST, charge, cost, of_events, statable
from tests.pricing.strategies import decimals, monotonic_prices, prices, usages


@given(decimals(38), decimals(52))
def test_a_standard_price_of_38_digits_stays_exact_for_a_quantity_of_52(unit_price: Decimal, quantity: Decimal) -> None:
    steps = rate_standard(StandardPrice(unit_price), quantity)
    assert Fraction(total(steps)) == Fraction(unit_price) * Fraction(quantity)


@given(decimals(38), decimals(38), decimals(52), st.integers(0, 10**9))
def test_so_do_a_percentage_a_cell_of_a_matrix_and_a_window_of_the_day(
    one: Decimal, other: Decimal, quantity: Decimal, events: int
) -> None:
    usage = Usage("tokens", quantity, event_count=events)
    percent = one.scaleb(-6, EXACT)
    priced = total(rate_percentage(PercentagePrice(percent, other), usage))
    each = Fraction(other) * events if quantity else 0
    assert Fraction(priced) == Fraction(quantity) * Fraction(percent) / 100 + each
    matrix = MatrixPrice(("model",), {("large",): one}, other)
    for model, price in (("large", one), ("small", other)):
        assert Fraction(total(rate_matrix(matrix, quantity, (("model", model),)))) == Fraction(price) * Fraction(
            quantity
        )
    windows = (TimeWindow("night", (1, 2), 0, 6, one),)
    for window, price in (("night", one), (OUTSIDE, other)):
        steps = rate_time_of_day(TimeOfDayPrice("UTC", windows, other), replace(usage, window=window))
        assert Fraction(total(steps)) == Fraction(price) * Fraction(quantity)


@given(monotonic_prices(MODEST), decimals(MODEST), decimals(MODEST))
@statable()
def test_more_usage_never_costs_less(price: Price, one: Decimal, other: Decimal) -> None:
    less, more = sorted((one, other))
    assert cost(price, less).unrounded_amount <= cost(price, more).unrounded_amount
    assert cost(price, less).amount.minor_units <= cost(price, more).amount.minor_units


@given(prices(MODEST), usages(MODEST - 1), st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
@statable()
def test_the_steps_add_up_to_the_unrounded_amount_which_is_rounded_once(
    price: Price, usage: Usage, currency: str
) -> None:
    rated = cost(price, usage, currency)
    for step in rated.tiers:
        assert Fraction(step.amount) == Fraction(step.quantity) * Fraction(step.unit_price) + Fraction(step.flat_fee)
    exact = sum((Fraction(step.amount) for step in rated.tiers), Fraction(0))
    assert exact == Fraction(rated.unrounded_amount)
    assert rated.amount == Money(floor(exact * 10 ** exponent(currency) + Fraction(1, 2)), currency)


@given(prices(MODEST), usages(MODEST - 1))
@statable()
def test_nothing_that_is_used_costs_less_than_nothing(price: Price, usage: Usage) -> None:
    rated = cost(price, usage)
    assert rated.unrounded_amount >= 0
    assert all(step.free_units >= 0 for step in rated.tiers)


@given(prices(MODEST), decimals(MODEST).filter(bool))
@statable()
def test_a_negative_quantity_costs_nothing(price: Price, quantity: Decimal) -> None:
    rated = cost(price, -quantity)
    assert (rated.amount, rated.tiers) == (Money(0, "USD"), ())
    assert rated.unrounded_amount == rated.unit_amount == 0


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
LONGEST = Decimal("9" * 40 + "." + "9" * 12)


@pytest.mark.parametrize(
    "price",
    [
        StandardPrice(HUGE),
        GraduatedPrice((PriceTier(Decimal(1), HUGE, HUGE), PriceTier(None, HUGE, HUGE))),
        VolumePrice((PriceTier(HUGE, HUGE, HUGE), PriceTier(None, HUGE, HUGE))),
        PackagePrice(Decimal("0.000000000001"), HUGE),
        PercentagePrice(HUGE, HUGE, minimum_per_transaction=HUGE),
        StandardPrice(Decimal("0.000000001")),
    ],
)
@pytest.mark.parametrize("quantity", [HUGE, LONGEST])
def test_an_amount_that_money_cannot_state_is_refused(price: Price, quantity: Decimal) -> None:
    with pytest.raises(InvalidArgument) as refused:
        cost(price, of_events(quantity))
    assert refused.value.reason == "AMOUNT_TOO_LARGE"


def test_the_largest_amount_that_money_can_state_is_not_refused() -> None:
    largest = EXACT.multiply(Decimal(2**63 - 1), Decimal("0.01"))
    assert cost(StandardPrice(largest), "1").amount == Money(2**63 - 1, "USD")
    with pytest.raises(InvalidArgument):
        cost(StandardPrice(EXACT.add(largest, Decimal("0.005"))), "1")


def test_a_quantity_of_40_digits_stays_exact() -> None:
    quantity = "1234567890123456789012345678.123456789012"
    rated = cost(StandardPrice(Decimal("0.000000000007")), quantity)
    assert rated.unrounded_amount == Decimal("8641975230864197.523086419746864197523084")
    tiered = GraduatedPrice((PriceTier(Decimal(1), Decimal(1)), PriceTier(None, Decimal("0.000000000001"))))
    assert cost(tiered, quantity).unrounded_amount == Decimal("1234567890123457.789012345677123456789012")


@pytest.mark.parametrize(
    ("price", "usage", "unit_amount"),
    [
        (StandardPrice(Decimal(5)), Usage("tokens", Decimal(10)), "5"),
        (StandardPrice(Decimal(5)), Usage("tokens", Decimal(10), full_quantity=Decimal(100)), "0.5"),
        (StandardPrice(Decimal(5)), Usage("tokens", Decimal(0)), "0"),
        (StandardPrice(Decimal(5)), Usage("tokens", Decimal(10), full_quantity=Decimal(0)), "0"),
        (PackagePrice(Decimal(10), Decimal(100), Decimal(7)), Usage("tokens", Decimal(22)), "13.333333333333"),
        (PackagePrice(Decimal(10), Decimal(100), Decimal(7)), Usage("tokens", Decimal(7)), "0"),
        (GraduatedPrice((PriceTier(None, Decimal(1), Decimal(9)),)), Usage("tokens", Decimal(0)), "0"),
    ],
)
def test_a_unit_amount_is_what_a_unit_costs_in_the_end(price: Price, usage: Usage, unit_amount: str) -> None:
    assert cost(price, usage).unit_amount == Decimal(unit_amount)


def version(*charges: Charge) -> PlanVersion:
    return PlanVersion("llm-api", 1, "USD", BillingInterval.MONTHLY, None, charges, (), NOW)


def test_charges_are_rated_in_the_order_of_the_version_and_those_left_out_at_0() -> None:
    flat = GraduatedPrice((PriceTier(None, Decimal(1), Decimal(9)),))
    plan = version(charge(flat, "b"), charge(StandardPrice(Decimal(2)), "a"))
    rated = rate_version(plan, [Usage("a", Decimal(3))])
    assert [each.charge.code for each in rated] == ["b", "a"]
    assert [each.amount.minor_units for each in rated] == [900, 600]


MATRIX = MatrixPrice(
    ("model", "direction"), {("large", "in"): Decimal(3), ("large", "out"): Decimal(15)}, Decimal("0.5")
)
FLAT = GraduatedPrice((PriceTier(None, Decimal(1), Decimal(2)),))
EVERYTHING = Charge(
    "tokens",
    "Tokens",
    "tokens",
    MATRIX,
    filters=(
        ChargeFilter("eu", "In Europe", (PropertyFilter("region", ("eu",)),), StandardPrice(Decimal(7))),
        ChargeFilter("us", "", (PropertyFilter("region", ()),), FLAT),
    ),
    group_keys=("model", "direction"),
)


def group(model: str, direction: str) -> tuple[tuple[str, str], ...]:
    return (("direction", direction), ("model", model))


def test_each_group_and_each_filter_has_an_entry_priced_by_itself() -> None:
    rated = rate_version(
        version(EVERYTHING),
        [
            Usage("tokens", Decimal(2), "eu"),
            Usage("tokens", Decimal(1), group=group("large", "out")),
            Usage("tokens", Decimal(1), group=group("small", "in")),
            Usage("tokens", Decimal(1), group=(("model", "large"),)),
            Usage("tokens", Decimal(1), group=group("large", "in")),
        ],
    )
    assert [(each.usage.filter_code, each.usage.group, each.unrounded_amount) for each in rated] == [
        ("", group("large", "out"), 15),
        ("", group("small", "in"), Decimal("0.5")),
        ("", (("model", "large"),), Decimal("0.5")),
        ("", group("large", "in"), 3),
        ("eu", (), 14),
        ("us", (), 2),
    ]
    assert [each.model for each in rated] == ["matrix"] * 4 + ["standard", "graduated"]


@given(st.lists(st.tuples(st.sampled_from(["", "eu", "us"]), decimals(MODEST)), max_size=8))
def test_every_quantity_is_in_exactly_one_entry(quantities: list[tuple[str, Decimal]]) -> None:
    told = [Usage("tokens", quantity, code) for code, quantity in quantities]
    rated = rate_version(version(EVERYTHING), told)
    for code in ("", "eu", "us"):
        of_filter = [each.usage for each in rated if each.usage.filter_code == code]
        assert of_filter == (
            [usage for usage in told if usage.filter_code == code] or [Usage("tokens", Decimal(0), code)]
        )
    assert len(rated) == sum(max(1, sum(usage.filter_code == code for usage in told)) for code in ("", "eu", "us"))


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        (Usage("gpu_hours", Decimal(1)), "CHARGE_NOT_FOUND"),
        (Usage("tokens", Decimal(1), "asia"), "CHARGE_FILTER_NOT_FOUND"),
        (Usage("tokens", Decimal(1), group=(("colour", "red"),)), "GROUP_KEY_UNKNOWN"),
    ],
)
def test_a_quantity_for_what_the_version_lacks_is_refused(usage: Usage, reason: str) -> None:
    with pytest.raises((NotFound, InvalidArgument)) as refused:
        rate_version(version(EVERYTHING), [usage])
    assert refused.value.reason == reason
    assert refused.value.metadata["charge_code"] == usage.charge_code


def carrying(quantity: int, *amounts: str) -> Usage:
    return Usage("tokens", Decimal(quantity), events=tuple(EventValue(amount=Decimal(amount)) for amount in amounts))


@pytest.mark.parametrize(
    ("usage", "amount"),
    [
        (carrying(3, "0.402", "1.000000000001"), "1.402000000001"),
        (carrying(3, "5", "-2"), "3"),
        (carrying(3, "2", "-5"), "0"),
        (carrying(0, "40.2"), "0"),
        (carrying(0), "0"),
    ],
)
def test_events_bring_the_prices_of_a_dynamic_charge_along(usage: Usage, amount: str) -> None:
    assert cost(DynamicPrice(), usage).unrounded_amount == Decimal(amount)


def test_a_dynamic_charge_is_not_rated_as_nothing_when_the_amounts_were_not_told() -> None:
    with pytest.raises(InvalidArgument) as refused:
        cost(DynamicPrice(), "3")
    assert (refused.value.reason, refused.value.metadata) == ("EVENTS_MISSING", {"charge_code": "tokens"})
