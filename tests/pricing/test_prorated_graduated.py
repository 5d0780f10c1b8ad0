from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain.breakdown import total
from services.pricing.domain.graduated import GraduatedPrice, rate_graduated
from services.pricing.domain.prorated_graduated import rate_prorated_graduated
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.usage import EventValue, Usage
from tests.pricing.costs import MODEST, cost
from tests.pricing.strategies import decimals, graduated_prices

Pairs = list[tuple[Decimal, Decimal]]

SEATS = GraduatedPrice(
    (
        PriceTier(Decimal(5), Decimal(10), Decimal(100)),
        PriceTier(Decimal(15), Decimal(5), Decimal(50)),
        PriceTier(None, Decimal(2)),
    )
)
CUT = Fraction(1, 10**24)

signed = st.tuples(decimals(MODEST), st.booleans()).map(lambda pair: -pair[0] if pair[1] else pair[0])
pairs = st.lists(st.tuples(signed.filter(bool), decimals(MODEST)), max_size=6)


def prorated(*pairs: tuple[Decimal, Decimal]) -> tuple[EventValue, ...]:
    return tuple(EventValue(full, part) for full, part in pairs)


def expected_total(price: GraduatedPrice, pairs: Pairs) -> Fraction:
    """Each event priced at the average price of the units that it adds or takes away."""
    amount, level, highest = Fraction(0), Fraction(0), Fraction(0)
    for full, part in pairs:
        if not part:
            continue
        after = level + Fraction(full)
        cost_of_move = priced_up_to(price, max(level, after)) - priced_up_to(price, min(level, after))
        amount += cost_of_move / abs(Fraction(full)) * Fraction(part)
        level, highest = after, max(highest, after)
    bottoms = [Fraction(0), *(Fraction(tier.up_to) for tier in price.tiers if tier.up_to is not None)]
    flats = [
        Fraction(tier.flat_fee)
        for index, (tier, bottom) in enumerate(zip(price.tiers, bottoms, strict=True))
        if index == 0 or highest > bottom
    ]
    return amount + sum(flats, Fraction(0))


def priced_up_to(price: GraduatedPrice, level: Fraction) -> Fraction:
    """Of the units below `level`, without flat fees; the first tier goes on below 0."""
    amount, bottom = Fraction(0), Fraction(0)
    for index, tier in enumerate(price.tiers):
        top = level if tier.up_to is None else min(level, Fraction(tier.up_to))
        amount += (top - bottom if index == 0 else max(top - bottom, Fraction(0))) * Fraction(tier.unit_price)
        bottom = Fraction(tier.up_to or 0)
    return amount


@given(graduated_prices(MODEST), pairs)
def test_each_event_is_priced_where_its_full_value_lies(price: GraduatedPrice, pairs: Pairs) -> None:
    signed_pairs = [(full, part if full > 0 else -part) for full, part in pairs]
    steps = rate_prorated_graduated(price, prorated(*signed_pairs))
    assert abs(Fraction(total(steps)) - expected_total(price, signed_pairs)) <= CUT


@given(graduated_prices(MODEST), st.lists(decimals(MODEST).filter(bool), max_size=6))
def test_what_is_held_for_the_whole_period_costs_what_the_sum_costs(
    price: GraduatedPrice, values: list[Decimal]
) -> None:
    steps = rate_prorated_graduated(price, prorated(*((value, value) for value in values)))
    assert total(steps) == total(rate_graduated(price, sum(values, Decimal(0))))


@given(graduated_prices(MODEST), pairs)
def test_the_steps_agree_with_their_prices_to_the_last_digit_they_show(price: GraduatedPrice, pairs: Pairs) -> None:
    for step in rate_prorated_graduated(price, prorated(*pairs)):
        told = Fraction(step.quantity) * Fraction(step.unit_price) + Fraction(step.flat_fee)
        assert abs(Fraction(step.amount) - told) <= CUT * (len(price.tiers) + Fraction(step.unit_price))


def usage(full: list[str], parts: list[str], quantity: str) -> Usage:
    return Usage(
        "tokens",
        Decimal(quantity),
        full_quantity=sum(map(Decimal, full), Decimal(0)),
        events=prorated(*zip(map(Decimal, full), map(Decimal, parts), strict=True)),
    )


def test_thirds_add_up_to_the_exact_amount() -> None:
    """-2.2 of -6 units, 2 of them in one tier and 4 in another: neither share has a finite decimal, the amount has."""
    rated = cost(SEATS, usage(["17", "-6", "4"], ["17", "-2.2", "0.667"], "15.467"))
    assert rated.unrounded_amount == Decimal("248.535")
    assert rated.amount.minor_units == 24854
    assert [step.quantity for step in rated.tiers] == [
        5,
        Decimal("9.200333333333333333333333"),
        Decimal("1.266666666666666666666667"),
    ]


def test_flat_fees_are_due_up_to_the_highest_tier_ever_reached() -> None:
    rated = cost(SEATS, usage(["16", "-15"], ["8", "-2"], "6"))
    assert [step.flat_fee for step in rated.tiers] == [100, 50, 0]


def test_an_event_that_is_held_for_no_time_leaves_the_tiers_alone() -> None:
    held = cost(SEATS, usage(["4"], ["2"], "2"))
    assert cost(SEATS, usage(["4", "90", "-90"], ["2", "0", "0"], "2")).tiers == held.tiers


def test_more_taken_away_than_was_there_costs_nothing() -> None:
    assert cost(SEATS, usage(["4", "-100"], ["1.6", "-33.33"], "-31.73")).tiers == ()
    free_first = GraduatedPrice((PriceTier(Decimal(5), Decimal(1)), PriceTier(None, Decimal(9))))
    assert cost(free_first, usage(["6", "-6"], ["1", "-6"], "0")).tiers == ()
