"""Expressions: a value that is computed from what an event says, exactly or not at all.

A text is compiled once, to closures. Evaluating it can only add, multiply, compare and join what the event has: there
are no loops, no names but the grammar's, and no number grows beyond 76 digits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, NoReturn, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedInput

from libs.common.money import EXACT, plain
from libs.common.wire import DECIMAL
from services.metering.domain.rounding import MAX_PRECISION, MIN_PRECISION, Rounding, RoundingFunction, nearest

MAX_LENGTH = 1_000
MAX_DEPTH = 64
MAX_TEXT = 255
QUOTIENT_DIGITS = 12
COMPILED = 10_000

_GRAMMAR = r"""
    ?sum: product
        | sum "+" product -> add
        | sum "-" product -> subtract
    ?product: factor
        | product "*" factor -> multiply
        | product "/" factor -> divide
    ?factor: atom
        | "-" factor -> negate
    ?atom: "(" sum ")"
        | NUMBER -> number
        | STRING -> string
        | PROPERTY -> property
        | "event.code" -> code
        | "event.timestamp" -> timestamp
        | ROUNDING "(" sum ["," sum] ")" -> rounded
        | "concat"i "(" sum ("," sum)* ")" -> concat
        | "least"i "(" sum ("," sum)* ")" -> least
        | "greatest"i "(" sum ("," sum)* ")" -> greatest
    NUMBER: /[0-9]{1,26}(\.[0-9]{1,12})?/
    STRING: /'([^']|'')*'/
    ROUNDING: "ceil"i | "floor"i | "round"i
    PROPERTY: /event\.properties\.[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*/
    %ignore /[ \t\r\n]+/
"""

Value: TypeAlias = Decimal | str


class Sample(NamedTuple):
    """What an expression sees of an event; `micros` counts from 1970."""

    code: str
    micros: int
    properties: Mapping[str, str]


Evaluate: TypeAlias = Callable[[Sample], Value]


class MalformedExpressionError(ValueError):
    """The text is no expression. `column` counts characters from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message} at column {column}")
        self.column = column


class ExpressionFailedError(ValueError):
    """The expression has no value for this event."""


@dataclass(frozen=True, slots=True)
class Expression:
    text: str
    _evaluate: Evaluate = field(compare=False, repr=False)

    def value(self, sample: Sample) -> Value:
        """Raises ExpressionFailedError."""
        try:
            return self._evaluate(sample)
        except ArithmeticError:
            raise ExpressionFailedError("a number has more than the 76 digits that are computed with") from None

    def decimal(self, sample: Sample) -> str:
        """The value as a property that holds a decimal has it. Raises ExpressionFailedError."""
        value = self.value(sample)
        text = plain(value) if isinstance(value, Decimal) else value
        if not DECIMAL.fullmatch(text):
            raise ExpressionFailedError(
                f"it is {text[:64]!r}; expected a decimal of at most 38 digits, 12 of them after the point"
            )
        return text

    def id(self, sample: Sample) -> str:
        """The value as a text of 1 to 255 characters. Raises ExpressionFailedError."""
        value = self.value(sample)
        text = plain(value) if isinstance(value, Decimal) else value
        if not 0 < len(text) <= MAX_TEXT:
            raise ExpressionFailedError(f"it has {len(text)} characters; expected 1 to {MAX_TEXT}")
        return text


@lru_cache(COMPILED)
def compiled(text: str) -> Expression:
    """Raises MalformedExpressionError."""
    if len(text) > MAX_LENGTH:
        raise MalformedExpressionError(f"there are more than {MAX_LENGTH} characters", MAX_LENGTH + 1)
    try:
        part = _PARSER.parse(text)
    except UnexpectedInput as error:
        _raise_malformed(text, error)
    assert isinstance(part, _Part)
    return Expression(text, part.evaluate)


class _Part(NamedTuple):
    evaluate: Evaluate
    depth: int


