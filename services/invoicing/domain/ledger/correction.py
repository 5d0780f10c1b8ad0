"""The bookings of what is taken back of an invoice: credit notes, their voids, and its own."""

from collections.abc import Iterable, Mapping
from fractions import Fraction

from libs.common.money import EXACT, exponent
from services.invoicing.domain.bill import Bill, share_of
from services.invoicing.domain.credit_note import CreditNote, Kind
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.booked import Booked
from services.invoicing.domain.ledger.booking import Booking
from services.invoicing.domain.ledger.collection import settled
from services.invoicing.domain.ledger.earning import Earning, whole
from services.invoicing.domain.ledger.part import apportioned, key_of, net, positions

VOID = "void"
_OF_DOCUMENTS = (
    Account.CUSTOMER_CREDIT,
    Account.PREPAID_CREDIT,
    Account.TAX_PAYABLE,
    Account.DEFERRED_REVENUE,
    Account.ROUNDING,
    Account.BAD_DEBT,
)


def noted(booked: Booked, invoice: Invoice, note: CreditNote, credited: Mapping[int, int]) -> Booking:
    """`credited` is what notes take of each line, with this one: a part with nothing left comes to 0. What is rounded
    otherwise in the note than in the invoice is a rounding.
    """
    tax = sum(each.amount.minor_units for each in note.taxes)
    total = note.total.minor_units
    changes = _taken(booked, invoice, note, total - tax, credited)
    rest = total - tax + sum(changes.values())
    against = {
        Kind.CREDIT: {Account.CUSTOMER_CREDIT: -total},
        Kind.OFFSET: settled(-total, booked.balance(Account.BAD_DEBT)),
        Kind.REFUND: {Account.REFUNDS_PAYABLE: -total},
    }[note.kind]
    return booked.booking(_source(note), {Account.TAX_PAYABLE: tax, Account.ROUNDING: rest, **against}, changes)


def note_voided(booked: Booked, note: CreditNote, *, of_void: bool) -> Booking:
    """What is left of a note is forfeited; if nothing of it was used, the note is taken back altogether. Where its
    invoice is void (`of_void`), nothing is earned again: what was not paid is a bad debt no more, and what was paid is
    owed to the customer.
    """
    made = _source(note)
    source = f"{made}/void/{note.voided.minor_units}"
    forfeited = sum(
        legs.get(Account.FORFEITED_CREDIT, 0) for each, legs in booked.legs.items() if each.startswith(f"{made}/void/")
    )
    if note.voided == note.total and of_void:
        total = note.total.minor_units
        legs = settled(-total, booked.balance(Account.BAD_DEBT))
        credit = {Account.CUSTOMER_CREDIT: total + forfeited, Account.FORFEITED_CREDIT: -forfeited}
        return booked.booking(source, {**credit, **legs})
    if note.voided == note.total:
        legs = {account: -amount for account, amount in booked.legs[made].items()}
        legs[Account.CUSTOMER_CREDIT] += forfeited
        legs[Account.FORFEITED_CREDIT] = -forfeited
        earnings = booked.earnings.get(made, ())
        return booked.booking(source, legs, {part: -whole(its) for part, its in _by_part(earnings).items()})
    rest = note.voided.minor_units + forfeited
    return booked.booking(source, {Account.CUSTOMER_CREDIT: rest, Account.FORFEITED_CREDIT: -rest})


def voided(booked: Booked) -> Booking:
    """Nothing is owed any more, and nothing earned; credits that it used are there again. What notes have given back
    stays; as far as nobody paid it, it is a bad debt.
    """
    changes = {part: -whole(booked.of_part(part)) for part in booked.parts}
    legs = {account: -booked.balance(account) for account in _OF_DOCUMENTS}
    notes = (its for source, its in booked.legs.items() if source.startswith("note/"))
    legs[Account.CUSTOMER_CREDIT] += sum(its.get(Account.CUSTOMER_CREDIT, 0) for its in notes)
    legs[Account.RECEIVABLE] = -sum(legs.values())
    unpaid = max(booked.balance(Account.RECEIVABLE) + legs[Account.RECEIVABLE], 0)
    legs[Account.RECEIVABLE] -= unpaid
    legs[Account.BAD_DEBT] += unpaid
    return booked.booking(VOID, legs, changes)


def _taken(
    booked: Booked, invoice: Invoice, note: CreditNote, amount: int, credited: Mapping[int, int]
) -> dict[int, int]:
    """What parts come to more (less, where it is below 0) by a note that takes `amount` of them, without taxes."""
    lines = invoice.bill.lines
    numbers = positions(key_of(line) for line in lines)
    part_of = [numbers[key_of(line)] for line in lines]
    exact: dict[int, Fraction] = {}
    for position, item in note.items:
        part = part_of[position]
        exact[part] = exact.get(part, Fraction(0)) + _net(invoice.bill, position, item.minor_units)
    left = {part: whole(booked.of_part(part)) for part in exact}
    open_parts = {part_of[i] for i, line in enumerate(lines) if line.amount.minor_units != credited.get(i, 0)}
    taken = {part: left[part] for part in exact if part not in open_parts}
    others = [part for part in exact if part in open_parts]
    if others:
        shares = apportioned(amount - sum(taken.values()), [exact[part] for part in others])
        taken |= {part: _within(share, left[part]) for part, share in zip(others, shares, strict=True)}
    return {part: -share for part, share in taken.items()}


def _within(amount: int, left: int) -> int:
    return max(min(amount, max(left, 0)), min(left, 0))


def _net(bill: Bill, position: int, amount: int) -> Fraction:
    """Of so much of a line, as `store.ledger_invoices` reckons it of the whole."""
    line = bill.lines[position]
    share = EXACT.scaleb(share_of(bill.discounts, position), exponent(bill.currency))
    rates = {tax.code: tax.rate_percent for tax in bill.taxes if tax.is_included}
    codes = line.tax_codes if line.is_tax_inclusive else ()
    whole_line = net(line.amount.minor_units, share, [rates[code] for code in codes])
    return whole_line * Fraction(amount, line.amount.minor_units)


def _by_part(earnings: Iterable[Earning]) -> dict[int, list[Earning]]:
    found: dict[int, list[Earning]] = {}
    for each in earnings:
        found.setdefault(each.part, []).append(each)
    return found


def _source(note: CreditNote) -> str:
    return f"note/{note.id}"
