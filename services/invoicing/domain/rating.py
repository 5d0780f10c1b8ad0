"""How pricing came to an amount, for people. Pricing did the arithmetic; this is only what it said."""

from dataclasses import dataclass
from decimal import Decimal

from libs.common.money import Money


@dataclass(frozen=True, slots=True)
class RatedTier:
    """One step: `quantity` units (packages, for a package price) at `unit_price`, and a `flat_fee`, in major units.

    It prices what lies above `above` and up to `up_to`, inclusive; None has no end. `free_units` cost nothing.
    """

    above: Decimal
    up_to: Decimal | None
    quantity: Decimal
    unit_price: Decimal
    flat_fee: Decimal
    amount: Decimal
    free_units: Decimal


@dataclass(frozen=True, slots=True)
class Rating:
    """`quantity` of `meter_code` under a charge of `charge_model`; the tiers' amounts add up to `unrounded_amount`."""

    meter_code: str
    charge_model: str
    quantity: Decimal
    amount: Money
    unrounded_amount: Decimal
    tiers: tuple[RatedTier, ...]
