"""How pricing came to an amount, for people. Pricing did the arithmetic; this is only what it said."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from libs.common.money import Money


class StepKind(StrEnum):
    """What a step counts; see RatedTier of pricing's contract."""

    UNITS = "units"
    PACKAGES = "packages"
    TRANSACTIONS = "transactions"
    EVENT_AMOUNTS = "event_amounts"
    LIMIT = "limit"


PartKey: TypeAlias = tuple[str, tuple[tuple[str, str], ...], str | None, bool]
"""A filter of a charge, a group, a window, and whether it is none but leads to the charge's minimum or maximum."""


@dataclass(frozen=True, slots=True)
class RatedTier:
    """One step: `quantity` of its kind at `unit_price`, and a `flat_fee`, in major units.

    It prices what lies above `above` and up to `up_to`, inclusive; None has no end. `free_units` cost nothing.
    `rate_percent` is the percentage that `unit_price` is a hundredth of, if it is one.
    """

    above: Decimal
    up_to: Decimal | None
    quantity: Decimal
    unit_price: Decimal
    flat_fee: Decimal
    amount: Decimal
    free_units: Decimal
    kind: StepKind = StepKind.UNITS
    rate_percent: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PricedUnits:
    """An amount in a pricing unit, and what one of it is worth in major units of the currency."""

    code: str
    amount: Decimal
    conversion_rate: Decimal


@dataclass(frozen=True, slots=True)
class Rating:
    """`quantity` of `meter_code` under a charge of `charge_model`; the tiers' amounts add up to `unrounded_amount`, or
    in a pricing unit to what converts to that.

    `part` is the charge's filter that the usage belongs to, "" if none, and `group` its values of the charge's group
    keys. `window` is that of a price by time of day, "" for the hours that none has, None for other prices. Of units
    that are prorated, there are `full_quantity`; where tiers go on over the contract, `quantity_before` was used.
    """

    meter_code: str
    charge_model: str
    quantity: Decimal
    amount: Money
    unrounded_amount: Decimal
    tiers: tuple[RatedTier, ...]
    part: str = ""
    group: tuple[tuple[str, str], ...] = ()
    window: str | None = None
    full_quantity: Decimal | None = None
    quantity_before: Decimal | None = None
    pricing_unit: PricedUnits | None = None

    @property
    def part_key(self) -> PartKey:
        """What of a charge it rates; two that lead to its minimum or maximum rate the same."""
        return self.part, self.group, self.window, self.charge_model in {"minimum", "maximum"}