class _Compiler(Transformer[Token, _Part]):
    """Rules become closures while they are parsed."""

    def number(self, tokens: Sequence[Token]) -> _Part:
        return _constant(Decimal(tokens[0]))

    def string(self, tokens: Sequence[Token]) -> _Part:
        return _constant(tokens[0][1:-1].replace("''", "'"))

    def property(self, tokens: Sequence[Token]) -> _Part:
        name = tokens[0].removeprefix("event.properties.")

        def evaluate(sample: Sample) -> Value:
            value = sample.properties.get(name)
            if value is None:
                raise ExpressionFailedError(f"event.properties.{name} is missing")
            return value

        return _Part(evaluate, 1)

    def code(self, _: Sequence[Token]) -> _Part:
        return _Part(lambda sample: sample.code, 1)

    def timestamp(self, _: Sequence[Token]) -> _Part:
        return _Part(lambda sample: Decimal(sample.micros).scaleb(-6, EXACT), 1)

    def add(self, parts: Sequence[_Part]) -> _Part:
        return _of_decimals(parts, lambda values: EXACT.add(*values))

    def subtract(self, parts: Sequence[_Part]) -> _Part:
        return _of_decimals(parts, lambda values: EXACT.subtract(*values))

    def multiply(self, parts: Sequence[_Part]) -> _Part:
        return _of_decimals(parts, lambda values: EXACT.multiply(*values))

    def divide(self, parts: Sequence[_Part]) -> _Part:
        return _of_decimals(parts, lambda values: _quotient(*values))

    def negate(self, parts: Sequence[_Part]) -> _Part:
        return _of_decimals(parts, lambda values: values[0].copy_negate())

    def least(self, parts: Sequence[_Part]) -> _Part:
        return _of_decimals(parts, min)

    def greatest(self, parts: Sequence[_Part]) -> _Part:
        return _of_decimals(parts, max)

    def rounded(self, children: "tuple[Token, _Part, _Part | None]") -> _Part:
        name, value, digits = children
        function = RoundingFunction(name.lower())
        return _of_decimals(
            [value, digits or _constant(Decimal(0))],
            lambda values: Rounding(function, _precision(values[1])).of(values[0]),
        )

    def concat(self, parts: Sequence[_Part]) -> _Part:
        runs = [part.evaluate for part in parts]
        return _deeper(parts, lambda sample: "".join(_text(run(sample)) for run in runs))


_PARSER = Lark(_GRAMMAR, parser="lalr", start="sum", transformer=_Compiler(), maybe_placeholders=True)


def _constant(value: Value) -> _Part:
    return _Part(lambda _: value, 1)


def _of_decimals(parts: Sequence[_Part], operation: Callable[[Sequence[Decimal]], Decimal]) -> _Part:
    runs = [part.evaluate for part in parts]
    return _deeper(parts, lambda sample: operation([_decimal(run(sample)) for run in runs]))


def _deeper(parts: Sequence[_Part], evaluate: Evaluate) -> _Part:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_DEPTH:
        raise MalformedExpressionError(f"operations are nested more than {MAX_DEPTH} deep", 1)
    return _Part(evaluate, depth)


def _decimal(value: Value) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not DECIMAL.fullmatch(value):
        raise ExpressionFailedError(f"{value[:64]!r} is not a decimal")
    return Decimal(value)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else plain(value)


def _quotient(dividend: Decimal, divisor: Decimal) -> Decimal:
    """To 12 digits after the point, half away from zero."""
    if divisor == 0:
        raise ExpressionFailedError(f"{plain(dividend)} is divided by 0")
    return nearest(Fraction(dividend) / Fraction(divisor), QUOTIENT_DIGITS)


def _precision(digits: Decimal) -> int:
    if digits != digits.to_integral_value() or not MIN_PRECISION <= digits <= MAX_PRECISION:
        raise ExpressionFailedError(f"can't round to {plain(digits)[:64]} digits; {MIN_PRECISION} to {MAX_PRECISION}")
    return int(digits)


def _raise_malformed(text: str, error: UnexpectedInput) -> NoReturn:
    position = error.pos_in_stream or 0
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        raise MalformedExpressionError("the expression ends too early", len(text) + 1) from None
    raise MalformedExpressionError(f"unexpected {text[position : position + 16]!r}", position + 1) from None
