"""Each processor's units of each currency; amounts it cannot represent are refused, never rounded."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import Money
from services.payments.providers.amounts import ADYEN, GOCARDLESS, STRIPE, AmountRefused, Units


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
    assert STRIPE.of(money) == units


@pytest.mark.parametrize(
    "money", [Money(1051, "KWD"), Money(1001, "MGA"), Money(1, "CLF"), Money(1, "IQD"), Money(1, "UYI")]
)
def test_what_stripe_cannot_represent_is_refused(money: Money) -> None:
    with pytest.raises(AmountRefused):
        STRIPE.of(money)


@pytest.mark.parametrize(
    ("processor", "money", "units"),
    [
        (ADYEN, Money(1050, "EUR"), 1050),
        (ADYEN, Money(1050, "CLP"), 105_000),
        (ADYEN, Money(1050, "ISK"), 105_000),
        (ADYEN, Money(1000, "IDR"), 10),
        (ADYEN, Money(1000, "CVE"), 10),
        (ADYEN, Money(1051, "KWD"), 1051),
        (GOCARDLESS, Money(1050, "GBP"), 1050),
    ],
)
def test_the_others_have_units_of_their_own(processor: Units, money: Money, units: int) -> None:
    assert processor.of(money) == units


@pytest.mark.parametrize(
    ("processor", "money"),
    [
        (ADYEN, Money(1001, "IDR")),
        (ADYEN, Money(1, "IQD")),
        (GOCARDLESS, Money(1, "JPY")),
        (GOCARDLESS, Money(1, "CHF")),
    ],
)
def test_what_the_others_cannot_represent_is_refused(processor: Units, money: Money) -> None:
    with pytest.raises(AmountRefused):
        processor.of(money)


@given(
    st.sampled_from([STRIPE, ADYEN, GOCARDLESS]),
    st.integers(1, 10**15),
    st.sampled_from(["USD", "EUR", "JPY", "KRW", "ISK", "CLP", "UGX", "MGA", "BHD", "KWD", "CVE", "IDR", "TWD"]),
)
def test_what_a_processor_takes_is_the_same_amount(processor: Units, minor_units: int, currency: str) -> None:
    money = Money(minor_units, currency)
    try:
        units = processor.of(money)
    except AmountRefused:
        return
    assert processor.amount(units, currency) == money.amount


def test_other_peoples_charges_are_read_without_complaint() -> None:
    assert STRIPE.amount(150, "XYZ") == Decimal("1.50")
