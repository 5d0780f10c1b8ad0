"""The matrix charge model: the price of a unit is read from a table over event properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from services.pricing.domain.breakdown import EXACT, ZERO, RatedTier
from services.pricing.domain.usage import Group


@dataclass(frozen=True, slots=True)
class MatrixPrice:
    """Unit prices in major units, by the values of `dimensions` in their order; `default_unit_price` elsewhere."""

    model: ClassVar[str] = "matrix"

    dimensions: tuple[str, ...]
    cells: Mapping[tuple[str, ...], Decimal]
    default_unit_price: Decimal


def rate_matrix(price: MatrixPrice, quantity: Decimal, group: Group) -> tuple[RatedTier, ...]:
    """One step. `quantity` is not negative; a `group` that lacks a dimension has the default price."""
    values = dict(group)
    unit_price = price.default_unit_price
    if all(dimension in values for dimension in price.dimensions):
        unit_price = price.cells.get(tuple(values[dimension] for dimension in price.dimensions), unit_price)
    return (RatedTier(ZERO, None, quantity, unit_price, EXACT.multiply(quantity, unit_price)),)
