"""Proration: a part of a fee for a part of a period, by days."""

from dataclasses import dataclass
from decimal import Decimal

from libs.common.money import QUOTIENT, Money

_UNIT = Decimal("1e-12")


@dataclass(frozen=True, slots=True)
class Proration:
    """`days` of the `period_days` that `fee` is for; the days are counted by the customer's calendar."""

    fee: Money
    days: int
    period_days: int

    @property
    def unrounded_amount(self) -> Decimal:
        """fee × days ÷ period_days in major units, to 12 digits after the point, which never decide a rounding."""
        amount = QUOTIENT.divide(QUOTIENT.multiply(self.fee.amount, Decimal(self.days)), Decimal(self.period_days))
        return amount.quantize(_UNIT, context=QUOTIENT)

    @property
    def amount(self) -> Money:
        """Rounded once."""
        return Money.rounded(self.unrounded_amount, self.fee.currency)
