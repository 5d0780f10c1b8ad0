"""Voids: which invoices are owed no more, and what notes of their own give back of them (billing semantics 6)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.money import Money
from services.invoicing.domain.credit_note import Credited, CreditNote, Item, Kind, NoteRequest, Reason
from services.invoicing.domain.drafted_note import drafted, require_owed
from services.invoicing.domain.invoice import Invoice, InvoiceKind
from services.invoicing.domain.unused_fee import split

VOIDED = "The invoice is void"


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What a void gives back, with taxes: as a `credit`, and as a `refund` of what was paid."""

    credit: Money
    refund: Money


def require_currency(invoice: Invoice, back: GivenBack) -> None:
    """Raises InvalidArgument CURRENCY_MISMATCH."""
    for name, amount in (("credit_amount", back.credit), ("refund_amount", back.refund)):
        if amount.currency != invoice.bill.currency:
            raise InvalidArgument(
                "CURRENCY_MISMATCH",
                f"{name} is in {amount.currency}, the invoice in {invoice.bill.currency}",
                field=f"{name}.currency_code",
            )


def require_voidable(invoice: Invoice, notes: Iterable[CreditNote], credited: Credited, back: GivenBack) -> None:
    """`notes` are those of the invoice, and what they have `credited`.

    Raises FailedPrecondition INVOICE_NOT_FINALIZED, INVOICE_VOIDED, INVOICE_PROGRESSIVE, INVOICE_DEDUCTED,
    INVOICE_CREDITED, INVOICE_PAID unless what was paid is given back, CREDIT_EXCEEDS_INVOICE and REFUND_EXCEEDS_PAID.
    """
    require_owed(invoice)
    if invoice.kind is InvoiceKind.PROGRESSIVE:
        raise _refused("INVOICE_PROGRESSIVE", invoice, "later invoices take off what it bills: credit it instead")
    if credited.deducted:
        raise _refused("INVOICE_DEDUCTED", invoice, "a later invoice deducts units that it charged in advance")
    for note in notes:
        if note.kind is Kind.CREDIT and note.voided != note.total:
            raise _refused("INVOICE_CREDITED", invoice, f"credit note {note.number} has given something of it back")
    paid = invoice.amount_paid - Money(credited.refunded, invoice.amount_paid.currency)
    together = back.credit + back.refund
    if together.minor_units < paid.minor_units or (_is_paid_unseen(invoice) and not together.minor_units):
        raise _refused("INVOICE_PAID", invoice, f"{paid} are paid of it, and {together} given back")
    if back.refund.minor_units > paid.minor_units:
        raise _refused("REFUND_EXCEEDS_PAID", invoice, f"{back.refund} are refunded, and {paid} paid of it")
    most = invoice.amount_due - Money(credited.refunded, together.currency)
    if together.minor_units > most.minor_units:
        raise _refused("CREDIT_EXCEEDS_INVOICE", invoice, f"{together} are given back, and {most} were due of it")


def note_of(invoice: Invoice, credited: Credited, kind: Kind, amount: Money) -> NoteRequest | None:
    """The note that gives so much of an invoice back: a refund of no more; a credit of no less, by the minor unit that
    taxes may leave between two totals. None for nothing.
    """
    if not amount.minor_units:
        return None
    whole = NoteRequest(invoice.id, Kind.CREDIT, Reason.ORDER_CANCELLATION, VOIDED, ())
    items = drafted(invoice, credited, whole).items
    asked = replace(whole, items=tuple(Item(position, part) for position, part in items))

    def total_of(each: NoteRequest) -> Money:
        return drafted(invoice, credited, each).total

    part, rest = split(asked, amount, total_of)
    if kind is Kind.CREDIT and rest is not None:
        part = _raised(part or replace(asked, items=()), asked, amount, total_of)
    return None if part is None else replace(part, kind=kind)


def _raised(
    part: NoteRequest, whole: NoteRequest, amount: Money, total_of: Callable[[NoteRequest], Money]
) -> NoteRequest:
    """With so many more minor units of its lines, the first ones first, that it comes to the amount."""
    taken = {each.position: _minor_units(each) for each in part.items}
    for each in whole.items:
        while _total(part, total_of) < amount.minor_units and taken.get(each.position, 0) < _minor_units(each):
            taken[each.position] = taken.get(each.position, 0) + 1
            items = (Item(position, Money(units, amount.currency)) for position, units in sorted(taken.items()))
            part = replace(whole, items=tuple(items))
    return part


def _total(part: NoteRequest, total_of: Callable[[NoteRequest], Money]) -> int:
    return total_of(part).minor_units if part.items else 0


def _minor_units(item: Item) -> int:
    assert item.amount is not None, "what is given back has an amount"
    return item.amount.minor_units


def _is_paid_unseen(invoice: Invoice) -> bool:
    """Payments says that it is paid, and not how much."""
    return invoice.is_paid and bool(invoice.amount_due.minor_units) and not invoice.amount_paid.minor_units


def _refused(reason: str, invoice: Invoice, why: str) -> FailedPrecondition:
    return FailedPrecondition(reason, f"invoice {invoice.number} is not voided: {why}", invoice_id=invoice.id)
