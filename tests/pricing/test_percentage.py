from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidArgument
from services.pricing.domain.breakdown import StepKind
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.usage import Usage
from tests.pricing.costs import MODEST, cost, of_events
from tests.pricing.strategies import decimals, percentage_prices

Values = list[Decimal]

CARDS = PercentagePrice(Decimal("2.9"), Decimal("0.30"))
values = st.lists(decimals(MODEST - 1), max_size=6)


def clamped(price: PercentagePrice, amount: Fraction) -> Fraction:
    if price.minimum_per_transaction is not None:
        amount = max(amount, Fraction(price.minimum_per_transaction))
    if price.maximum_per_transaction is not None:
        amount = min(amount, Fraction(price.maximum_per_transaction))
    return amount


def charged(price: PercentagePrice, worth: Values) -> list[Fraction]:
    """What is left of each transaction that is not free, told a transaction at a time."""
    free, used = price.has_allowance, Fraction(0)
    left = []
    for index, value in enumerate(map(Fraction, worth)):
        free = free and (not price.free_transactions or index < price.free_transactions)
        if free and price.free_amount and used + value > price.free_amount:
            left.append(used + value - Fraction(price.free_amount))
            free = False
        elif not free:
            left.append(value)
        used += value
    return left


@given(percentage_prices(MODEST).filter(lambda price: price.prices_each_transaction), values)
def test_with_a_minimum_or_maximum_each_transaction_is_priced_by_itself(price: PercentagePrice, worth: Values) -> None:
    rate = Fraction(price.rate_percent) / 100
    fixed = Fraction(price.fixed_per_transaction)
    expected = sum((clamped(price, value * rate + fixed) for value in charged(price, worth)), Fraction(0))
    rated = cost(price, of_events(*worth))
    assert Fraction(rated.unrounded_amount) == expected
    units, transactions, limit = rated.tiers
    assert Fraction(units.quantity) + Fraction(units.free_units) == sum(map(Fraction, worth), Fraction(0))
    assert transactions.quantity + transactions.free_units == len(worth)
    assert limit.kind is StepKind.LIMIT


@given(percentage_prices(MODEST).filter(lambda price: not price.prices_each_transaction), values)
def test_without_limits_units_and_transactions_are_priced_together(price: PercentagePrice, worth: Values) -> None:
    totals = list(accumulate(map(Fraction, worth)))
    within = totals[: price.free_transactions] if price.free_transactions else totals
    free = within[-1] if within and price.has_allowance else Fraction(0)
    free = min(free, Fraction(price.free_amount)) if price.free_amount else free
    counts = (price.free_transactions, sum(total < price.free_amount for total in totals) if price.free_amount else 0)
    free_count = min((count for count in counts if count), default=0)
    quantity = sum(map(Fraction, worth), Fraction(0))
    expected = (quantity - free) * Fraction(price.rate_percent) / 100
    if quantity:
        expected += max(len(worth) - free_count, 0) * Fraction(price.fixed_per_transaction)
    assert Fraction(cost(price, of_events(*worth)).unrounded_amount) == expected


@given(percentage_prices(MODEST), values, decimals(MODEST - 1))
def test_one_transaction_more_never_costs_less_when_all_cost_the_same_at_least(
    price: PercentagePrice, worth: Values, another: Decimal
) -> None:
    less, more = cost(price, of_events(*worth)), cost(price, of_events(*worth, another))
    assert less.unrounded_amount <= more.unrounded_amount


def test_a_share_and_an_amount_for_each_transaction() -> None:
    rated = cost(CARDS, Usage("tokens", Decimal(1000), event_count=12))
    units, transactions = rated.tiers
    assert rated.unrounded_amount == Decimal("32.6")
    assert (units.kind, str(units.quantity), units.rate_percent) == (StepKind.UNITS, "1000", Decimal("2.9"))
    assert units.unit_price == Decimal("0.029")
    assert (transactions.kind, str(transactions.quantity)) == (StepKind.TRANSACTIONS, "12")
    assert transactions.unit_price == Decimal("0.3")


