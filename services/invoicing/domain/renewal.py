"""Units of recurring meters that are charged in advance: those that are there when a period begins are renewed, and
charged for all of it; events charge what they add to these within the period (billing semantics 3).
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from services.invoicing.domain.period import Period
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.plan import Charge, PlanVersion
from services.invoicing.domain.question import UsageQuestion
from services.invoicing.domain.subscription import Subscription

_INSTANT = timedelta(microseconds=1)


def renewing(due: Subscription) -> Subscription | None:
    """As it is in the period that the next invoice renews units for: one that begins where the schedule has it. None
    where there is none; a change of plan within a period renews nothing, as units are paid up to its end.
    """
    if not due.is_closing or due.is_closed or not any(each.has_advance_usage for each in due.phases):
        return None
    after, period = due.billed(), due.current_period
    is_whole = due.schedule.period_of(period.start).end == period.end
    return after if is_whole and not after.is_closed else None


def renewal_question(
    of: Subscription, phase: Phase, plan: PlanVersion, codes: Collection[str], period: Period
) -> UsageQuestion:
    """How many units of the charges with these `codes` there are where `period` begins."""
    schedule = of.schedule_of(phase)
    before = Period(max(schedule.period_of(period.start - _INSTANT).start, of.start_time), period.start)
    month = plan.in_month(of.contract_month(phase, period.start))
    charges = tuple(_all_there(each) for each in month.charges if each.code in codes)
    return UsageQuestion(of.id, replace(month, charges=charges), before, before, None, of.start_time, of.time_zone)


def _all_there(charge: Charge) -> Charge:
    return replace(charge, in_advance=False, split=replace(charge.split, prorated=False))
