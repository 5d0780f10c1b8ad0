"""What is missing to a plan's minimum commitment once a period is over (billing semantics 4).

The commitment of a period, for its days, is compared to the fees for it before coupons and taxes: the base fee of its
days, which in advance an earlier invoice charged, and what this one bills of it. A trial waives the base fee, not the
commitment; but in advance, the commitment begins with the period that the base fee begins in.
"""

from collections.abc import Iterable
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
_COUNTED_APART = {LineKind.BASE_FEE, LineKind.LATE_USAGE, LineKind.COMMITMENT, LineKind.PROGRESSIVE_CREDIT}


def commitment_line(
    of: Subscription, phase: Phase, period: Period, plan: PlanVersion, source: Source, fees: Iterable[Line]
) -> Line | None:
    """Of a period of `phase`, whose invoice at its end has `fees`. None if nothing is missing."""
    committed = plan.commitment
    if committed is None or (phase.in_advance and of.fee_days(phase, period) is None):
        return None
    days, period_days = of.days_in(phase, period)
    if not days:
        return None
    part = Proration(committed.amount, days, period_days)
    missing = missing_to(part, base_fee(of, phase, plan, period), reconciled(fees, source, period))
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
    )


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
        and line.kind not in _COUNTED_APART
        and period.start <= line.period.start
        and line.period.end <= period.end
    ]


def missing_to(part: Proration, fee: Money, lines: Iterable[Line]) -> Decimal:
    """In major units, not below 0."""
    spent = sum((line.amount for line in lines), fee)
    return max(EXACT.subtract(part.unrounded_amount, spent.amount), Decimal(0))
