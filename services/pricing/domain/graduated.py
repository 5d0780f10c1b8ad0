"""The graduated charge model: each unit costs what the tier it falls in says."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

from services.pricing.domain.breakdown import RatedTier
from services.pricing.domain.tiers import PriceTier, TierTable


@dataclass(frozen=True, slots=True)
class GraduatedPrice:
    """`tiers` ascend without gaps from 0, and only the last has no end."""

    model: ClassVar[str] = "graduated"

    tiers: tuple[PriceTier, ...]
    table: TierTable = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", TierTable.of_prices(self.tiers))


def rate_graduated(price: GraduatedPrice, quantity: Decimal) -> tuple[RatedTier, ...]:
    """A step for each tier reached; the first one always is. `quantity` is not negative."""
    return price.table.walk(quantity)
