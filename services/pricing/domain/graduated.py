"""The graduated charge model: each unit costs what the tier it falls in says."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from libs.common.money import EXACT
from services.pricing.domain.breakdown import ZERO, RatedTier


@dataclass(frozen=True, slots=True)
class PriceTier:
    """From where the tier before ends, exclusive, to `up_to`, inclusive; None on the last tier, which has no end.

    `unit_price` of each unit in it and `flat_fee`, added once when it is reached, are in major units.
    """

    up_to: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class GraduatedPrice:
    """`tiers` ascend without gaps from 0, and only the last has no end."""

    model: ClassVar[str] = "graduated"

    tiers: tuple[PriceTier, ...]


def rate_graduated(price: GraduatedPrice, quantity: Decimal) -> tuple[RatedTier, ...]:
    """A step for each tier reached: the first always, even by a quantity of 0; a later one by any part of a unit above
    the end of the tier before it. `quantity` is not negative.
    """
    steps: list[RatedTier] = []
    above = ZERO
    for tier in price.tiers:
        top = quantity if tier.up_to is None else min(quantity, tier.up_to)
        steps.append(RatedTier(above, tier.up_to, EXACT.subtract(top, above), tier.unit_price, tier.flat_fee))
        if tier.up_to is None or quantity <= tier.up_to:
            break
        above = tier.up_to
    return tuple(steps)
