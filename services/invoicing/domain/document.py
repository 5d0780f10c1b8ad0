"""What a document says, before it has a language and a form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from libs.common.money import Money
from services.invoicing.domain.credit_note import CreditNote, Reason
from services.invoicing.domain.credit_note import Kind as NoteKind
from services.invoicing.domain.customer import Address
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.legal_entity import LegalEntity
from services.invoicing.domain.line import Line, LineKind
from services.invoicing.domain.period import Period, local_date
from services.invoicing.domain.rating import Rating, StepKind
from services.invoicing.domain.tax import InvoiceTax
from services.invoicing.domain.vat import Category, category

VAT_IDS = ("eu_vat", "vat", "gb_vat", "ch_vat", "no_vat")
"""Types of tax ids that are numbers for value-added tax."""

_DIFFERENCES = {LineKind.LATE_USAGE, LineKind.PROGRESSIVE_CREDIT}
"""Lines whose quantity is not what their amount is for."""


class DocumentKind(StrEnum):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    RECEIPT = "receipt"
    STATEMENT = "statement"


class Stamp(StrEnum):
    """What is to be seen at once of a document that nobody should pay."""

    DRAFT = "draft"
    VOID = "void"


class Format(StrEnum):
    """PDF/A-3, or an e-invoice by EN 16931 in one of its two syntaxes."""

    PDF = "pdf"
    CII = "cii"
    UBL = "ubl"

    @property
    def suffix(self) -> str:
        return "pdf" if self is Format.PDF else f"{self}.xml"


@dataclass(frozen=True, slots=True)
class File:
    """A document as it is given out; `digest` is the SHA-256 of its contents."""

    kind: DocumentKind
    format: Format
    name: str
    contents: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Buyer:
    """The customer as he was when the document's books were closed, unless he was erased since then."""

    id: str
    name: str
    locale: str
    tz: ZoneInfo
    address: Address = field(default_factory=Address)
    tax_ids: Mapping[str, str] = field(default_factory=dict)
    is_erased: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """`quantity` at `unit_price` each, part of an item."""

    quantity: Decimal
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Item:
    """A line as it is shown. `first_day` to `last_day` are the buyer's; `days` are those of so many that are billed."""

    description: str
    amount: Money
    first_day: date | None = None
    last_day: date | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    days: tuple[int, int] | None = None
    steps: tuple[Step, ...] = ()
    tax_codes: tuple[str, ...] = ()
    is_tax_inclusive: bool = False


