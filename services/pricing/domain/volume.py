"""The volume charge model: every unit costs what the tier that the whole quantity falls in says."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

from services.pricing.domain.breakdown import RatedTier
from services.pricing.domain.tiers import PriceTier, TierTable


@dataclass(frozen=True, slots=True)
class VolumePrice:
    """`tiers` ascend without gaps from 0, and only the last has no end.

    The one model under which more usage may cost less: just above the end of a tier.
    """

    model: ClassVar[str] = "volume"

    tiers: tuple[PriceTier, ...]
    table: TierTable = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", TierTable.of_prices(self.tiers))


def rate_volume(price: VolumePrice, quantity: Decimal, full_quantity: Decimal | None) -> tuple[RatedTier, ...]:
    """One step. `full_quantity`, the quantity without proration, chooses the tier; neither is negative."""
    table = price.table
    return (table.rows[table.index(quantity if full_quantity is None else full_quantity)].holding(quantity),)
