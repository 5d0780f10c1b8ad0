"""Prices that depend on quantity: contiguous tiers, and the table that finds them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from services.pricing.domain.breakdown import EXACT, ZERO, RatedTier


@dataclass(frozen=True, slots=True)
class PriceTier:
    """From where the tier before ends, exclusive, to `up_to`, inclusive; None on the last tier, which has no end.

    `unit_price` of each unit in it and `flat_fee`, added once when it is reached, are in major units.
    """

    up_to: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal = ZERO


class Row(NamedTuple):
    """A tier that knows where it begins; `rate_percent` is None unless `unit_price` is a percentage."""

    above: Decimal
    up_to: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal
    rate_percent: Decimal | None = None

    def holding(self, units: Decimal) -> RatedTier:
        """The step for `units` priced in this tier."""
        amount = EXACT.add(EXACT.multiply(units, self.unit_price), self.flat_fee)
        return RatedTier(
            self.above, self.up_to, units, self.unit_price, amount, self.flat_fee, rate_percent=self.rate_percent
        )


@dataclass(frozen=True, slots=True)
class TierTable:
    """Made once for a price, so that rating only computes the tier that a quantity ends in."""

    rows: tuple[Row, ...]
    ends: tuple[Decimal, ...]
    """Of all tiers but the last."""
    full: tuple[RatedTier, ...]
    """The steps of those tiers when they are used to their end."""

    @classmethod
    def of(cls, tiers: Iterable[tuple[Decimal | None, Decimal, Decimal, Decimal | None]]) -> "TierTable":
        """From (up_to, unit_price, flat_fee, rate_percent) of each tier."""
        rows: list[Row] = []
        above = ZERO
        for up_to, *price in tiers:
            rows.append(Row(above, up_to, *price))  # type: ignore[arg-type]
            above = up_to or ZERO
        bounded = [(row, row.up_to) for row in rows if row.up_to is not None]
        return cls(
            rows=tuple(rows),
            ends=tuple(end for _, end in bounded),
            full=tuple(row.holding(EXACT.subtract(end, row.above)) for row, end in bounded),
        )

    @classmethod
    def of_prices(cls, tiers: Iterable[PriceTier]) -> "TierTable":
        return cls.of((tier.up_to, tier.unit_price, tier.flat_fee, None) for tier in tiers)

    def index(self, quantity: Decimal) -> int:
        """Of the tier that the last unit of `quantity` falls in; 0 for a quantity of 0."""
        return bisect_left(self.ends, quantity)

    def walk(self, quantity: Decimal) -> tuple[RatedTier, ...]:
        """A step for each tier reached: the first always, even by a quantity of 0; a later one by any part of a unit
        above the end of the tier before it. `quantity` is not negative.
        """
        last = bisect_left(self.ends, quantity)
        row = self.rows[last]
        return (*self.full[:last], row.holding(EXACT.subtract(quantity, row.above)))

    def between(self, before: Decimal, after: Decimal) -> tuple[RatedTier, ...]:
        """A step for each tier with units above `before` and up to `after`, with its flat fee if they begin it. Neither
        is negative.
        """
        steps: list[RatedTier] = []
        for index in range(bisect_right(self.ends, before), bisect_left(self.ends, after) + 1):
            row = self.rows[index]
            end = after if row.up_to is None else min(row.up_to, after)
            if (units := EXACT.subtract(end, max(before, row.above))) > 0:
                steps.append((row if before <= row.above else row._replace(flat_fee=ZERO)).holding(units))
        return tuple(steps)
