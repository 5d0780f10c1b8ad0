"""What a credit note comes to, and whether so much is left of its invoice.

A note takes amounts of lines, less the coupons' share of them, and their taxes at the invoice's rates. Each tax of a
note is rounded once, never to more than is left of the invoice's, and so is what coupons took off; the note that takes
the rest of the lines takes the rest of both, so that the notes of an invoice add up to it (billing semantics 6.3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import reduce

from libs.common.errors import FailedPrecondition, InvalidArgument, NotFound
from libs.common.money import EXACT, QUOTIENT, Money
from services.invoicing.domain.bill import Bill, share_of
from services.invoicing.domain.credit_note import Credited, CreditNote, Item, Kind, NoteRequest, RefundState, number
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.tax import InvoiceTax, TaxBase, taxed

_SHARE_DIGITS = Decimal("1e-12")


class NothingToCredit(FailedPrecondition):
    """A note would give nothing back, for example since a coupon took all of its lines off."""


def drafted(invoice: Invoice, credited: Credited, asked: NoteRequest) -> CreditNote:
    """The note without id and time. `credited` is by the invoice's notes so far.

    Raises FailedPrecondition INVOICE_NOT_FINALIZED, INVOICE_VOIDED, CREDIT_EXCEEDS_LINE, CREDIT_EXCEEDS_INVOICE,
    NOTHING_TO_CREDIT, OFFSET_EXCEEDS_DUE or REFUND_EXCEEDS_PAID, NotFound LINE_NOT_FOUND, and InvalidArgument
    CREDIT_AMOUNT_INVALID or CURRENCY_MISMATCH.
    """
    require_owed(invoice)
    bill = invoice.bill
    items = _items(bill, credited, asked.items)
    subtotal = _sum((amount for _, amount in items), bill.currency)
    left = bill.subtotal.minor_units - sum(credited.lines.values()) - subtotal.minor_units
    if left < 0:
        raise FailedPrecondition(
            "CREDIT_EXCEEDS_INVOICE",
            f"the lines come to {subtotal}, which is more than is left of the invoice",
            invoice_id=invoice.id,
        )
    bases = _bases(bill, items)
    discount = _discount(bill, credited, items)
    taxes = _taxes(bill, credited, bases, takes_rest=left == 0)
    tax = _sum((each.amount for each in taxes if not each.is_included), bill.currency)
    total = subtotal - discount + tax
    if subtotal.minor_units < 0 or total.minor_units <= 0:
        raise NothingToCredit("NOTHING_TO_CREDIT", f"the note comes to {total}", invoice_id=invoice.id)
    if asked.kind is Kind.OFFSET and total.minor_units > invoice.unpaid.minor_units:
        raise FailedPrecondition(
            "OFFSET_EXCEEDS_DUE",
            f"the note comes to {total}, and {invoice.unpaid} are left to be paid of the invoice",
            invoice_id=invoice.id,
        )
    refundable = invoice.amount_paid - Money(credited.refunded, bill.currency)
    if asked.kind is Kind.REFUND and total.minor_units > refundable.minor_units:
        raise FailedPrecondition(
            "REFUND_EXCEEDS_PAID",
            f"the note comes to {total}, and {refundable} can be given back of what was paid",
            invoice_id=invoice.id,
        )
    nothing = Money(0, bill.currency)
    return CreditNote(
        id="",
        sequence=credited.count + 1,
        number=number(invoice.number or "", credited.count + 1),
        invoice_id=invoice.id,
        customer_id=invoice.customer_id,
        kind=asked.kind,
        reason=asked.reason,
        description=asked.description,
        items=items,
        taxes=taxes,
        subtotal=subtotal,
        discount=discount,
        tax=tax,
        balance=total if asked.kind is Kind.CREDIT else nothing,
        voided=nothing,
        create_time=None,
        refund=RefundState.PENDING if asked.kind is Kind.REFUND else None,
    )


def require_owed(invoice: Invoice) -> None:
    """Raises FailedPrecondition INVOICE_NOT_FINALIZED or INVOICE_VOIDED."""
    if invoice.state in (State.DRAFT, State.CLOSED):
        raise FailedPrecondition(
            "INVOICE_NOT_FINALIZED", f"invoice {invoice.id} is not finalized", invoice_id=invoice.id
        )
    if invoice.state is State.VOIDED:
        raise FailedPrecondition("INVOICE_VOIDED", f"invoice {invoice.number} is void", invoice_id=invoice.id)


def _items(bill: Bill, credited: Credited, asked: Sequence[Item]) -> tuple[tuple[int, Money], ...]:
    if not asked:
        left = [(position, _left(bill, credited, position)) for position in range(len(bill.lines))]
        return tuple((position, amount) for position, amount in left if amount.minor_units)
    for item in asked:
        if not 0 <= item.position < len(bill.lines):
            line_number = str(item.position + 1)
            raise NotFound("LINE_NOT_FOUND", f"the invoice has no line {line_number}", line_number=line_number)
    return tuple((item.position, _amount(bill, credited, item)) for item in asked)


def _amount(bill: Bill, credited: Credited, item: Item) -> Money:
    """Of the line's sign, and not beyond what is left of it."""
    left = _left(bill, credited, item.position)
    amount = left if item.amount is None else item.amount
    line_number = str(item.position + 1)
    if amount.currency != bill.currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"line {line_number} is credited in {amount.currency}, the invoice is in {bill.currency}",
            field="credit_note.items.amount.currency_code",
        )
    takes_away = bill.lines[item.position].amount.minor_units < 0
    if item.amount is not None and (not amount.minor_units or (amount.minor_units < 0) != takes_away):
        raise InvalidArgument(
            "CREDIT_AMOUNT_INVALID",
            f"{amount} can't be credited of line {line_number}, which comes to {bill.lines[item.position].amount}",
            field="credit_note.items.amount.minor_units",
        )
    if not amount.minor_units or abs(amount.minor_units) > abs(left.minor_units):
        raise FailedPrecondition(
            "CREDIT_EXCEEDS_LINE", f"{left} are left of line {line_number}", line_number=line_number
        )
    return amount


