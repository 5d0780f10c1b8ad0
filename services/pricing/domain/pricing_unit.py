"""Custom pricing units: prices in credits, tokens or points that convert to the plan's currency at a fixed rate."""

from dataclasses import dataclass
from decimal import Decimal

from services.pricing.domain.breakdown import EXACT


@dataclass(frozen=True, slots=True)
class PricingUnit:
    """One unit is `conversion_rate` major units of the currency, greater than 0."""

    code: str
    conversion_rate: Decimal

    def converted(self, amount: Decimal) -> Decimal:
        """Exact, in major units of the currency."""
        return EXACT.multiply(amount, self.conversion_rate)
