"""Balances of credit notes, and how they pay the next invoices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from libs.common.money import Money
from services.invoicing.domain.invoice import AppliedCredit, Invoice


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left of a note, for invoices of `customer_id`."""

    credit_note_id: str
    number: str
    customer_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Owed:
    """What an invoice comes to that is being finalized."""

    invoice_id: str
    customer_id: str
    total: Money


@dataclass(frozen=True, slots=True)
class Application:
    """What a note pays of an invoice."""

    invoice_id: str
    credit_note_id: str
    amount: Money


def applied(owed: Sequence[Owed], balances: Sequence[Balance]) -> list[Application]:
    """Which note pays what: invoice by invoice, the oldest note first, both in the order they come in."""
    left = [each.amount.minor_units for each in balances]
    applications = []
    for invoice in owed:
        due, currency = invoice.total.minor_units, invoice.total.currency
        for i, balance in enumerate(balances):
            if (balance.customer_id, balance.amount.currency) != (invoice.customer_id, currency):
                continue
            if (used := min(due, left[i])) > 0:
                applications.append(Application(invoice.invoice_id, balance.credit_note_id, Money(used, currency)))
                left[i] -= used
                due -= used
    return applications


def with_credits(draft: Invoice, balances: Sequence[Balance]) -> Invoice:
    """A draft as it would be finalized now, with its customer's `balances`."""
    numbers = {each.credit_note_id: each.number for each in balances}
    used = applied([Owed(draft.id, draft.customer_id, draft.bill.total)], balances)
    credits_used = (AppliedCredit(each.credit_note_id, numbers[each.credit_note_id], each.amount) for each in used)
    return replace(draft, credits=tuple(credits_used))


def left_after(draft: Invoice, balances: Sequence[Balance]) -> list[Balance]:
    """What is left of `balances` for other invoices, once the draft has its `credits`."""
    used = {each.credit_note_id: each.amount for each in draft.credits}
    return [
        replace(each, amount=each.amount - used[each.credit_note_id]) if each.credit_note_id in used else each
        for each in balances
    ]
