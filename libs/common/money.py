"""Money: integer minor units of an ISO 4217 currency, and the exact arithmetic that leads to it.

Prices, rates and quantities are `Decimal`. They become `Money` in one place, `Money.rounded`, which rounds half away
from zero to the currency's exponent, once. `Money.allocate` splits an amount so that the parts sum to the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import reduce

from libs.common.errors import InvalidArgument

EXACT = Context(prec=76, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
"""Arithmetic that raises rather than lose a digit. Addition and multiplication of what the wire admits always fit."""

QUOTIENT = Context(prec=76, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])
"""For divisions without a finite decimal, such as a third of a month: 76 digits, far below any minor unit."""

_CODES_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW "
    "CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV "
    "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD "
    "SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {code: exponent for exponent, codes in _CODES_BY_EXPONENT.items() for code in codes.split()}
_QUANTA = {exponent: Decimal(1).scaleb(-exponent) for exponent in _CODES_BY_EXPONENT}


def exponents() -> Mapping[str, int]:
    """Of all currencies, by their codes."""
    return _EXPONENTS


def exponent(currency: str) -> int:
    """Digits after the point in one unit of `currency` (ISO 4217). Raises InvalidArgument CURRENCY_UNKNOWN."""
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise InvalidArgument(
            "CURRENCY_UNKNOWN", f"{currency!r} is not an ISO 4217 currency with a minor unit", field="currency_code"
        ) from None


@dataclass(frozen=True, slots=True)
class Money:
    """`minor_units` of `currency`: Money(1050, "USD") is 10.50 dollars, Money(1050, "JPY") 1050 yen."""

    minor_units: int
    currency: str

    @classmethod
    def rounded(cls, amount: Decimal, currency: str) -> "Money":
        """`amount` in major units, rounded half away from zero to the currency's exponent."""
        digits = exponent(currency)
        return cls(int(amount.quantize(_QUANTA[digits], ROUND_HALF_UP, QUOTIENT).scaleb(digits, EXACT)), currency)

    @property
    def amount(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.minor_units).scaleb(-exponent(self.currency), EXACT)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor_units + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor_units - self._same(other), self.currency)

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not mix")
        return other.minor_units

    def allocate(self, weights: Sequence[Decimal]) -> list["Money"]:
        """Split by non-negative `weights`, not all 0, so that the parts sum to the whole (largest remainder first)."""
        total = reduce(EXACT.add, weights, Decimal(0))
        if total <= 0 or min(weights) < 0:
            raise ValueError("weights must not be negative, and not all be 0")
        shares = [QUOTIENT.divide(QUOTIENT.multiply(Decimal(self.minor_units), weight), total) for weight in weights]
        parts = [int(share.to_integral_value(ROUND_DOWN)) for share in shares]
        step = 1 if self.minor_units >= 0 else -1
        by_remainder = sorted(range(len(parts)), key=lambda i: (-abs(shares[i] - parts[i]), i))
        for i in by_remainder[: abs(self.minor_units - sum(parts))]:
            parts[i] += step
        return [Money(part, self.currency) for part in parts]

    def __str__(self) -> str:
        return f"{self.amount:,f} {self.currency}"


def plain(value: Decimal) -> str:
    """`value` in plain notation without trailing zeros: Decimal("1E+3") is "1000", Decimal("0.50") is "0.5"."""
    if not value:
        return "0"
    text = str(value)  # plain notation, but for few exponents, in half of the time that format takes
    if "E" in text:
        text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
