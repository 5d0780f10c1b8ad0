"""What lines come to together.

Lines are rounded one by one, each once. A tax is rounded once on the sum of the lines it applies to, so that an invoice
with many lines is not taxed by their roundings. Every amount before rounding is kept beside the amount.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from libs.common.errors import FailedPrecondition
from libs.common.money import EXACT, Money
from services.invoicing.domain.line import Line

MAX_MINOR_UNITS = 2**63 - 1
"""The largest amount that the contract's Money can state."""

_PERCENT = Decimal("0.01")


class Taxable(Protocol):
    """A line, as far as taxes go."""

    @property
    def amount(self) -> Money: ...

    @property
    def tax_codes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax as pricing has it now: Decimal("8.875") is 8.875 %."""

    code: str
    name: str
    rate_percent: Decimal


@dataclass(frozen=True, slots=True)
class InvoiceTax:
    """What one tax comes to on the sum of the lines it applies to."""

    code: str
    name: str
    rate_percent: Decimal
    taxable: Money
    amount: Money
    unrounded_amount: Decimal


@dataclass(frozen=True, slots=True)
class Fee:
    """The part of a line that the totals are a matter of."""

    amount: Money
    tax_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """What fees come to with their taxes."""

    subtotal: Money
    taxes: tuple[InvoiceTax, ...]

    @property
    def tax(self) -> Money:
        return _sum((tax.amount for tax in self.taxes), self.subtotal.currency)


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of an invoice and what they come to."""

    currency: str
    lines: tuple[Line, ...]
    taxes: tuple[InvoiceTax, ...]

    @property
    def subtotal(self) -> Money:
        return _sum((line.amount for line in self.lines), self.currency)

    @property
    def tax(self) -> Money:
        return _sum((tax.amount for tax in self.taxes), self.currency)

    @property
    def total(self) -> Money:
        return self.subtotal + self.tax


def totalled(fees: Iterable[Taxable], taxes: Mapping[str, Tax], currency: str) -> Totals:
    """`taxes` has at least those of the fees, by code; they come in the order that the fees name them.

    Raises FailedPrecondition AMOUNT_TOO_LARGE.
    """
    charged = tuple(fees)
    codes = dict.fromkeys(code for fee in charged for code in fee.tax_codes)
    found = Totals(
        _sum((fee.amount for fee in charged), currency),
        tuple(taxed(taxes[code], charged, currency) for code in codes),
    )
    if found.subtotal.minor_units + found.tax.minor_units > MAX_MINOR_UNITS:
        raise FailedPrecondition("AMOUNT_TOO_LARGE", "the invoice comes to more than an amount can state")
    return found


def taxed(tax: Tax | InvoiceTax, fees: Iterable[Taxable], currency: str) -> InvoiceTax:
    """What a tax comes to on the fees that it applies to, rounded once."""
    taxable = _sum((fee.amount for fee in fees if tax.code in fee.tax_codes), currency)
    unrounded = EXACT.multiply(taxable.amount, EXACT.multiply(tax.rate_percent, _PERCENT))
    amount = Money.rounded(unrounded, currency)
    return InvoiceTax(tax.code, tax.name, tax.rate_percent, taxable, amount, unrounded)


def _sum(amounts: Iterable[Money], currency: str) -> Money:
    return sum(amounts, Money(0, currency))
