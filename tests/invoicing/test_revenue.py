"""Revenue by month: pure sums."""

from datetime import date
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.analytics import Booked, Discounted, revenues

MONTHS = st.sampled_from([date(2023, 11, 1), date(2023, 12, 1)])
CURRENCIES = st.sampled_from(["EUR", "USD"])
AMOUNTS = st.integers(-(10**9), 10**9)


@given(
    st.lists(
        st.builds(Booked, MONTHS, CURRENCIES, AMOUNTS, AMOUNTS, AMOUNTS),
        unique_by=lambda each: (each.month, each.currency),
    ),
    st.lists(
        st.builds(Discounted, MONTHS, CURRENCIES, st.fractions(0, 100), st.fractions(0, 10**9)),
    ),
)
def test_nothing_is_lost_between_months_and_currencies(booked: list[Booked], discounted: list[Discounted]) -> None:
    found = revenues(booked, discounted)
    assert [(each.month, each.currency) for each in found] == sorted({(each.month, each.currency) for each in found})
    for currency in ("EUR", "USD"):
        its = [each for each in found if each.currency == currency]
        net = sum(each.invoiced - each.credited - each.voided for each in booked if each.currency == currency)
        assert sum(each.net for each in its) == net
        assert sum(each.gross - each.discounts - each.credited - each.voided for each in its) == net
        exact = sum(
            (each.amount / (1 + each.rate_percent / 100) for each in discounted if each.currency == currency),
            Fraction(0),
        )
        assert abs(sum(each.discounts for each in its) - exact) <= Fraction(len(its), 2)
