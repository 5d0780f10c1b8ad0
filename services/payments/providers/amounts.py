"""Amounts in each processor's units, which are not always ISO 4217's minor units. What does not fit is not rounded.

From the processors' pages on currencies. Stripe: some have no decimals (MGA among them, ISK and UGX not), five have
three of which the last must be 0, two have decimals for history's sake that must be 00. Adyen: CLP, CVE, IDR and ISK
are not as ISO has them. GoCardless: those of its schemes, all with two.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from decimal import Decimal

from libs.common.money import Money, exponent

_ZERO = frozenset(["BIF", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"])
_THREE = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))


class AmountRefused(Exception):
    """The processor cannot represent the amount."""


@dataclass(frozen=True, slots=True)
class Units:
    """A processor's smallest unit of each currency: `exponents` where it is not two digits after the point, `steps`
    where only multiples are taken. `only` has all its currencies, unless it takes every one it is asked for.
    """

    processor: str
    exponents: Mapping[str, int]
    steps: Mapping[str, int] = field(default_factory=dict)
    only: Set[str] = frozenset()

    def of(self, money: Money) -> int:
        """Raises AmountRefused."""
        unsaid = money.currency not in self.exponents and exponent(money.currency) != 2
        if unsaid or (self.only and money.currency not in self.only):
            raise AmountRefused(f"{self.processor} does not take {money.currency}")
        units = money.amount.scaleb(self.exponents.get(money.currency, 2))
        if units != int(units) or int(units) % self.steps.get(money.currency, 1):
            raise AmountRefused(
                f"{self.processor} cannot charge {money}: it takes no amounts that small a part of the currency"
            )
        return int(units)

    def amount(self, units: int, currency: str) -> Decimal:
        """Major units of `currency`, upper case."""
        return Decimal(units).scaleb(-self.exponents.get(currency, 2))


def _table(zero: Set[str], two: Set[str], three: Set[str]) -> Mapping[str, int]:
    return {**dict.fromkeys(zero, 0), **dict.fromkeys(two, 2), **dict.fromkeys(three, 3)}


STRIPE = Units(
    "Stripe",
    _table(_ZERO | {"CLP", "MGA"}, {"ISK", "UGX"}, _THREE),
    {"ISK": 100, "UGX": 100, **dict.fromkeys(_THREE, 10)},
)
ADYEN = Units("Adyen", _table(_ZERO | {"CVE", "IDR", "UGX"}, {"CLP", "ISK"}, _THREE))
GOCARDLESS = Units("GoCardless", {}, only=frozenset(["AUD", "CAD", "DKK", "EUR", "GBP", "NZD", "SEK", "USD"]))