def _left(bill: Bill, credited: Credited, position: int) -> Money:
    line = bill.lines[position].amount
    taken = credited.lines.get(position, 0) + credited.deducted.get(position, 0)
    return Money(line.minor_units - taken, bill.currency)


def _bases(bill: Bill, items: Sequence[tuple[int, Money]]) -> list[TaxBase]:
    """What the items come to less the coupons' share of them."""
    found = []
    for position, amount in items:
        line = bill.lines[position]
        net = EXACT.subtract(amount.amount, _taken_off(bill, position, amount.minor_units))
        found.append(TaxBase(net, line.tax_codes, line.is_tax_inclusive))
    return found


def _discount(bill: Bill, credited: Credited, items: Iterable[tuple[int, Money]]) -> Money:
    """What coupons took off all that is credited then, rounded, less what notes have left out already: so roundings do
    not add up, and the note that takes the rest leaves out the rest.
    """
    after = dict(credited.lines)
    for position, amount in items:
        after[position] = after.get(position, 0) + amount.minor_units
    together = (_taken_off(bill, position, minor_units) for position, minor_units in after.items())
    taken = Money.rounded(reduce(EXACT.add, together, Decimal(0)), bill.currency).minor_units - credited.discount
    return Money(min(max(taken, 0), bill.discount.minor_units - credited.discount), bill.currency)


def _taken_off(bill: Bill, position: int, minor_units: int) -> Decimal:
    """The coupons' share of so much of a line, in major units."""
    share = share_of(bill.discounts, position)
    if not share:
        return share
    part = EXACT.multiply(share, Decimal(minor_units))
    whole = Decimal(bill.lines[position].amount.minor_units)
    return QUOTIENT.divide(part, whole).quantize(_SHARE_DIGITS, context=QUOTIENT)


def _taxes(bill: Bill, credited: Credited, bases: Iterable[TaxBase], *, takes_rest: bool) -> tuple[InvoiceTax, ...]:
    exact = {tax.key: tax for tax in taxed(bases, {tax.code: tax for tax in bill.taxes}, bill.currency)}
    nothing = Money(0, bill.currency)
    taxes = []
    for tax in bill.taxes:
        found = exact.get(tax.key) or replace(tax, taxable=nothing, amount=nothing, unrounded_amount=Decimal(0))
        left = tax.amount.minor_units - credited.taxes.get(tax.key, 0)
        amount = left if takes_rest else min(max(found.amount.minor_units, 0), left)
        taxes.append(replace(found, amount=Money(amount, bill.currency)))
    return tuple(taxes)


def _sum(amounts: Iterable[Money], currency: str) -> Money:
    return reduce(Money.__add__, amounts, Money(0, currency))
