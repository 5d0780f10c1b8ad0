"""Expressions are arithmetic: exact or refused, and nothing but arithmetic."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.money import plain
from services.metering.domain.expressions import (
    MAX_DEPTH,
    ExpressionFailedError,
    MalformedExpressionError,
    Sample,
    compiled,
)

SAMPLE = Sample(
    "llm",
    1_700_000_000_500_000,
    {"a": "10", "b": "3", "text": "x", "gen_ai.tokens": "7", "big": "9" * 26, "tiny": "0.000000000001"},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("2 - 3 - 4", "-5"),
        ("-event.properties.a * 2 + 1", "-19"),
        ("3 - -4", "7"),
        ("event.properties.a / event.properties.b", "3.333333333333"),
        ("2 / 3", "0.666666666667"),
        ("-2 / 3", "-0.666666666667"),
        ("event.properties.gen_ai.tokens - 1", "6"),
        ("event.timestamp", "1700000000.5"),
        ("round(event.properties.a / 3, 2)", "3.33"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(1250, -2)", "1300"),
        ("Ceil(2.1)", "3"),
        ("CEIL(-2.19, 1)", "-2.1"),
        ("Floor(-2.5)", "-3"),
        ("least(3, event.properties.a, 2)", "2"),
        ("greatest(3, event.properties.a, 2)", "10"),
        ("\n1\t+\r\n1 ", "2"),
        ("event.properties.big", "9" * 26),
        ("'12' + 1", "13"),
        ("-0", "0"),
    ],
)
def test_what_an_expression_comes_to(text: str, value: str) -> None:
    assert compiled(text).decimal(SAMPLE) == value


def test_texts_are_joined_and_may_contain_quotes() -> None:
    text = "concat(event.code, ':it''s ', event.properties.text, 1.50)"
    assert compiled(text).id(SAMPLE) == "llm:it's x1.5"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("1 +", 4),
        ("(1", 3),
        ("1 2", 3),
        ("1 + foo(1)", 5),
        ("event.codex", 11),
        ("event.properties", 1),
        ("event.properties.a-b", 20),
        ("1e5", 2),
        ("'abc", 1),
        ("1, 2", 2),
        ("ceil()", 6),
        ("ceil(1, 2, 3)", 10),
        ("concat()", 8),
        ("1" * 27, 27),
        ("0.1234567890123", 15),
        ("٣", 1),
        ("__import__('os')", 1),
        (" " * 1001, 1001),
        ("-" * (MAX_DEPTH + 1) + "1", 1),
        ("+".join("1" * (MAX_DEPTH + 1)), 1),
    ],
)
def test_what_is_no_expression_is_refused_with_its_column(text: str, column: int) -> None:
    with pytest.raises(MalformedExpressionError) as refused:
        compiled(text)
    assert refused.value.column == column


@pytest.mark.parametrize(
    "text",
    [
        "event.properties.none",
        "event.properties.text + 1",
        "event.code * 2",
        "1 / 0",
        "0 / (event.properties.a - 10)",
        "event.properties.big * 10",
        "event.properties.tiny * 0.1",
        "event.properties.big * event.properties.big * event.properties.big * event.properties.big",
        "round(1, 0.5)",
        "round(1, 21)",
        "concat('a', 'b')",
        "''",
    ],
)
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(ExpressionFailedError):
        compiled(text).decimal(SAMPLE)


def test_an_id_is_a_text_of_some_length() -> None:
    for text in ("''", f"concat('{'x' * 255}', 'x')"):
        with pytest.raises(ExpressionFailedError):
            compiled(text).id(SAMPLE)
    assert compiled(f"'{'x' * 255}'").id(SAMPLE) == "x" * 255


Tree = tuple[str, Fraction]
"""The text of an expression, every operation in parentheses, and its value."""

LEAVES = st.decimals(min_value=0, max_value=999, places=3).map(lambda value: (plain(value), Fraction(value)))
OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


def combined(trees: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    def combine(left: Tree, sign: str, right: Tree) -> Tree:
        return f"({left[0]} {sign} {right[0]})", OPERATIONS[sign](left[1], right[1])

    return st.builds(combine, trees, st.sampled_from(sorted(OPERATIONS)), trees)


@given(st.recursive(LEAVES, combined, max_leaves=12))
def test_sums_and_products_are_exact_or_refused(tree: Tree) -> None:
    text, expected = tree
    try:
        value = compiled(text[:1000]).value(SAMPLE)
    except ExpressionFailedError:
        assert max(abs(expected.numerator), expected.denominator) >= 10**60
    else:
        assert isinstance(value, Decimal)
        assert Fraction(value) == expected


@given(
    st.decimals(min_value=-(10**12), max_value=10**12, places=6),
    st.decimals(min_value=-(10**6), max_value=10**6, places=6).filter(bool),
)
def test_a_quotient_is_the_nearest_of_12_digits(dividend: Decimal, divisor: Decimal) -> None:
    value = Fraction(compiled(f"({plain(dividend)}) / ({plain(divisor)})").decimal(SAMPLE))
    exact = Fraction(dividend) / Fraction(divisor)
    assert value.limit_denominator(10**12) == value
    assert abs(value - exact) <= Fraction(1, 2 * 10**12)
    assert abs(value - exact) < Fraction(1, 2 * 10**12) or abs(value) > abs(exact)
