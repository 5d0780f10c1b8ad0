"""The standard charge model: every unit costs the same."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from services.pricing.domain.breakdown import EXACT, ZERO, RatedTier


@dataclass(frozen=True, slots=True)
class StandardPrice:
    """`unit_price` of each unit, in major units."""

    model: ClassVar[str] = "standard"

    unit_price: Decimal


def rate_standard(price: StandardPrice, quantity: Decimal) -> tuple[RatedTier, ...]:
    """One step. `quantity` is not negative."""
    unit_price = price.unit_price
    return (RatedTier(ZERO, None, quantity, unit_price, EXACT.multiply(quantity, unit_price)),)
