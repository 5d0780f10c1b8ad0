"""Rounding of quantities: by a meter's own rule, and up where a division does not end."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum
from fractions import Fraction
from math import ceil

from libs.common.money import EXACT, QUOTIENT

MIN_PRECISION, MAX_PRECISION = -20, 20


class RoundingFunction(StrEnum):
    ROUND = "round"
    """Half away from zero."""
    CEIL = "ceil"
    """Towards positive infinity."""
    FLOOR = "floor"
    """Towards negative infinity."""


_MODES = {
    RoundingFunction.ROUND: ROUND_HALF_UP,
    RoundingFunction.CEIL: ROUND_CEILING,
    RoundingFunction.FLOOR: ROUND_FLOOR,
}


@dataclass(frozen=True, slots=True)
class Rounding:
    """To `precision` digits after the point; -2 rounds to hundreds."""

    function: RoundingFunction
    precision: int

    def of(self, quantity: Decimal) -> Decimal:
        return quantity.quantize(Decimal(1).scaleb(-self.precision), _MODES[self.function], QUOTIENT)


def ceil_to(quantity: Fraction, digits: int) -> Decimal:
    """The least decimal with `digits` digits after the point that is not below `quantity`."""
    return Decimal(ceil(quantity * 10**digits)).scaleb(-digits, EXACT)


def nearest(quantity: Fraction, digits: int) -> Decimal:
    """`quantity` to `digits` digits after the point, half away from zero."""
    magnitude = Decimal(int(abs(quantity) * 10**digits + Fraction(1, 2))).scaleb(-digits, EXACT)
    return magnitude if quantity >= 0 else magnitude.copy_negate()
