"""Movements of monthly recurring revenue: pure."""

from datetime import date
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.recurring import Movements, Recurring, following, movements

MONTHS = [date(2023, 10, 1), date(2023, 11, 1), date(2023, 12, 1), date(2024, 1, 1)]


def recurring(**customers: list[int]) -> Recurring:
    """A customer's amounts in cents, month after month from October on."""
    made = Recurring()
    for name, amounts in customers.items():
        for month, amount in zip(MONTHS, amounts, strict=False):
            made.add("EUR", name, month, Fraction(amount))
    return made


def test_a_customer_is_new_once_and_comes_back_after_that() -> None:
    assert movements(recurring(globex=[100, 0, 70, 90]), MONTHS[0], MONTHS[3]) == [
        Movements(MONTHS[0], "EUR", 100, new=100),
        Movements(MONTHS[1], "EUR", 0, churn=100),
        Movements(MONTHS[2], "EUR", 70, reactivation=70),
        Movements(MONTHS[3], "EUR", 90, expansion=20),
    ]


def test_customers_are_not_set_off_against_each_other() -> None:
    assert movements(recurring(globex=[100, 60], initech=[100, 140]), MONTHS[1], MONTHS[1]) == [
        Movements(MONTHS[1], "EUR", 200, expansion=40, contraction=40)
    ]


def test_what_was_before_the_months_asked_for_is_not_new_in_them() -> None:
    found = movements(recurring(globex=[100, 100, 0, 100]), MONTHS[2], MONTHS[3])
    assert [(each.churn, each.new, each.reactivation) for each in found] == [(100, 0, 0), (0, 0, 100)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["EUR", "USD"]),
            st.sampled_from("abc"),
            st.sampled_from(MONTHS),
            st.fractions(0, 10**6) | st.just(Fraction(0)),
        )
    ),
    st.integers(0, 3),
)
def test_movements_add_up_to_the_difference(amounts: list[tuple[str, str, date, Fraction]], first: int) -> None:
    made = Recurring()
    for each in amounts:
        made.add(*each)
    whole = {(each.month, each.currency): each for each in movements(made, MONTHS[0], MONTHS[-1])}
    for currency in ("EUR", "USD"):
        before = 0
        for month in MONTHS:
            now = whole.get((month, currency), Movements(month, currency, 0))
            assert now.change == now.mrr - before
            assert min(now.new, now.reactivation, now.expansion, now.contraction, now.churn) >= 0
            before = now.mrr
    later = movements(made, MONTHS[first], MONTHS[-1])
    assert later == [each for each in whole.values() if each.month >= MONTHS[first]]


def test_months_follow_each_other() -> None:
    assert [following(each) for each in MONTHS[:3]] == MONTHS[1:]
    assert following(date(2024, 1, 31)) == date(2024, 2, 1)
