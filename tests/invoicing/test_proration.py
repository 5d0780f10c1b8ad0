"""A part of a fee for a part of a month."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.money import Money
from services.invoicing.domain.proration import Proration


@pytest.mark.parametrize(
    ("days", "month_days", "minor_units", "unrounded"),
    [
        (31, 31, 2000, "20"),
        (17, 31, 1097, "10.967741935484"),
        (16, 30, 1067, "10.666666666667"),
        (14, 28, 1000, "10"),
        (1, 29, 69, "0.689655172414"),
    ],
)
def test_a_fee_is_divided_by_the_days_of_the_month_it_is_for(
    days: int, month_days: int, minor_units: int, unrounded: str
) -> None:
    part = Proration(Money(2000, "USD"), days, month_days)
    assert part.amount == Money(minor_units, "USD")
    assert part.unrounded_amount == Decimal(unrounded)


def test_half_a_minor_unit_is_rounded_away_from_zero() -> None:
    assert Proration(Money(5, "EUR"), 15, 30).amount == Money(3, "EUR")
    assert Proration(Money(5, "JPY"), 14, 28).amount == Money(3, "JPY")


@settings(deadline=None)
@given(st.integers(0, 10**15), st.integers(28, 31), st.data())
def test_two_parts_of_a_month_differ_from_the_whole_by_their_rounding_at_most(
    fee: int, month_days: int, data: st.DataObject
) -> None:
    days = data.draw(st.integers(1, month_days - 1))
    parts = [Proration(Money(fee, "KWD"), each, month_days) for each in (days, month_days - days)]
    assert abs(sum(part.amount.minor_units for part in parts) - fee) <= 1
    assert abs(sum(part.unrounded_amount for part in parts) - Money(fee, "KWD").amount) <= Decimal("1e-12")


@settings(deadline=None)
@given(st.integers(0, 10**15), st.integers(28, 31), st.data())
def test_the_digits_kept_never_change_the_amount(fee: int, month_days: int, data: st.DataObject) -> None:
    days = data.draw(st.integers(1, month_days))
    twice, rest = divmod(2 * fee * days + month_days, 2 * month_days)
    assert rest >= 0
    assert Proration(Money(fee, "USD"), days, month_days).amount == Money(twice, "USD")
