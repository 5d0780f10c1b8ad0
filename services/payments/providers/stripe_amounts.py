"""Amounts in Stripe's units, which are not always ISO 4217's minor units.

From Stripe's page on currencies: some have no decimals (MGA among them, ISK and UGX not), five have three of which the
last must be 0, two have decimals for history's sake that must be 00.
"""

from decimal import Decimal

from libs.common.money import Money, exponent

_ZERO = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905 reads as a table
_WHOLE = ("ISK", "UGX")
_THREE = ("BHD", "JOD", "KWD", "OMR", "TND")
_EXPONENTS = {**dict.fromkeys(_ZERO, 0), **dict.fromkeys(_WHOLE, 2), **dict.fromkeys(_THREE, 3)}
_STEPS = {**dict.fromkeys(_WHOLE, 100), **dict.fromkeys(_THREE, 10)}


class AmountRefused(Exception):
    """Stripe cannot represent the amount; it is not rounded."""


def to_stripe(money: Money) -> int:
    """`money` in Stripe's smallest unit of its currency. Raises AmountRefused."""
    if money.currency not in _EXPONENTS and exponent(money.currency) != 2:  # nobody has said how Stripe would read it
        raise AmountRefused(f"Stripe does not take {money.currency}")
    units = money.amount.scaleb(_EXPONENTS.get(money.currency, 2))
    if units != int(units) or int(units) % _STEPS.get(money.currency, 1):
        raise AmountRefused(f"Stripe cannot charge {money}: it takes no amounts that small a part of the currency")
    return int(units)


def from_stripe(units: int, currency: str) -> Decimal:
    """Major units of `currency`, upper case."""
    return Decimal(units).scaleb(-_EXPONENTS.get(currency, 2))
