"""How revenue is earned: schedules of days, and changes of them."""

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.invoicing.domain.ledger.earning import Earning, changed, whole
from services.invoicing.domain.ledger.part import TIMINGS, apportioned
from services.invoicing.domain.line import LineKind

OPEN, END = date(2000, 1, 1), date(2025, 1, 1)
days = st.dates(date(2023, 10, 1), date(2024, 3, 1))


@settings(deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(1, 400), days)
def test_the_days_of_a_schedule_add_up_and_none_is_off_by_a_cent(amount: int, count: int, first: date) -> None:
    schedule = Earning(0, amount, first, count, first, OPEN)
    upto = [schedule.earned(first + timedelta(days=n)) for n in range(-1, count + 1)]
    assert (upto[0], upto[-1]) == (0, amount)
    assert all(abs(Fraction(each) - Fraction(amount * n, count)) <= Fraction(1, 2) for n, each in enumerate(upto[:-1]))
    steps = [b - a for a, b in pairwise(upto)]
    assert all(step >= 0 for step in steps) if amount >= 0 else all(step <= 0 for step in steps)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 100), days, st.lists(st.tuples(st.integers(-(10**6), 10**6), days)))
def test_a_change_moves_nothing_that_was_earned_before_and_is_whole_in_the_end(
    amount: int, count: int, first: date, changes: list[tuple[int, date]]
) -> None:
    earnings, left = [Earning(0, amount, first, count, first, OPEN)] if amount else [], amount
    for change, day in sorted(changes, key=lambda each: each[1]):
        change = max(change, -left)
        before = [sum(each.earned(day - n * timedelta(days=1)) for each in earnings) for n in range(1, 10)]
        earned = sum(each.earned(day) for each in earnings)
        earnings += changed(earnings, 0, change, day, OPEN)
        left += change
        assert whole(earnings) == left
        assert [sum(each.earned(day - n * timedelta(days=1)) for each in earnings) for n in range(1, 10)] == before
        after = sum(each.earned(day) for each in earnings)
        assert after == earned or after == left  # what is taken back beyond what is deferred
        later = [sum(each.earned(day + n * timedelta(days=1)) for each in earnings) for n in range(120)]
        assert later == sorted(later)
    assert sum(each.earned(END) for each in earnings) == left


@settings(deadline=None)
@given(st.lists(st.fractions(-1000, 1000), min_size=1, max_size=8), st.integers(-3, 3))
def test_parts_that_are_rounded_together_add_up(exact: list[Fraction], off: int) -> None:
    total = round(sum(exact)) + off
    found = apportioned(total, exact)
    assert sum(found) == total
    assert all(abs(part - each) <= 1 + abs(off) for part, each in zip(found, exact, strict=True))


def test_it_is_said_of_every_kind_of_line_when_it_is_earned() -> None:
    assert set(TIMINGS) == set(LineKind)
