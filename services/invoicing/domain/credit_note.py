"""What is given back of an invoice."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.domain.tax import InvoiceTax, TaxKey


class Kind(StrEnum):
    CREDIT = "credit"
    OFFSET = "offset"
    REFUND = "refund"


class RefundState(StrEnum):
    """Of the refund that a note of kind REFUND asks payments for."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Reason(StrEnum):
    DUPLICATED_CHARGE = "duplicated_charge"
    PRODUCT_UNSATISFACTORY = "product_unsatisfactory"
    ORDER_CHANGE = "order_change"
    ORDER_CANCELLATION = "order_cancellation"
    FRAUDULENT_CHARGE = "fraudulent_charge"
    OTHER = "other"


class BalanceState(StrEnum):
    AVAILABLE = "available"
    CONSUMED = "consumed"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Item:
    """What is credited of the line at `position`, from 0; in a request, None is what is left of it."""

    position: int
    amount: Money | None


@dataclass(frozen=True, slots=True)
class NoteRequest:
    """A note as it is asked for; without items, what is left of every line."""

    invoice_id: str
    kind: Kind
    reason: Reason
    description: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Credited:
    """What the notes of an invoice have credited: minor units by position of the line, and by tax; and what they have
    left out since coupons took it off.

    `count` is how many notes there are; one that was voided before anything of it was used is counted, but not summed.
    `refunded` is what was asked back of payments, other than what has failed; `deducted` what later invoices deduct of
    lines, in minor units by position: it can't be credited, too.
    """

    lines: Mapping[int, int]
    taxes: Mapping[TaxKey, int]
    discount: int
    count: int
    refunded: int = 0
    deducted: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreditNote:
    """`sequence` counts the invoice's notes from 1. `total` = `balance` + `used` + `voided`; an offset is used by its
    own invoice at once, and a refund by payments; how that stands is in `refund`, None for other kinds.
    """

    id: str
    sequence: int
    number: str
    invoice_id: str
    customer_id: str
    kind: Kind
    reason: Reason
    description: str
    items: tuple[tuple[int, Money], ...]
    taxes: tuple[InvoiceTax, ...]
    subtotal: Money
    discount: Money
    tax: Money
    balance: Money
    voided: Money
    create_time: datetime | None
    refund: RefundState | None = None
    refund_failure: str = ""

    @property
    def total(self) -> Money:
        return self.subtotal - self.discount + self.tax

    @property
    def used(self) -> Money:
        return self.total - self.balance - self.voided

    @property
    def state(self) -> BalanceState:
        if self.balance.minor_units:
            return BalanceState.AVAILABLE
        return BalanceState.VOIDED if self.voided.minor_units else BalanceState.CONSUMED


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What payments is asked to give back for a note."""

    tenant_id: str
    credit_note_id: str
    invoice_id: str
    amount: Money


def voided(note: CreditNote) -> CreditNote:
    """The note without what is left of it. Raises FailedPrecondition CREDIT_NOTE_CONSUMED."""
    if not note.balance.minor_units:
        raise FailedPrecondition(
            "CREDIT_NOTE_CONSUMED", f"nothing is left of credit note {note.number}", credit_note_id=note.id
        )
    return replace(note, balance=note.balance - note.balance, voided=note.voided + note.balance)


def number(invoice_number: str, sequence: int) -> str:
    """For example INV-202312-000042-CN001."""
    return f"{invoice_number}-CN{sequence:03d}"
