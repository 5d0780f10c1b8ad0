"""What a customer paid, and how its account stands: documents that are made of the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.domain.document import Buyer
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.legal_entity import LegalEntity

ACCOUNTS = (Account.RECEIVABLE, Account.CUSTOMER_CREDIT, Account.REFUNDS_PAYABLE)
"""What a customer owes, less what it is owed."""


class EntryKind(StrEnum):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    PAYMENT = "payment_received"
    REFUND = "refund"
    WRITE_OFF = "written_off"


_KINDS = {
    "issue": EntryKind.INVOICE,
    "void": EntryKind.INVOICE,
    "note": EntryKind.CREDIT_NOTE,
    "payment": EntryKind.PAYMENT,
    "refund": EntryKind.REFUND,
    "write_off": EntryKind.WRITE_OFF,
}


@dataclass(frozen=True, slots=True)
class Booked:
    """What a `source` of the ledger has moved of the customer's accounts, on one invoice. `note_number` is that of the
    credit note that it is of, "" if none.
    """

    source: str
    invoice_number: str
    note_number: str
    day: date
    amount: Money


@dataclass(frozen=True, slots=True)
class Entry:
    """`amount` is above 0 for what the customer owes; `balance` is that after it. One that `is_void` takes another
    back.
    """

    kind: EntryKind
    number: str
    day: date
    amount: Money
    balance: Money
    is_void: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """From `first_day` to `last_day`, in one currency. It was made at `made_at`."""

    seller: LegalEntity
    buyer: Buyer
    first_day: date
    last_day: date
    opening: Money
    entries: tuple[Entry, ...]
    made_at: datetime

    @property
    def closing(self) -> Money:
        return self.entries[-1].balance if self.entries else self.opening


@dataclass(frozen=True, slots=True)
class Payment:
    """What was received on a day; below 0 where it was taken back."""

    reference: str
    day: date
    amount: Money


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was received for an invoice so far."""

    seller: LegalEntity
    buyer: Buyer
    invoice_number: str
    issue_date: date
    issue_time: datetime
    payments: tuple[Payment, ...]

    @property
    def amount(self) -> Money:
        first, *others = (each.amount for each in self.payments)
        return sum(others, first)


def require_paid(payments: Sequence[Payment], invoice_id: str) -> None:
    """Raises FailedPrecondition INVOICE_NOT_PAID."""
    if sum(each.amount.minor_units for each in payments) <= 0:
        raise FailedPrecondition(
            "INVOICE_NOT_PAID", f"nothing was received for invoice {invoice_id}", invoice_id=invoice_id
        )


def entries(opening: Money, booked: Sequence[Booked]) -> tuple[Entry, ...]:
    """In the order of `booked`, with what the account comes to after each."""
    found = []
    balance = opening
    for each in booked:
        balance += each.amount
        kind, *rest = each.source.split("/")
        found.append(
            Entry(
                _KINDS[kind],
                each.note_number or each.invoice_number,
                each.day,
                each.amount,
                balance,
                is_void=kind == "void" or "void" in rest,
            )
        )
    return tuple(found)
