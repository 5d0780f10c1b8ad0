"""What falls due of a subscription at once: some days' base fee, and the usage of a period."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from libs.common.errors import FailedPrecondition
from libs.common.money import Money
from services.invoicing.domain.bill import MAX_SUBTOTAL
from services.invoicing.domain.line import BASE, Line, LineKind, RatedUsage, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.schedule import Schedule
from services.invoicing.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Settled:
    """What an invoice for `period` settles: the base fee of some days, that of the contract's `fee_month`, and usage.
    None is for what it leaves.
    """

    period: Period
    fee: Period | None
    usage: Period | None
    fee_month: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an invoice bills a subscription for. No phase has two of one `due_time`, unless one `is_opening`: it charges
    the phase's first base fee in advance; or `is_addition`: it charges units of fixed charges in advance. `fee`
    is the time that a base fee is charged for, `usage` that whose usage is billed. One that `is_fixed` is refreshed on
    no draft: what comes late is on a later invoice.
    """

    source: Source
    period: Period
    due_time: datetime
    is_opening: bool
    fee: Period | None = None
    usage: Period | None = None
    is_addition: bool = False
    is_fixed: bool = False

    @property
    def settled(self) -> Settled:
        return Settled(self.period, self.fee, self.usage)


@dataclass(frozen=True, slots=True)
class SettledUsage:
    """Usage of a phase in a period that is billed up to `watermark`, if its invoice was refreshed as a draft, otherwise
    (0) as far as its subscription's is. While it is on a draft it may be refreshed again: `draft_id`.
    """

    source: Source
    period: Period
    watermark: int
    draft_id: str | None


class InvoiceKey(NamedTuple):
    """What portions on one invoice have in common; `alone_subscription_id` is "" unless it is for that one only."""

    customer_id: str
    currency: str
    due_time: datetime
    alone_subscription_id: str


@dataclass(frozen=True, slots=True)
class Portion:
    """A settlement with its lines, for an invoice of `customer_id`: with the others that are due at the same time, or
    if its subscription is `invoiced_alone`, one of its own; `skips_grace` if its payment is waited for.
    """

    customer_id: str
    invoiced_alone: bool
    settlement: Settlement
    currency: str
    lines: tuple[Line, ...]
    issue_date: date
    skips_grace: bool = False

    @property
    def subtotal(self) -> Money:
        return sum((line.amount for line in self.lines), Money(0, self.currency))

    @property
    def invoice_key(self) -> InvoiceKey:
        alone = self.settlement.source.subscription_id if self.invoiced_alone else ""
        return InvoiceKey(self.customer_id, self.currency, self.settlement.due_time, alone)


def by_invoice(portions: Iterable[Portion]) -> dict[InvoiceKey, list[Portion]]:
    """Which portions are on one invoice."""
    found: dict[InvoiceKey, list[Portion]] = {}
    for each in portions:
        found.setdefault(each.invoice_key, []).append(each)
    return found


def settled(due: Subscription) -> Settled:
    """By the next invoice: at the end of the current period, or if that `is_opening`, at its beginning. After its end,
    nothing but what comes late.
    """
    period = due.current_period
    if due.is_closed:
        return Settled(Period(due.billed_until, due.due_time), None, None)
    if due.is_addition:
        return Settled(Period(due.due_time, period.end), None, None)
    if due.is_opening:
        return _settled(due, period, due.opening_fee, None)
    if not due.makes_invoice:
        return Settled(period, None, None)
    fee = due.closing_fee
    return _settled(due, fee if fee and fee.start >= period.end else period, fee, period)


def _settled(due: Subscription, period: Period, fee: Period | None, usage: Period | None) -> Settled:
    return Settled(period, fee, usage, due.fee_month(due.phase, fee.start) if fee else 0)


def lines_of(
    source: Source, plan: PlanVersion, settles: Settled, schedule: Schedule, usage: Iterable[RatedUsage], watermark: int
) -> tuple[Line, ...]:
    """The base fee first, which has the `schedule`, then `usage`, which has the plan's charges in order. Usage that is
    nothing and costs nothing has no line. Raises FailedPrecondition AMOUNT_TOO_LARGE.
    """
    in_advance = {each.code for each in plan.advance_charges}
    lines = (
        *_base_fee(source, plan, settles, schedule),
        *(
            usage_line(source, plan, settles.usage, each, watermark)
            for each in usage
            if each.code not in in_advance
            if settles.usage is not None and (each.quantity or each.amount.minor_units)
        ),
    )
    require_statable(lines)
    return lines


def usage_line(source: Source, plan: PlanVersion, period: Period, rated: RatedUsage, watermark: int) -> Line:
    return Line(
        LineKind.USAGE,
        rated.code,
        rated.name,
        source,
        period,
        rated.amount,
        rated.unrounded_amount,
        plan.tax_codes_of(rated.code),
        rating=rated.rating,
        watermark=watermark,
        meter_code=rated.meter_code,
        is_tax_inclusive=plan.is_tax_inclusive,
    )


def require_statable(lines: Iterable[Line]) -> None:
    """Raises FailedPrecondition AMOUNT_TOO_LARGE."""
    if sum(line.amount.minor_units for line in lines) > MAX_SUBTOTAL:
        raise FailedPrecondition("AMOUNT_TOO_LARGE", "the invoice comes to more than an amount can state")


def _base_fee(source: Source, plan: PlanVersion, settles: Settled, schedule: Schedule) -> Iterator[Line]:
    base_fee = plan.in_month(settles.fee_month).base_fee
    if base_fee is not None and settles.fee is not None:
        part = Proration(base_fee, *schedule.days_in(settles.fee))
        yield Line(
            LineKind.BASE_FEE,
            BASE,
            "Base fee",
            source,
            settles.fee,
            part.amount,
            part.unrounded_amount,
            plan.tax_codes,
            proration=part,
            is_tax_inclusive=plan.is_tax_inclusive,
        )
