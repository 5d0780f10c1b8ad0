"""The arithmetic behind an amount, step by step."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from libs.common.money import EXACT

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class RatedTier:
    """One step: `quantity` units (packages, for a package price) at `unit_price`, and a `flat_fee`, in major units.

    The step prices what lies above `above` and up to `up_to`, inclusive; None has no end. `free_units` are left free.
    """

    above: Decimal
    up_to: Decimal | None
    quantity: Decimal
    unit_price: Decimal
    flat_fee: Decimal = ZERO
    free_units: Decimal = ZERO

    @property
    def amount(self) -> Decimal:
        """Exact, in major units."""
        return EXACT.add(EXACT.multiply(self.quantity, self.unit_price), self.flat_fee)


def total(tiers: Iterable[RatedTier]) -> Decimal:
    """What the steps add up to, exact, in major units."""
    amount = ZERO
    for tier in tiers:
        amount = EXACT.add(amount, tier.amount)
    return amount