def test_nothing_is_added_for_transactions_that_come_to_0() -> None:
    rated = cost(CARDS, Usage("tokens", Decimal(0), event_count=4))
    assert rated.unrounded_amount == 0
    assert [step.quantity for step in rated.tiers] == [0, 0]


@pytest.mark.parametrize(
    ("free_transactions", "free_amount", "free_units", "free_count"),
    [
        (0, "250", "250", 2),
        (3, "250", "250", 2),
        (2, "250", "150", 2),
        (2, "0", "150", 2),
        (3, "0", "400", 3),
        (9, "0", "800", 9),
        (0, "400", "400", 2),
        (3, "20", "20", 3),
    ],
)
def test_both_allowances_end_with_the_first_of_them(
    free_transactions: int, free_amount: str, free_units: str, free_count: int
) -> None:
    """The last row: an amount that the first transaction uses up does not end the free transactions."""
    price = PercentagePrice(Decimal("1.3"), Decimal(2), free_transactions, Decimal(free_amount))
    units, transactions = cost(price, of_events(50, 100, 250, 400)).tiers
    assert (units.free_units, transactions.free_units) == (Decimal(free_units), Decimal(free_count))
    assert units.quantity == 800 - Decimal(free_units)
    assert transactions.quantity == max(4 - free_count, 0)


@pytest.mark.parametrize(
    ("price", "amount"),
    [
        (PercentagePrice(Decimal("2.99"), maximum_per_transaction=Decimal(12)), "14.691"),
        (PercentagePrice(Decimal("2.99"), minimum_per_transaction=Decimal("1.75")), "303.142"),
        (PercentagePrice(Decimal("2.99"), Decimal(2), 0, Decimal(0), Decimal("1.75"), Decimal(12)), "18.691"),
        (PercentagePrice(Decimal("2.99"), Decimal(0), 2, Decimal(0), Decimal("1.75"), Decimal(12)), "12"),
        (PercentagePrice(Decimal("2.99"), Decimal(0), 3, Decimal(10000), Decimal("1.75"), Decimal(12)), "2.691"),
        (PercentagePrice(Decimal("2.99"), Decimal(0), 3, Decimal(90), Decimal("1.75"), Decimal(12)), "12"),
        (PercentagePrice(Decimal("2.99"), Decimal(0), 0, Decimal(10089), Decimal("1.75"), Decimal(12)), "1.75"),
    ],
)
def test_a_transaction_costs_no_less_than_the_minimum_and_no_more_than_the_maximum(
    price: PercentagePrice, amount: str
) -> None:
    assert cost(price, of_events(10, 80, 10000)).unrounded_amount == Decimal(amount)


LIMITED = PercentagePrice(Decimal(1), minimum_per_transaction=Decimal(1))
FIRST_FREE = PercentagePrice(Decimal(1), free_transactions=1)
AMOUNT_FREE = PercentagePrice(Decimal(1), free_amount=Decimal(9))


@pytest.mark.parametrize(
    ("price", "usage", "reason"),
    [
        (CARDS, Usage("tokens", Decimal(5)), "EVENT_COUNT_MISSING"),
        (LIMITED, Usage("tokens", Decimal(5), event_count=1), "EVENTS_MISSING"),
        (LIMITED, of_events(2, 3, event_count=3), "EVENTS_INCOMPLETE"),
        (AMOUNT_FREE, Usage("tokens", Decimal(5), event_count=1), "EVENTS_MISSING"),
        (FIRST_FREE, Usage("tokens", Decimal(5), event_count=1), "EVENTS_MISSING"),
    ],
)
def test_what_the_price_needs_to_know_is_not_guessed(price: PercentagePrice, usage: Usage, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        cost(price, usage)
    assert refused.value.reason == reason
