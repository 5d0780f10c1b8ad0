from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument
from libs.common.money import EXACT, Money, exponent, plain

amounts = st.integers(-(10**38) + 1, 10**38 - 1).map(lambda number: Decimal(number).scaleb(-12, EXACT))
weights = st.one_of(st.integers(0, 5).map(Decimal), amounts.map(EXACT.abs))
currencies = st.sampled_from(["USD", "JPY", "KWD", "CLF"])
minor_units = st.integers(-(2**63), 2**63 - 1)


@given(amounts, currencies)
def test_an_amount_is_rounded_once_half_away_from_zero(amount: Decimal, currency: str) -> None:
    away = floor(abs(Fraction(amount)) * 10 ** exponent(currency) + Fraction(1, 2))
    assert Money.rounded(amount, currency) == Money(away if amount >= 0 else -away, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("1.005", "USD", 101),
        ("-1.005", "USD", -101),
        ("1.00499999999999999999", "USD", 100),
        ("0.5", "JPY", 1),
        ("-2.5", "JPY", -3),
        ("1.0005", "KWD", 1001),
        ("1.00005", "CLF", 10001),
    ],
)
def test_a_half_goes_away_from_zero_in_every_currency(amount: str, currency: str, expected: int) -> None:
    assert Money.rounded(Decimal(amount), currency) == Money(expected, currency)


@given(st.integers(-(10**40), 10**40), currencies)
def test_minor_units_survive_the_way_through_major_units(number: int, currency: str) -> None:
    assert Money.rounded(Money(number, currency).amount, currency) == Money(number, currency)


@given(minor_units, st.lists(weights, min_size=1, max_size=12))
def test_an_allocation_conserves_the_amount(number: int, shares: list[Decimal]) -> None:
    assume(any(shares))
    parts = Money(number, "USD").allocate(shares)
    assert sum(part.minor_units for part in parts) == number
    whole = sum(map(Fraction, shares), Fraction(0))
    for part, share in zip(parts, shares, strict=True):
        assert abs(part.minor_units - number * Fraction(share) / whole) < 1


def test_what_cannot_be_split_evenly_goes_to_the_largest_remainder_first() -> None:
    assert [part.minor_units for part in Money(100, "USD").allocate([Decimal(1)] * 3)] == [34, 33, 33]
    assert [part.minor_units for part in Money(-5, "USD").allocate([Decimal(3), Decimal(7)])] == [-2, -3]


@pytest.mark.parametrize("shares", [[], [Decimal(0)], [Decimal(2), Decimal(-1)]])
def test_weights_are_not_negative_and_not_all_0(shares: list[Decimal]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Money(1, "USD").allocate(shares)


def test_currencies_do_not_mix() -> None:
    assert Money(5, "USD") + Money(7, "USD") - Money(2, "USD") == Money(10, "USD")
    with pytest.raises(ValueError, match="USD and EUR do not mix"):
        Money(1, "USD") + Money(1, "EUR")


@pytest.mark.parametrize("currency", ["usd", "XXX", "", "US"])
def test_a_currency_that_is_none_is_refused(currency: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        exponent(currency)
    assert refused.value.reason == "CURRENCY_UNKNOWN"


def test_exact_arithmetic_raises_rather_than_lose_a_digit() -> None:
    with pytest.raises(ArithmeticError):
        EXACT.divide(Decimal(1), Decimal(3))


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+3", "1000"), ("0.50", "0.5"), ("-0.0", "0"), ("100", "100"), ("-1.20", "-1.2"), ("1E-12", "0.000000000001")],
)
def test_a_decimal_is_written_in_plain_notation(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


def test_money_is_written_for_people() -> None:
    assert [str(Money(-123456, currency)) for currency in ("USD", "JPY")] == ["-1,234.56 USD", "-123,456 JPY"]