@dataclass(frozen=True, slots=True)
class Deduction:
    """What pays for the total without being asked for: a credit note, or prepaid credit if `reference` is ""."""

    reference: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Credited:
    """The invoice that a credit note is of, and why it was made."""

    number: str
    issue_date: date
    kind: NoteKind
    reason: Reason
    description: str


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice or a credit note. `discounts` are what coupons take off, by name. `amount_due` is None where there is
    nothing to ask for. `issue_time` is when it was finalized: what its file says it was made at.
    """

    kind: DocumentKind
    number: str
    seller: LegalEntity
    buyer: Buyer
    currency: str
    issue_date: date
    issue_time: datetime
    items: tuple[Item, ...]
    subtotal: Money
    taxes: tuple[InvoiceTax, ...]
    total: Money
    discounts: tuple[tuple[str, Money], ...] = ()
    deductions: tuple[Deduction, ...] = ()
    amount_due: Money | None = None
    due_date: date | None = None
    stamp: Stamp | None = None
    credited: Credited | None = None

    @property
    def tax(self) -> Money:
        """What is added to the items."""
        return sum((each.amount for each in self.taxes if not each.is_included), Money(0, self.currency))

    @property
    def discount(self) -> Money:
        return sum((amount for _, amount in self.discounts), Money(0, self.currency))

    @property
    def first_day(self) -> date | None:
        return min((each.first_day for each in self.items if each.first_day), default=None)

    @property
    def last_day(self) -> date | None:
        return max((each.last_day for each in self.items if each.last_day), default=None)

    def category(self, rate_percent: Decimal) -> Category:
        return category(rate_percent, self.seller.address, self.buyer.address, vat_id(self.buyer.tax_ids))

    @property
    def categories(self) -> frozenset[Category]:
        """Of all that it charges for; what bears no tax counts as what bears one of 0 %."""
        rates = {each.rate_percent for each in self.taxes}
        if any(not each.tax_codes for each in self.items):
            rates.add(Decimal(0))
        return frozenset(map(self.category, rates))


def vat_id(tax_ids: Mapping[str, str]) -> str:
    """The number for value-added tax, "" without one."""
    return next((tax_ids[each] for each in VAT_IDS if each in tax_ids), "")


def of_invoice(invoice: Invoice, seller: LegalEntity, buyer: Buyer, ratings: Sequence[Rating | None]) -> Document:
    """As it was finalized: what was paid, offset or given back since then is told by other documents. `ratings` are
    those of its lines, None where one has none.
    """
    bill = invoice.bill
    used = tuple(Deduction(each.credit_note_number, each.amount) for each in invoice.credits)
    prepaid = (Deduction("", invoice.prepaid),) if invoice.prepaid and invoice.prepaid.minor_units else ()
    deductions = used + prepaid
    due = bill.total - sum((each.amount for each in deductions), Money(0, bill.currency))
    stamps = {State.DRAFT: Stamp.DRAFT, State.VOIDED: Stamp.VOID}
    return Document(
        kind=DocumentKind.INVOICE,
        number=invoice.number or "",
        seller=seller,
        buyer=buyer,
        currency=bill.currency,
        issue_date=invoice.issue_date,
        issue_time=invoice.finalize_time or invoice.create_time,
        items=tuple(_item(line, rating, buyer.tz) for line, rating in zip(bill.lines, ratings, strict=True)),
        subtotal=bill.subtotal,
        taxes=bill.taxes,
        total=bill.total,
        discounts=tuple((each.terms.name, each.amount) for each in bill.discounts),
        deductions=deductions,
        amount_due=due,
        due_date=invoice.due_date,
        stamp=stamps.get(invoice.state),
    )


def of_credit_note(note: CreditNote, invoice: Invoice, seller: LegalEntity, buyer: Buyer) -> Document:
    """As it was made: what was used of it since then is told by invoices."""
    assert note.create_time is not None, "it was made"
    lines = invoice.bill.lines
    return Document(
        kind=DocumentKind.CREDIT_NOTE,
        number=note.number,
        seller=seller,
        buyer=buyer,
        currency=invoice.bill.currency,
        issue_date=local_date(note.create_time, buyer.tz),
        issue_time=note.create_time,
        items=tuple(_shown(lines[position], buyer.tz, amount=amount) for position, amount in note.items),
        subtotal=note.subtotal,
        taxes=note.taxes,
        total=note.total,
        discounts=(("", note.discount),) if note.discount.minor_units else (),
        stamp=Stamp.VOID if note.voided == note.total else None,
        credited=Credited(invoice.number or "", invoice.issue_date, note.kind, note.reason, note.description),
    )


def _item(line: Line, rating: Rating | None, tz: ZoneInfo) -> Item:
    if line.units is not None:
        return _shown(line, tz, quantity=line.units, unit_price=line.unit_amount)
    if line.proration is not None:
        is_part = line.proration.days != line.proration.period_days
        return _shown(line, tz, days=(line.proration.days, line.proration.period_days) if is_part else None)
    if rating is None or line.kind in _DIFFERENCES:
        return _shown(line, tz)
    steps = tuple(
        Step(each.quantity, each.unit_price, each.amount)
        for each in rating.tiers
        if each.kind is StepKind.UNITS and each.quantity and not each.flat_fee and not each.free_units
    )
    if len(steps) != len(rating.tiers) or rating.pricing_unit:
        return _shown(line, tz, quantity=rating.quantity)
    if len(steps) == 1:
        return _shown(line, tz, quantity=steps[0].quantity, unit_price=steps[0].unit_price)
    return _shown(line, tz, quantity=rating.quantity, steps=steps)


def _shown(
    line: Line,
    tz: ZoneInfo,
    amount: Money | None = None,
    quantity: Decimal | None = None,
    unit_price: Decimal | None = None,
    days: tuple[int, int] | None = None,
    steps: tuple[Step, ...] = (),
) -> Item:
    first, last = _days(line.period, tz)
    return Item(
        description=line.description,
        amount=line.amount if amount is None else amount,
        first_day=first,
        last_day=last,
        quantity=quantity,
        unit_price=unit_price,
        days=days,
        steps=steps,
        tax_codes=line.tax_codes,
        is_tax_inclusive=line.is_tax_inclusive,
    )


def _days(period: Period, tz: ZoneInfo) -> tuple[date, date]:
    first = local_date(period.start, tz)
    return first, max(first, local_date(period.end - timedelta(microseconds=1), tz))
