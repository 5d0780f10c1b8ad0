"""An invoice or credit note as EN 16931 has it: net lines of one rate of VAT each, and what each rate comes to.

Amounts that contain their tax are split as the document's taxes are. A document's taxes are rounded one by one and its
discounts by the whole: what the standard's sums then come to differently is its rounding amount.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from libs.common.errors import FailedPrecondition
from libs.common.money import EXACT, QUOTIENT, Money
from services.invoicing.domain.document import Document, Item, vat_id
from services.invoicing.domain.tax import InvoiceTax
from services.invoicing.domain.vat import Category

_PUNCTUATION = re.compile(r"[\s.-]")
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_ONE = Decimal(1)
_PERCENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class NetLine:
    """`quantity` at `price` come to `net`, which bears VAT of `category` at `rate_percent`."""

    item: Item
    net: Money
    quantity: Decimal
    price: Decimal
    category: Category
    rate_percent: Decimal


@dataclass(frozen=True, slots=True)
class Breakdown:
    """What one rate comes to: lines of `lines` less an `allowance` are `taxable`, and the VAT on that is `tax`. What
    bears no VAT does so for a `reason`.
    """

    category: Category
    rate_percent: Decimal
    lines: Money
    taxable: Money
    tax: Money
    reason: str

    @property
    def allowance(self) -> Money:
        return self.lines - self.taxable


@dataclass(frozen=True, slots=True)
class EInvoice:
    """`prepaid` is what is not asked for of the total, `rounding` what is missing in it."""

    document: Document
    lines: tuple[NetLine, ...]
    breakdown: tuple[Breakdown, ...]
    prepaid: Money
    payable: Money

    @property
    def net(self) -> Money:
        return self._sum(each.net for each in self.lines)

    @property
    def taxable(self) -> Money:
        return self._sum(each.taxable for each in self.breakdown)

    @property
    def tax(self) -> Money:
        return self._sum(each.tax for each in self.breakdown)

    @property
    def total(self) -> Money:
        return self.taxable + self.tax

    @property
    def rounding(self) -> Money:
        return self.payable + self.prepaid - self.total

    def _sum(self, amounts: Iterable[Money]) -> Money:
        return sum(amounts, Money(0, self.document.currency))


def stated(document: Document) -> EInvoice:
    """Raises FailedPrecondition E_INVOICE_INCOMPLETE with what is missing."""
    if missing := _missing(document):
        raise FailedPrecondition(
            "E_INVOICE_INCOMPLETE", f"EN 16931 can't say it: {', '.join(missing)}", missing=", ".join(missing)
        )
    groups: dict[str, list[Item]] = {}
    for item in document.items:
        groups.setdefault(_group(item), []).append(item)
    taxes = {_key(each.code, is_included=each.is_included): each for each in document.taxes}
    lines: dict[int, NetLine] = {}
    sums: dict[tuple[Category, Decimal], list[Breakdown]] = {}
    for key, items in groups.items():
        tax = taxes.get(key)
        nets = _nets(document, items, tax, taxes)
        part = _breakdown(document, tax, sum(nets, Money(0, document.currency)), _taxable(document, tax, taxes))
        sums.setdefault((part.category, part.rate_percent), []).append(part)
        for item, net in zip(items, nets, strict=True):
            lines[id(item)] = _line(item, net, part)
    total = document.total
    payable = document.amount_due if document.amount_due is not None else total
    return EInvoice(
        document,
        tuple(lines[id(item)] for item in document.items),
        tuple(map(_together, sums.values())),
        total - payable,
        payable,
    )


def _missing(document: Document) -> list[str]:
    categories = document.categories
    exempt = bool(categories - {Category.STANDARD})
    found = {
        "it is a draft, or void": document.stamp is not None,
        "there are no lines": not document.items,
        "a line bears several taxes": any(len(each.tax_codes) > 1 for each in document.items),
        "the legal entity has no country": not document.seller.address.country_code,
        "the customer has no country": not document.buyer.address.country_code,
        "the legal entity has no tax id": not document.seller.tax_ids,
        "the legal entity has no VAT number with its country": bool(exempt)
        and not full_vat_id(document.seller.tax_ids),
        "the customer has no VAT number with its country": Category.REVERSE_CHARGE in categories
        and not full_vat_id(document.buyer.tax_ids),
    }
    return [what for what, is_so in found.items() if is_so]


def full_vat_id(tax_ids: Mapping[str, str]) -> str:
    """The number for value-added tax, compact, if it begins with its country, as the standard wants it (BR-CO-09)."""
    compact = _PUNCTUATION.sub("", vat_id(tax_ids)).upper()
    return compact if _COUNTRY.match(compact) else ""


def _key(code: str, *, is_included: bool) -> str:
    return f"{code} included" if is_included else code


def _group(item: Item) -> str:
    """The items that one entry of the taxes is for; "" for those that bear none."""
    return _key(item.tax_codes[0], is_included=item.is_tax_inclusive) if item.tax_codes else ""


def _taxable(document: Document, tax: InvoiceTax | None, taxes: Mapping[str, InvoiceTax]) -> Money:
    """What bears no tax is what the others leave of the document, less its discounts."""
    if tax is not None:
        return tax.taxable
    rest = document.subtotal - document.discount
    for each in taxes.values():
        rest -= each.taxable + (each.amount if each.is_included else Money(0, document.currency))
    return rest


def _nets(
    document: Document, items: list[Item], tax: InvoiceTax | None, taxes: Mapping[str, InvoiceTax]
) -> list[Money]:
    """Of the items of one group, without their tax. Without discounts they come to what is taxable: what their own
    roundings miss is on the largest.
    """
    amounts = [each.amount for each in items]
    if tax is None or not tax.is_included:
        return amounts
    whole = EXACT.add(_ONE, EXACT.multiply(tax.rate_percent, _PERCENT))
    nets = [Money.rounded(QUOTIENT.divide(each.amount, whole), document.currency) for each in amounts]
    missing = tax.taxable - sum(nets, Money(0, document.currency))
    if missing.minor_units > 0 or not document.discounts:
        largest = max(range(len(nets)), key=lambda at: abs(nets[at].minor_units))
        nets[largest] += missing
    return nets


def _breakdown(document: Document, tax: InvoiceTax | None, lines: Money, taxable: Money) -> Breakdown:
    rate = tax.rate_percent if tax else Decimal(0)
    category = document.category(rate)
    return Breakdown(
        category=category,
        rate_percent=rate,
        lines=lines,
        taxable=taxable,
        tax=tax.amount if tax else Money(0, document.currency),
        reason="" if category is Category.STANDARD else tax.name if tax else "",
    )


def _together(parts: list[Breakdown]) -> Breakdown:
    """The standard has one entry for each category and rate."""
    first, *others = parts
    for each in others:
        first = Breakdown(
            first.category,
            first.rate_percent,
            first.lines + each.lines,
            first.taxable + each.taxable,
            first.tax + each.tax,
            first.reason or each.reason,
        )
    return first


def _line(item: Item, net: Money, part: Breakdown) -> NetLine:
    """A price is never below 0, and a quantity and its price come to the net amount: else it is one of the whole."""
    quantity, price = item.quantity, item.unit_price
    if (
        quantity is None
        or price is None
        or price < 0
        or Money.rounded(EXACT.multiply(quantity, price), net.currency) != net
    ):
        quantity, price = (_ONE if net.minor_units >= 0 else -_ONE), abs(net.amount)
    return NetLine(item, net, quantity, price, part.category, part.rate_percent)
