"""Tiers and packages that run through the contract."""

from dataclasses import replace
from decimal import Decimal
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument
from services.pricing.convert.charges import charge_in, charge_out
from services.pricing.documents import charges_from_json, charges_json
from services.pricing.domain.accumulation import Accumulating, Accumulation
from services.pricing.domain.breakdown import EXACT
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.rating import RatedCharge, rate
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.usage import Usage
from tests.pricing.costs import MODEST, charge, cost, statable
from tests.pricing.strategies import accumulating_prices, decimals

TIERS = GraduatedPrice(
    (
        PriceTier(Decimal(100), Decimal(2), Decimal(5)),
        PriceTier(Decimal(200), Decimal(1), Decimal(7)),
        PriceTier(None, Decimal("0.5")),
    )
)


def period(price: Accumulating, before: Decimal | str | None, quantity: Decimal | str) -> RatedCharge:
    """Of a contract that has used `before`."""
    usage = Usage("tokens", Decimal(quantity), quantity_before=None if before is None else Decimal(before))
    return rate(replace(charge(price), accumulation=Accumulation.CONTRACT), usage, "USD")


@given(accumulating_prices(MODEST), st.lists(decimals(MODEST), min_size=1, max_size=5).filter(any))
@statable()
def test_the_periods_of_a_contract_add_up_to_what_all_its_usage_costs_at_once(
    price: Accumulating, quantities: list[Decimal]
) -> None:
    *starts, whole = accumulate(quantities, EXACT.add, initial=Decimal(0))
    rated = [period(price, before, quantity) for before, quantity in zip(starts, quantities, strict=True)]
    amounts = accumulate((each.unrounded_amount for each in rated), EXACT.add)
    assert list(amounts)[-1] == cost(price, whole).unrounded_amount


@given(accumulating_prices(MODEST), decimals(MODEST), decimals(MODEST))
@statable()
def test_steps_tell_the_units_of_the_period_alone(price: Accumulating, before: Decimal, quantity: Decimal) -> None:
    rated = period(price, before, quantity)
    assert all(step.quantity >= 0 and step.free_units >= 0 for step in rated.tiers)
    assert all(
        step.amount == EXACT.add(EXACT.multiply(step.quantity, step.unit_price), step.flat_fee) for step in rated.tiers
    )
    if not isinstance(price, PackagePrice):
        assert sum((step.quantity for step in rated.tiers), Decimal(0)) == quantity


@pytest.mark.parametrize(
    ("before", "quantity", "amount"),
    [
        ("0", "0", "0"),
        ("0", "10", "25"),
        ("10", "10", "20"),
        ("0", "100", "205"),
        ("100", "1", "8"),
        ("101", "1", "1"),
        ("50", "200", "232"),
        ("1000", "10", "5"),
        ("-5", "10", "15"),
        ("-50", "10", "0"),
        ("50", "-10", "0"),
    ],
)
def test_a_period_goes_on_where_the_one_before_it_ended(before: str, quantity: str, amount: str) -> None:
    assert period(TIERS, before, quantity).unrounded_amount == Decimal(amount)


def test_free_units_and_packages_are_counted_over_the_contract() -> None:
    price = PackagePrice(Decimal(10), Decimal(3), free_units=Decimal(20))
    used = [period(price, before, "15").tiers[0] for before in ("0", "15", "30")]
    assert [(step.free_units, step.quantity, step.amount) for step in used] == [(15, 0, 0), (5, 1, 3), (0, 2, 6)]


def test_what_was_used_before_is_not_guessed() -> None:
    with pytest.raises(InvalidArgument) as raised:
        period(TIERS, None, "1")
    assert raised.value.reason == "QUANTITY_BEFORE_MISSING"


def test_a_charge_over_the_contract_is_read_as_it_was_written() -> None:
    made = replace(charge(TIERS), accumulation=Accumulation.CONTRACT)
    assert charge_in(charge_out(made), "charge") == made
    assert charges_from_json(charges_json([made])) == (made,)
