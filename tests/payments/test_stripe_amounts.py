"""Stripe's units of each currency; amounts it cannot represent are refused, never rounded."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from services.payments.providers.stripe_amounts import AmountRefused, from_stripe, to_stripe


@pytest.mark.parametrize(
    ("money", "units"),
    [
        (Money(1050, "USD"), 1050),
        (Money(1050, "JPY"), 1050),
        (Money(1050, "KWD"), 1050),
        (Money(1050, "ISK"), 105_000),
        (Money(1050, "UGX"), 105_000),
        (Money(1050, "CLP"), 1050),
        (Money(1050, "HUF"), 1050),
        (Money(1000, "MGA"), 10),
    ],
)
def test_amounts_become_stripes_units(money: Money, units: int) -> None:
    assert to_stripe(money) == units


@pytest.mark.parametrize(
    "money", [Money(1051, "KWD"), Money(1001, "MGA"), Money(1, "CLF"), Money(1, "IQD"), Money(1, "UYI")]
)
def test_what_stripe_cannot_represent_is_refused(money: Money) -> None:
    with pytest.raises(AmountRefused):
        to_stripe(money)


@given(
    st.integers(1, 10**15),
    st.sampled_from(["USD", "EUR", "JPY", "KRW", "ISK", "UGX", "MGA", "BHD", "KWD", "CVE", "IDR", "TWD"]),
)
def test_what_stripe_takes_is_the_same_amount(minor_units: int, currency: str) -> None:
    money = Money(minor_units, currency)
    try:
        units = to_stripe(money)
    except AmountRefused:
        return
    assert from_stripe(units, currency) == money.amount


def test_other_peoples_charges_are_read_without_complaint() -> None:
    assert from_stripe(150, "XYZ") == Decimal("1.50")
