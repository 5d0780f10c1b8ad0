"""What a charge comes to at least, and at most, in a billing period."""

from dataclasses import dataclass
from decimal import Decimal

from services.pricing.domain.breakdown import EXACT, ROUNDING, RatedTier, StepKind, cut, once

MINIMUM = "minimum"
MAXIMUM = "maximum"


@dataclass(frozen=True, slots=True)
class Proration:
    """`days` of a billing period of `period_days`."""

    days: int
    period_days: int

    def of(self, amount: Decimal) -> Decimal:
        """amount × days ÷ period_days, to 24 digits after the point."""
        product = EXACT.multiply(amount, Decimal(self.days))
        return cut(ROUNDING.divide(product, Decimal(self.period_days)))


@dataclass(frozen=True, slots=True)
class Limits:
    """In major units, over all filters and groups; None is no limit. `maximum_amount` is not less than the minimum."""

    minimum_amount: Decimal | None = None
    maximum_amount: Decimal | None = None

    @property
    def are_set(self) -> bool:
        return self.minimum_amount is not None or self.maximum_amount is not None

    def step(self, spent: Decimal, proration: Proration | None) -> tuple[str, RatedTier] | None:
        """MINIMUM or MAXIMUM, with the step that leads from `spent` there: the true-up to the minimum, of which only
        the part of the period is owed, or what is taken off above the maximum (negative). None within the limits.
        """
        minimum, maximum = self.minimum_amount, self.maximum_amount
        if minimum is not None and proration is not None:
            minimum = proration.of(minimum)
        if minimum is not None and spent < minimum:
            return MINIMUM, _between(spent, minimum)
        if maximum is not None and spent > maximum:
            return MAXIMUM, _between(spent, maximum)
        return None


def _between(spent: Decimal, limit: Decimal) -> RatedTier:
    return once(EXACT.subtract(limit, spent), StepKind.LIMIT, above=spent, up_to=limit)
