"""What lines come to together: less what coupons take off, with their taxes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Protocol

from libs.common.errors import FailedPrecondition
from libs.common.money import EXACT, Money
from services.invoicing.domain.discount import Discount, Discountable
from services.invoicing.domain.line import Line
from services.invoicing.domain.tax import InvoiceTax, Tax, TaxBase, taxed

MAX_MINOR_UNITS = 2**63 - 1
"""The largest amount that the contract's Money can state."""


class Chargeable(Discountable, Protocol):
    """A line, as far as the totals go."""

    @property
    def tax_codes(self) -> tuple[str, ...]: ...

    @property
    def is_tax_inclusive(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Fee:
    """The part of a line that the totals are a matter of."""

    amount: Money
    tax_codes: tuple[str, ...]
    is_tax_inclusive: bool = False
    plan_code: str = ""
    meter_code: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """What fees come to with discounts and taxes; fees without taxes of their own bear those of `default_tax_codes`."""

    subtotal: Money
    discounts: tuple[Discount, ...]
    taxes: tuple[InvoiceTax, ...]
    default_tax_codes: tuple[str, ...] = ()

    @property
    def discount(self) -> Money:
        return _sum((each.amount for each in self.discounts), self.subtotal.currency)

    @property
    def tax(self) -> Money:
        return _sum((tax.amount for tax in self.taxes if not tax.is_included), self.subtotal.currency)

    @property
    def total(self) -> Money:
        return self.subtotal - self.discount + self.tax


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of an invoice and what they come to."""

    currency: str
    lines: tuple[Line, ...]
    taxes: tuple[InvoiceTax, ...]
    discounts: tuple[Discount, ...] = ()

    @property
    def subtotal(self) -> Money:
        return _sum((line.amount for line in self.lines), self.currency)

    @property
    def discount(self) -> Money:
        return _sum((each.amount for each in self.discounts), self.currency)

    @property
    def tax(self) -> Money:
        """What is added to the lines."""
        return _sum((tax.amount for tax in self.taxes if not tax.is_included), self.currency)

    @property
    def included_tax(self) -> Money:
        """What the lines contain."""
        return _sum((tax.amount for tax in self.taxes if tax.is_included), self.currency)

    @property
    def total(self) -> Money:
        return self.subtotal - self.discount + self.tax


def totalled(
    fees: Sequence[Chargeable],
    taxes: Mapping[str, Tax | InvoiceTax],
    currency: str,
    discounts: tuple[Discount, ...] = (),
    default_tax_codes: tuple[str, ...] = (),
) -> Totals:
    """`taxes` has at least those of the fees, by code; they come in the order that the fees name them.

    Raises FailedPrecondition AMOUNT_TOO_LARGE.
    """
    found = Totals(
        _sum((fee.amount for fee in fees), currency),
        discounts,
        taxed(_bases(fees, discounts, default_tax_codes), taxes, currency),
        default_tax_codes,
    )
    if found.subtotal.minor_units + found.tax.minor_units > MAX_MINOR_UNITS:
        raise FailedPrecondition("AMOUNT_TOO_LARGE", "the invoice comes to more than an amount can state")
    return found


def share_of(discounts: Iterable[Discount], position: int) -> Decimal:
    """What coupons take off the line at `position`, from 0, in major units."""
    return reduce(EXACT.add, (each.shares.get(position, Decimal(0)) for each in discounts), Decimal(0))


def _bases(
    fees: Sequence[Chargeable], discounts: Sequence[Discount], default_tax_codes: tuple[str, ...]
) -> Iterator[TaxBase]:
    for position, fee in enumerate(fees):
        amount = fee.amount.amount
        if discounts:
            amount = EXACT.subtract(amount, share_of(discounts, position))
        yield TaxBase(amount, fee.tax_codes or default_tax_codes, fee.is_tax_inclusive)


def _sum(amounts: Iterable[Money], currency: str) -> Money:
    return sum(amounts, Money(0, currency))
