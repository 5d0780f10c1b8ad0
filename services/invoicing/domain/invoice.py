"""A bill with its place in the books."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from libs.common.money import Money
from services.invoicing.domain.bill import Bill
from services.invoicing.domain.line import Source
from services.invoicing.domain.period import Calendar, Period, day_start, local_date
from services.invoicing.domain.settlement import Settlement

TENANT_PREFIX = "INV"


class State(StrEnum):
    DRAFT = "draft"
    FINALIZED = "finalized"
    VOIDED = "voided"
    CLOSED = "closed"


class InvoiceKind(StrEnum):
    SUBSCRIPTION = "subscription"
    ONE_OFF = "one_off"
    ADVANCE_USAGE = "advance_usage"
    PROGRESSIVE = "progressive"
    ADVANCE_FEES = "advance_fees"


class PaymentStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REQUIRES_ACTION = "requires_action"


@dataclass(frozen=True, slots=True)
class AppliedCredit:
    """What a credit note pays of an invoice; if that was voided, it went back to the note."""

    credit_note_id: str
    credit_note_number: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Invoice:
    """`number` and `finalize_time` are None in a draft; times are the tenant's.

    What came to nothing may be closed without a number. `draft_until` is when a draft is finalized at the latest.
    It bills again what the voided one did that it was `regenerated_from`.
    It is to be paid by its `due_date`; after that it `is_overdue` until it is paid, which was found at `overdue_time`.
    `due_time` is when what it settles fell due to be billed. `credits` and `prepaid` credit are there from finalization
    on. `offset` is what notes of this invoice took off what is due since then. `is_with_payments` says that payments
    was asked to collect it, and may have it.
    """

    id: str
    number: str | None
    customer_id: str
    settlements: tuple[Settlement, ...]
    bill: Bill
    state: State
    payment_status: PaymentStatus
    amount_paid: Money
    due_time: datetime
    issue_date: date
    create_time: datetime
    finalize_time: datetime | None
    offset: Money
    credits: tuple[AppliedCredit, ...] = ()
    is_with_payments: bool = False
    draft_until: datetime | None = None
    prepaid: Money | None = None
    regenerated_from: str | None = None
    kind: InvoiceKind = InvoiceKind.SUBSCRIPTION
    due_date: date | None = None
    is_overdue: bool = False
    overdue_time: datetime | None = None
    write_off_time: datetime | None = None
    disputed: Money | None = None
    """What banks have taken back of it."""
    legal_entity_code: str = ""
    """Who issued it; "" in a draft, and where there was nobody to."""

    @property
    def period(self) -> Period | None:
        """From the first beginning to the last end of what it settles."""
        if not self.settlements:
            return None
        periods = [each.period for each in self.settlements]
        return Period(min(each.start for each in periods), max(each.end for each in periods))

    @property
    def source(self) -> Source | None:
        """The phase that it settles, if that is only one."""
        sources = {each.source for each in self.settlements}
        return sources.pop() if len(sources) == 1 else None

    @property
    def amount_due(self) -> Money:
        """What is collected of it."""
        nothing = Money(0, self.bill.currency)
        if self.state is State.VOIDED:
            return nothing
        credited = sum((each.amount for each in self.credits), nothing)
        return self.bill.total - credited - (self.prepaid or nothing) - self.offset

    @property
    def unpaid(self) -> Money:
        return self.amount_due - self.amount_paid

    @property
    def written_off(self) -> Money:
        """What nobody expects any more. What is paid after all is taken off."""
        return self.unpaid if self.write_off_time else Money(0, self.bill.currency)

    @property
    def is_paid(self) -> bool:
        return self.payment_status is PaymentStatus.SUCCEEDED


@dataclass(frozen=True, slots=True)
class HandOver:
    """What payments is told of an invoice. Of two, that with the greater `version` counts. `country_code` and `segment`
    are the customer's, for payments to route and to dun by; "" without one.
    """

    tenant_id: str
    invoice_id: str
    number: str
    customer_id: str
    amount_due: Money
    version: int
    country_code: str = ""
    segment: str = ""


def issue_date(due_time: datetime, tz: Calendar) -> date:
    """The date on the invoice: the day it falls due to be made, however late it is made."""
    return local_date(due_time, tz)


def due_date(issued: date, net_payment_term_days: int) -> date:
    """The last day on which it is paid in time."""
    return issued + timedelta(days=net_payment_term_days)


def overdue_from(due: date, tz: ZoneInfo) -> datetime:
    """When the customer's next day begins."""
    return day_start(due + timedelta(days=1), tz)


def number(issued: date, sequence: int, prefix: str = TENANT_PREFIX) -> str:
    """For example INV-202312-000042. `sequence` counts the tenant's invoices from 1 and does not restart; with another
    `prefix`, those that the legal entity has numbered that has it.
    """
    return f"{prefix}-{issued:%Y%m}-{sequence:06d}"


def customer_number(prefix: str, customer_sequence: int, sequence: int) -> str:
    """For example GLX-007-042. `sequence` counts the invoices of the tenant's 7th customer with a prefix that were
    numbered so, from 1. No prefix is TENANT_PREFIX: the two kinds of numbers never meet.
    """
    return f"{prefix}-{customer_sequence:03d}-{sequence:03d}"
