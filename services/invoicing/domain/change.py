"""Changes of plan: where a phase ends and the next one begins, and what that one charges first."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from libs.common.errors import FailedPrecondition
from services.invoicing.domain.lifecycle import period_billed, require_open
from services.invoicing.domain.phase import Phase, UnusedFee
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.schedule import BillingInterval, BillingTime
from services.invoicing.domain.subscription import Subscription

_PER_YEAR = {
    BillingInterval.WEEKLY: 52,
    BillingInterval.MONTHLY: 12,
    BillingInterval.QUARTERLY: 4,
    BillingInterval.SEMIANNUAL: 2,
    BillingInterval.YEARLY: 1,
}


class Effective(StrEnum):
    NOW = "now"
    PERIOD_END = "period_end"


class FirstFee(StrEnum):
    """What the new phase charges for the running period."""

    PRORATE = "prorate"
    """The days that are left."""
    NONE = "none"
    """Nothing until the old phase's running period would have ended."""
    FULL_NEW_ANCHOR = "full_new_anchor"
    """A whole period, that begins at the change, as do all later ones."""


@dataclass(frozen=True, slots=True)
class PlanChange:
    """To `plan`. Without `effective`, now if it costs as much or more a year, otherwise at the end of the period."""

    plan: PlanVersion
    effective: Effective | datetime | None
    first_fee: FirstFee
    on_unused_fee: UnusedFee = UnusedFee.CREDIT


def yearly_minor_units(plan: PlanVersion) -> int:
    """What the base fee comes to in a year of 52 weeks or 12 months."""
    fee = plan.base_fee.minor_units if plan.base_fee else 0
    return fee * _PER_YEAR[plan.fee_interval or plan.billing_interval]


def change_time(found: Subscription, change: PlanChange, present: PlanVersion, now: datetime) -> datetime:
    """When the change takes effect; `present` is the plan version in effect now."""
    if isinstance(change.effective, datetime):
        return change.effective
    is_upgrade = yearly_minor_units(change.plan) >= yearly_minor_units(present)
    reached = max(now, found.start_time)
    if change.effective is Effective.NOW or (change.effective is None and is_upgrade):
        return reached
    return found.fee_schedule_of(found.phase_at(now)).period_of(reached).end


def changed(
    found: Subscription, change: PlanChange, present: PlanVersion, now: datetime
) -> tuple[Subscription, datetime]:
    """The subscription with the change, and when that is. A change that was scheduled before makes way for it.

    Raises FailedPrecondition SUBSCRIPTION_CLOSED, PERIOD_BILLED, CHANGE_AFTER_END, PLAN_CURRENCY_DIFFERS
    and PLAN_UNCHANGED.
    """
    at = found.after_billed(change_time(found, change, present, now))
    _require_possible(found, change, present, at)
    found = found.deciding(change.on_unused_fee)
    kept = tuple(each for each in found.phases if stays(found, each, at, now))
    phase = _begun(found, kept[-1] if kept else None, change, at)
    units = tuple(each for each in found.units if each.phase_number < phase.number)
    made = replace(found, phases=(*kept, phase), units=units, revision=found.revision + 1)
    return (made.entering(phase) if at == found.current_period.start else made.recut()), at


def cancelled(found: Subscription, now: datetime) -> Subscription:
    """The subscription without what is scheduled.

    Raises FailedPrecondition SUBSCRIPTION_CLOSED, SUBSCRIPTION_INCOMPLETE and CHANGE_NOT_SCHEDULED.
    """
    require_open(found)
    kept = tuple(each for each in found.phases if each.number <= found.phase_number or each.start_time <= now)
    if kept == found.phases:
        raise FailedPrecondition("CHANGE_NOT_SCHEDULED", f"subscription {found.id} has no change that is still to come")
    return replace(found, phases=kept, revision=found.revision + 1).recut()


def _require_possible(found: Subscription, change: PlanChange, present: PlanVersion, at: datetime) -> None:
    require_open(found)
    if at < found.current_period.start:
        raise period_billed(found, "change")
    if found.end_time is not None and at >= found.end_time:
        raise FailedPrecondition(
            "CHANGE_AFTER_END", f"subscription {found.id} ends at {found.end_time.isoformat()}, before it would change"
        )
    if change.plan.currency != present.currency:
        raise FailedPrecondition(
            "PLAN_CURRENCY_DIFFERS",
            f"plan {change.plan.plan_code} is in {change.plan.currency}, subscription {found.id} in {present.currency}",
        )


def stays(found: Subscription, phase: Phase, at: datetime, now: datetime) -> bool:
    """Whether a phase is one of those before the change: billed already in part, or in effect."""
    if phase.number < found.phase_number:
        return True
    if phase.number == found.phase_number:
        return phase.start_time < at or found.fee_paid_until is not None
    return phase.start_time < at and phase.start_time <= now


def _begun(found: Subscription, before: Phase | None, change: PlanChange, at: datetime) -> Phase:
    """The phase that follows `before`, or is the first one."""
    old = before or found.phases[0]
    if (old.plan_code, old.plan_version) == (change.plan.plan_code, change.plan.version):
        raise FailedPrecondition(
            "PLAN_UNCHANGED",
            f"subscription {found.id} has version {old.plan_version} of plan {old.plan_code} then in any case",
        )
    anchored = change.first_fee is FirstFee.FULL_NEW_ANCHOR
    running = found.fee_schedule_of(old).period_of(at)
    waits = change.first_fee is FirstFee.NONE and running.start < at
    return Phase(
        number=old.number + 1 if before else 1,
        start_time=at,
        plan_code=change.plan.plan_code,
        plan_version=change.plan.version,
        billing_interval=change.plan.billing_interval,
        fee_interval=change.plan.fee_interval,
        billing_time=BillingTime.ANNIVERSARY if anchored else old.billing_time,
        anchor_time=at if anchored else old.anchor_time,
        fee_start_time=max(running.end if waits else at, found.start_time + change.plan.trial),
        in_advance=change.plan.has_advance_fee,
        is_paused=old.is_paused,
        has_advance_units=change.plan.has_advance_units,
        has_advance_usage=bool(change.plan.advance_charges),
        carried=change.plan.carried,
        has_thresholds=change.plan.has_thresholds,
    )
