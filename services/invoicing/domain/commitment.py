"""What is missing to a plan's minimum commitment once a period is over (billing semantics 4).

The commitment of a period, for its days, is compared to the fees for it before coupons and taxes: the base fee of its
days, units and events, which in advance earlier invoices charged, and what this one bills of it. A trial waives the
base fee, not the commitment; but in advance, the commitment begins with the period that the base fee begins in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from libs.common.money import EXACT, Money
from services.invoicing.domain.line import Line, LineKind, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.subscription import Subscription

CODE = "minimum_commitment"
NAME = "Minimum commitment"
_NOT_COUNTED = {
    LineKind.BASE_FEE,
    LineKind.LATE_USAGE,
    LineKind.COMMITMENT,
    LineKind.PROGRESSIVE_CREDIT,
    LineKind.ADVANCE_USAGE,
    LineKind.DEDUCTION,
    LineKind.RENEWAL,
}
"""Counted otherwise, or of what is counted."""


@dataclass(frozen=True, slots=True)
class FixedFee:
    """What was billed for a fixed charge, in arrears or in advance, or for units that were renewed."""

    code: str
    period: Period
    amount: Money


def commitment_line(
    of: Subscription,
    phase: Phase,
    period: Period,
    plan: PlanVersion,
    source: Source,
    fees: Iterable[Line],
    apart: Money,
) -> Line | None:
    """Of a period of `phase`, whose invoice at its end has `fees`; other invoices bill what is counted `apart`. None if
    nothing is missing.
    """
    committed, part = plan.commitment, commitment_of(of, phase, plan, period)
    if committed is None or part is None:
        return None
    missing = missing_to(part, base_fee(of, phase, plan, period) + apart, reconciled(fees, source, period))
    amount = Money.rounded(missing, plan.currency)
    if not amount.minor_units:
        return None
    return Line(
        LineKind.COMMITMENT,
        CODE,
        committed.name or NAME,
        source,
        period,
        amount,
        missing,
        committed.tax_codes or plan.tax_codes,
        proration=part,
        is_tax_inclusive=plan.is_tax_inclusive,
        counted_apart=apart if apart.minor_units else None,
    )


def commitment_of(of: Subscription, phase: Phase, plan: PlanVersion, period: Period) -> Proration | None:
    """For the days of a period; None where there is none."""
    if plan.commitment is None or (phase.in_advance and of.fee_days(phase, period) is None):
        return None
    days, period_days = of.days_in(phase, period)
    return Proration(plan.commitment.amount, days, period_days) if days else None


def fees_of_days(of: Subscription, phase: Phase, plan: PlanVersion, period: Period, fees: Iterable[FixedFee]) -> Money:
    """What of `fees` is for the days of a period: of units paid by the day beyond its end, the days before that."""
    total, owned, schedule = Money(0, plan.currency), of.owned_days(period), of.schedule_of(phase)
    prorated = {each.code for each in plan.fixed_charges if each.prorated}
    for each in fees:
        if each.code not in prorated or each.period.end <= period.end:
            total += each.amount
        elif owned is not None and each.period.start < owned.end:
            days, _ = schedule.days_in(Period(each.period.start, owned.end))
            total += Proration(each.amount, days, schedule.days_in(each.period)[0]).amount
    return total


def base_fee(of: Subscription, phase: Phase, plan: PlanVersion, period: Period) -> Money:
    """For the days of a period, whichever invoice charges it."""
    days, fee = of.fee_days(phase, period), plan.in_month(of.contract_month(phase, period.start)).base_fee
    if days is None or fee is None:
        return Money(0, plan.currency)
    return Proration(fee, *of.schedule_of(phase).days_in(days)).amount


def reconciled(lines: Iterable[Line], source: Source, period: Period) -> list[Line]:
    """Those of the lines, besides the base fee, that are for the period."""
    return [
        line
        for line in lines
        if line.source == source
        and line.kind not in _NOT_COUNTED
        and period.start <= line.period.start
        and line.period.end <= period.end
    ]


def missing_to(part: Proration, fee: Money, lines: Iterable[Line]) -> Decimal:
    """In major units, not below 0."""
    spent = sum((line.amount for line in lines), fee)
    return max(EXACT.subtract(part.unrounded_amount, spent.amount), Decimal(0))
