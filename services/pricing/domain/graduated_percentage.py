"""The graduated percentage charge model: a share of what units are worth, which depends on the tier they fall in."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

from services.pricing.domain.breakdown import ZERO, RatedTier, hundredth
from services.pricing.domain.tiers import TierTable


@dataclass(frozen=True, slots=True)
class PercentageTier:
    """As a PriceTier, but each unit costs `rate_percent` hundredths of a major unit."""

    up_to: Decimal | None
    rate_percent: Decimal
    flat_fee: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class GraduatedPercentagePrice:
    """`tiers` ascend without gaps from 0, and only the last has no end."""

    model: ClassVar[str] = "graduated_percentage"

    tiers: tuple[PercentageTier, ...]
    table: TierTable = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        table = TierTable.of(
            (tier.up_to, hundredth(tier.rate_percent), tier.flat_fee, tier.rate_percent) for tier in self.tiers
        )
        object.__setattr__(self, "table", table)


def rate_graduated_percentage(price: GraduatedPercentagePrice, quantity: Decimal) -> tuple[RatedTier, ...]:
    """A step for each tier reached; the first one always is. `quantity` is not negative."""
    return price.table.walk(quantity)
