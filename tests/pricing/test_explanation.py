"""An explanation's own arithmetic, done by somebody who knows nothing of prices, comes to what was rated."""

import ast
import operator
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain.accumulation import Accumulation
from services.pricing.domain.explanation import Line, explain
from services.pricing.domain.limits import Limits, Proration
from services.pricing.domain.plans import Charge, Price
from services.pricing.domain.pricing_unit import PricingUnit
from services.pricing.domain.rating import RatedCharge, rate, rate_charge
from services.pricing.domain.time_of_day import TimeOfDayPrice
from services.pricing.domain.usage import EventValue, Usage
from tests.pricing.costs import MODEST, charge, cost, statable
from tests.pricing.strategies import (
    accumulating_prices,
    decimals,
    graduated_prices,
    prices,
    time_of_day_prices,
    usages,
)
from tests.pricing.test_accumulation import TIERS

OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def value_of(expression: str) -> Fraction:
    """Exact: numbers are read as they are written."""
    return _value(ast.parse(expression, mode="eval").body, expression)


def _value(node: ast.expr, text: str) -> Fraction:
    match node:
        case ast.Constant():
            return Fraction(ast.get_source_segment(text, node) or "")
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, text)
        case ast.BinOp(left, kind, right):
            return OPERATORS[type(kind)](_value(left, text), _value(right, text))
        case ast.Call(ast.Name(name), arguments):
            return FUNCTIONS[name](*(_value(each, text) for each in arguments))
    raise AssertionError(f"{ast.dump(node)} in {text}")


def _round(value: Fraction, digits: Fraction) -> Fraction:
    """Half away from zero."""
    scaled = floor(abs(value) * 10**digits + Fraction(1, 2))
    return Fraction(scaled if value >= 0 else -scaled) / 10**digits


FUNCTIONS: dict[str, Callable[..., Fraction]] = {
    "ceil": lambda value: Fraction(ceil(value)),
    "max": max,
    "round": _round,
}


def repeat(rated: RatedCharge) -> tuple[Line, ...]:
    """Its explanation, in which every line has been computed again."""
    lines = explain(rated)
    for line in lines:
        if line.expression:
            assert value_of(line.expression) == Fraction(line.result or 0), line
    rounded = lines[-1]
    assert rounded.result == rated.amount.amount
    assert value_of(rounded.expression) == Fraction(rated.amount.amount)
    return lines


@given(prices(MODEST) | time_of_day_prices(MODEST), usages(MODEST - 1), st.sampled_from(["USD", "JPY", "KWD"]))
@statable()
def test_what_is_rated_is_what_its_explanation_comes_to(price: Price, usage: Usage, currency: str) -> None:
    if isinstance(price, TimeOfDayPrice):
        usage = replace(usage, window=price.windows[0].code)
    lines = repeat(cost(price, usage, currency))
    results = [Fraction(line.result) for line in lines if line.result is not None]
    assert len(results) > 1
    assert value_of(lines[-1].expression) == _round(results[-2], Fraction({"USD": 2, "JPY": 0, "KWD": 3}[currency]))


@given(accumulating_prices(MODEST), decimals(MODEST), decimals(MODEST), decimals(9).filter(bool))
@statable()
def test_so_is_what_accumulates_over_a_contract_in_a_pricing_unit(
    price: Price, before: Decimal, quantity: Decimal, conversion_rate: Decimal
) -> None:
    usage = Usage("tokens", quantity, quantity_before=before)
    unit = PricingUnit("credits", conversion_rate)
    made = replace(charge(price), accumulation=Accumulation.CONTRACT, pricing_unit=unit)
    repeat(rate(made, usage, "KRW"))


@given(graduated_prices(MODEST), st.lists(st.tuples(decimals(9), decimals(9)).filter(lambda pair: bool(pair[0]))))
def test_prorated_shares_without_a_finite_decimal_have_results_that_add_up(
    price: Price, pairs: list[tuple[Decimal, Decimal]]
) -> None:
    events = tuple(EventValue(value, prorated) for value, prorated in pairs)
    repeat(cost(price, Usage("tokens", sum((value for value, _ in pairs), Decimal(0)), events=events)))


@given(decimals(9), decimals(9), st.integers(1, 30))
def test_limits_are_explained_too(minimum: Decimal, more: Decimal, days: int) -> None:
    limited: Charge = replace(charge(TIERS), limits=Limits(minimum, minimum + more))
    for entry in rate_charge(limited, [Usage("tokens", Decimal(70))], "USD", Proration(days, 30)):
        repeat(entry)


def test_an_explanation_can_be_read_aloud() -> None:
    assert [line.text for line in explain(cost(TIERS, "1234.5"))] == [
        "tokens: graduated price, 1,234.5 units of meter meter.",
        "100 units up to 100 at 2 USD each and a flat fee of 5 USD: 205 USD.",
        "100 units above 100 and up to 200 at 1 USD each and a flat fee of 7 USD: 107 USD.",
        "1,034.5 units above 200 at 0.5 USD each: 517.25 USD.",
        "Together: 829.25 USD.",
        "Nothing has to be rounded: 829.25 USD.",
    ]


@pytest.mark.parametrize("quantity", ["-1", "0", "0.5", "100.000000000001"])
def test_small_and_negative_quantities_are_explained(quantity: str) -> None:
    assert repeat(cost(TIERS, quantity))
