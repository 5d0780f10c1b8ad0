"""What a period comes to, and the invoice that says so.

Lines are rounded one by one, each once. A tax is rounded once on the sum of the lines it applies to, so that an invoice
with many lines is not taxed by their roundings. Every amount before rounding is kept beside the amount.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from libs.common.errors import FailedPrecondition
from libs.common.money import EXACT, Money
from services.invoicing.domain.period import Period, local_date
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.schedule import Schedule
from services.invoicing.domain.subscription import Subscription

BASE = "base"
"""Code of the base fee's line; pricing lets no charge have it."""

MAX_MINOR_UNITS = 2**63 - 1
"""The largest amount that the contract's Money can state."""

_PERCENT = Decimal("0.01")


class State(StrEnum):
    DRAFT = "draft"
    FINALIZED = "finalized"
    VOIDED = "voided"


class PaymentStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REQUIRES_ACTION = "requires_action"


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax as pricing has it now: Decimal("8.875") is 8.875 %."""

    code: str
    name: str
    rate_percent: Decimal


@dataclass(frozen=True, slots=True)
class RatedUsage:
    """What a charge comes to, as pricing rated it; `rating` is its whole answer, which passes through."""

    code: str
    name: str
    quantity: Decimal
    amount: Money
    unrounded_amount: Decimal
    rating: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One amount, with all that it was computed from.

    `unrounded_amount` is in major units. A base fee has a `proration`; usage has a `rating` (the serialized RatedCharge
    of pricing) and a `watermark` (the point in metering's log up to which events are on this line).
    """

    code: str
    description: str
    period: Period
    amount: Money
    unrounded_amount: Decimal
    tax_codes: tuple[str, ...]
    proration: Proration | None = None
    rating: bytes | None = None
    watermark: int | None = None


@dataclass(frozen=True, slots=True)
class InvoiceTax:
    """What one tax comes to on the sum of the lines it applies to."""

    code: str
    name: str
    rate_percent: Decimal
    taxable: Money
    amount: Money
    unrounded_amount: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """What a period comes to; the base fee first, then usage in the plan's order."""

    currency: str
    lines: tuple[Line, ...]
    taxes: tuple[InvoiceTax, ...]

    @property
    def subtotal(self) -> Money:
        return _sum((line.amount for line in self.lines), self.currency)

    @property
    def tax(self) -> Money:
        return _sum((tax.amount for tax in self.taxes), self.currency)

    @property
    def total(self) -> Money:
        return self.subtotal + self.tax


@dataclass(frozen=True, slots=True)
class AppliedCredit:
    """What a credit note pays of an invoice; if that was voided, it went back to the note."""

    credit_note_id: str
    credit_note_number: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Invoice:
    """A bill with its place in the books. `number` and `finalize_time` are None in a draft; times are the tenant's.

    `due_time` is when it fell due to be made. It `is_opening` when it charges the first base fee in advance of a phase:
    no phase has two invoices of one due time, unless one is opening.
    `credits` are there from finalization on. `offset` is what notes of this invoice took off what is due since then.
    `is_with_payments` says that payments was asked to collect it, and may have it.
    """

    id: str
    number: str | None
    customer_id: str
    subscription_id: str
    plan_code: str
    plan_version: int
    phase_number: int
    period: Period
    bill: Bill
    state: State
    payment_status: PaymentStatus
    amount_paid: Money
    due_time: datetime
    is_opening: bool
    issue_date: date
    create_time: datetime
    finalize_time: datetime | None
    offset: Money
    credits: tuple[AppliedCredit, ...] = ()
    is_with_payments: bool = False

    @property
    def amount_due(self) -> Money:
        """What is collected of it."""
        nothing = Money(0, self.bill.currency)
        if self.state is State.VOIDED:
            return nothing
        return self.bill.total - _sum((each.amount for each in self.credits), self.bill.currency) - self.offset

    @property
    def unpaid(self) -> Money:
        return self.amount_due - self.amount_paid

    @property
    def is_paid(self) -> bool:
        return self.payment_status is PaymentStatus.SUCCEEDED


@dataclass(frozen=True, slots=True)
class HandOver:
    """What payments is told of an invoice. Of two, that with the greater `version` counts."""

    tenant_id: str
    invoice_id: str
    number: str
    customer_id: str
    amount_due: Money
    version: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What an invoice for `period` settles: the base fee of some days, and usage. None is for what it leaves."""

    period: Period
    fee: Period | None
    usage: Period | None


def settled(due: Subscription) -> Settled:
    """By the next invoice: at the end of the current period, or if that `is_opening`, at its beginning."""
    period = due.current_period
    if due.is_opening:
        return Settled(period, due.opening_fee, None)
    fee = due.closing_fee
    return Settled(fee if fee and fee.start >= period.end else period, fee, period)


def bill(
    plan: PlanVersion,
    settles: Settled,
    schedule: Schedule,
    usage: Iterable[RatedUsage],
    watermark: int,
    taxes: Mapping[str, Tax],
) -> Bill:
    """What an invoice comes to. `usage` has the plan's charges in order; `taxes` has at least the plan's, by code.

    Usage that is nothing and costs nothing has no line. Raises FailedPrecondition AMOUNT_TOO_LARGE.
    """
    lines = [
        Line(
            each.code,
            each.name,
            settles.usage,
            each.amount,
            each.unrounded_amount,
            plan.tax_codes,
            rating=each.rating,
            watermark=watermark,
        )
        for each in usage
        if settles.usage is not None and (each.quantity or each.amount.minor_units)
    ]
    if plan.base_fee is not None and settles.fee is not None:
        part = Proration(plan.base_fee, *schedule.days_in(settles.fee))
        base = Line(BASE, "Base fee", settles.fee, part.amount, part.unrounded_amount, plan.tax_codes, proration=part)
        lines.insert(0, base)
    applied = tuple(taxed(taxes[code], lines, plan.currency) for code in plan.tax_codes) if lines else ()
    whole = Bill(plan.currency, tuple(lines), applied)
    if whole.total.minor_units > MAX_MINOR_UNITS:
        raise FailedPrecondition("AMOUNT_TOO_LARGE", "the invoice comes to more than an amount can state")
    return whole


def issue_date(due_time: datetime, tz: ZoneInfo) -> date:
    """The date on the invoice: the day it falls due to be made, however late it is made."""
    return local_date(due_time, tz)


def number(issued: date, sequence: int) -> str:
    """For example INV-202312-000042. `sequence` counts the tenant's invoices from 1 and does not restart."""
    return f"INV-{issued:%Y%m}-{sequence:06d}"


def taxed(tax: Tax | InvoiceTax, lines: Iterable[Line], currency: str) -> InvoiceTax:
    """What a tax comes to on the lines that it applies to, rounded once."""
    taxable = _sum((line.amount for line in lines if tax.code in line.tax_codes), currency)
    unrounded = EXACT.multiply(taxable.amount, EXACT.multiply(tax.rate_percent, _PERCENT))
    amount = Money.rounded(unrounded, currency)
    return InvoiceTax(tax.code, tax.name, tax.rate_percent, taxable, amount, unrounded)


def _sum(amounts: Iterable[Money], currency: str) -> Money:
    return sum(amounts, Money(0, currency))
