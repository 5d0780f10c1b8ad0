"""Taxes of an invoice.

Lines are rounded one by one, each once. A tax is rounded once on the sum of what it applies to, so that an invoice with
many lines is not taxed by their roundings. What is taxed of a line is its amount less its share of coupons, unrounded.

A tax is added to a line, or contained in it. Of an amount that contains its taxes the part net of them is
amount ÷ (1 + their rates together), and each is that times its rate. Rounding says how much of the amount is tax, and
never moves the amount.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from libs.common.money import EXACT, QUOTIENT, Money

_PERCENT = Decimal("0.01")
_CONTAINED = Decimal("1e-24")
"""Unrounded taxes that are contained have so many digits: no tie of a rate with 12 digits is that near."""

TaxKey: TypeAlias = tuple[str, bool]
"""Code, and whether it is contained: what an invoice has one entry for."""


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax as pricing has it now: Decimal("8.875") is 8.875 %."""

    code: str
    name: str
    rate_percent: Decimal


@dataclass(frozen=True, slots=True)
class Taxes:
    """Taxes as pricing has them now; `defaults` are the codes of those that lines bear which nothing else names any
    for.
    """

    by_code: Mapping[str, Tax]
    defaults: tuple[str, ...] = ()

    def of_customer(self, tax_codes: tuple[str, ...]) -> tuple[str, ...]:
        """What lines bear that no plan, charge or request names taxes for."""
        return tax_codes or self.defaults


@dataclass(frozen=True, slots=True)
class InvoiceTax:
    """What one tax comes to on the sum of what it applies to; `taxable` is without it, also where it `is_included`."""

    code: str
    name: str
    rate_percent: Decimal
    taxable: Money
    amount: Money
    unrounded_amount: Decimal
    is_included: bool = False

    @property
    def key(self) -> TaxKey:
        return self.code, self.is_included


class TaxBase(NamedTuple):
    """What is taxed of a line, in major units, and whether that contains its taxes."""

    amount: Decimal
    tax_codes: tuple[str, ...]
    is_inclusive: bool


@dataclass(slots=True)
class _Sum:
    """What a tax applies to, all the taxes that this contains, and the tax."""

    gross: Decimal = Decimal(0)
    contained: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)


def taxed(bases: Iterable[TaxBase], taxes: Mapping[str, Tax | InvoiceTax], currency: str) -> tuple[InvoiceTax, ...]:
    """In the order that the bases name them; `taxes` has at least those."""
    together: dict[tuple[tuple[str, ...], bool], Decimal] = {}
    for base in bases:
        group = base.tax_codes, base.is_inclusive
        together[group] = EXACT.add(together.get(group, Decimal(0)), base.amount)
    sums: dict[TaxKey, _Sum] = {}
    for (codes, is_inclusive), gross in together.items():
        rates = {code: EXACT.multiply(taxes[code].rate_percent, _PERCENT) for code in codes}
        amounts = (_contained if is_inclusive else _added)(gross, rates)
        contained = sum(amounts.values(), Decimal(0)) if is_inclusive else Decimal(0)
        for code, amount in amounts.items():
            found = sums.setdefault((code, is_inclusive), _Sum())
            found.gross = EXACT.add(found.gross, gross)
            found.contained = EXACT.add(found.contained, contained)
            found.tax = EXACT.add(found.tax, amount)
    return tuple(_invoice_tax(taxes[code], each, currency, is_included=key) for (code, key), each in sums.items())


def _added(net: Decimal, rates: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {code: EXACT.multiply(net, rate) for code, rate in rates.items()}


def _contained(gross: Decimal, rates: Mapping[str, Decimal]) -> dict[str, Decimal]:
    whole = sum(rates.values(), Decimal(1))
    return {
        code: QUOTIENT.divide(EXACT.multiply(gross, rate), whole).quantize(_CONTAINED, context=QUOTIENT)
        for code, rate in rates.items()
    }


def _invoice_tax(tax: Tax | InvoiceTax, found: _Sum, currency: str, *, is_included: bool) -> InvoiceTax:
    taxable = Money.rounded(found.gross, currency) - Money.rounded(found.contained, currency)
    amount = Money.rounded(found.tax, currency)
    return InvoiceTax(tax.code, tax.name, tax.rate_percent, taxable, amount, found.tax, is_included)
