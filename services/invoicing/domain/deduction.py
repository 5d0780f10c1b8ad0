"""Units of an add-on that were paid in advance by the day: what is left of them where a phase ends is deducted from
what the next one charges for the same add-on (billing semantics 3.1).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from libs.common.money import EXACT, Money
from services.invoicing.domain.line import Line, LineKind, LineReference
from services.invoicing.domain.period import Period
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.plan import FixedCharge, PlanVersion
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class PaidUnits:
    """A line that charged units of a fixed charge for `period`; `left` is what no note has given back of it, nor
    another deduction taken.
    """

    line: LineReference
    code: str
    period: Period
    left: Money


def phases_deducted(due: Subscription) -> list[Phase]:
    """The phases whose paid units are deducted by the next invoice: where a phase begins, those before it under one
    other plan version, but for pauses. Where the same version goes on after a pause, there are none.
    """
    if not due.is_addition or due.due_time != due.phase.start_time:
        return []
    earlier = [each for each in reversed(due.phases) if each.number < due.phase_number and not each.is_paused]
    if not earlier or _version(earlier[0]) == _version(due.phase):
        return []
    return list(takewhile(lambda each: _version(each) == _version(earlier[0]), earlier))


def deductions(
    due: Subscription,
    before: Phase,
    was: PlanVersion,
    plan: PlanVersion,
    paid: Sequence[PaidUnits],
    lines: Iterable[Line],
) -> list[Line]:
    """From `lines`, which charge the fixed charges of `plan` from the next invoice's due time on: what is left of the
    days that were `paid` for the same add-on in the phase `before`, on the plan version that it `was`. No more is
    deducted than is charged.
    """
    found: list[Line] = []
    charged = {each.code: each for each in plan.fixed_charges if _is_by_day(each)}
    add_ons = {each.code: each.add_on_code for each in was.fixed_charges if _is_by_day(each)}
    schedule = due.schedule_of(before)
    for line in lines:
        if line.kind is not LineKind.FIXED_CHARGE or (charge := charged.get(line.code)) is None:
            continue
        for each in paid:
            start = max(each.period.start, due.due_time)
            if add_ons.get(each.code) != charge.add_on_code or start >= each.period.end:
                continue
            days, _ = schedule.days_in(Period(start, each.period.end))
            part = Proration(each.left, days, schedule.days_in(each.period)[0])
            made = _deduction(line, each.line, part)
            amount = limited(made, line.amount, found)
            if amount.minor_units:
                found.append(replace(made, amount=amount, unrounded_amount=EXACT.plus(amount.amount)))
    return found


def limited(line: Line, charged: Money, earlier: Iterable[Line]) -> Money:
    """What a deduction comes to: its part of what was paid, less what `earlier` deductions have taken of that, and no
    more than they leave of what is `charged` now.
    """
    assert line.proration is not None, "a deduction is a part of a line"
    part, left = line.proration.amount.minor_units, charged.minor_units
    for each in earlier:
        part += each.amount.minor_units if each.deducts == line.deducts else 0
        left += each.amount.minor_units if deducts_from(each, line) else 0
    return Money(-max(min(part, left), 0), charged.currency)


def deducts_from(deduction: Line, line: Line) -> bool:
    """Whether both are of one fixed charge and stretch of time."""
    return (deduction.source, deduction.code, deduction.period) == (line.source, line.code, line.period)


def _deduction(line: Line, of: LineReference, part: Proration) -> Line:
    return replace(
        line,
        kind=LineKind.DEDUCTION,
        description=f"{line.description}, paid before",
        rating=None,
        proration=part,
        deducts=of,
    )


def _is_by_day(charge: FixedCharge) -> bool:
    return charge.in_advance and charge.prorated


def _version(phase: Phase) -> tuple[str, int]:
    return phase.plan_code, phase.plan_version
