"""Fixed charges: units of an add-on that every period has, and how many a subscription has of them when."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from libs.common.errors import NotFound
from services.invoicing.domain.period import Period, day_from, day_of
from services.invoicing.domain.phase import Phase, UnitChange
from services.invoicing.domain.plan import FixedCharge, PlanVersion
from services.invoicing.domain.subscription import Subscription

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Held:
    """Units, for some days."""

    units: Decimal
    days: int


@dataclass(frozen=True, slots=True)
class FixedUnits:
    """What a line for `period` prices: the units that were `held` in it, out of a whole period of `period_days`. Of
    units that are added in advance, only what lies above the `billed_units`; None if the period was not billed before.
    """

    charge: FixedCharge
    period: Period
    held: tuple[Held, ...]
    period_days: int
    billed_units: Decimal | None


def settled_units(due: Subscription, plan: PlanVersion) -> list[FixedUnits]:
    """What the next invoice of a subscription bills: in arrears, the period that ends; in advance, the next one; of an
    addition, what is new from then on.
    """
    if due.phase.is_paused or not due.makes_invoice or (due.is_opening and not due.is_addition):
        return []
    if due.is_addition:
        rest = _owned(due, Period(due.due_time, due.current_period.end))
        return [_units(due, due.phase, each, rest) for each in plan.fixed_charges if rest and _is_added(due, each)]
    found = []
    after = due.billed()
    renewed = after.phase_number == due.phase_number and not after.is_closed
    ended, following = _owned(due, due.current_period), _owned(after, after.current_period)
    for each in plan.fixed_charges:
        period = following if each.in_advance and renewed else None if each.in_advance else ended
        if period and (not each.in_advance or each.prorated or _begins_whole(due, period)):
            found.append(_units(due, due.phase, each, period))
    return found


def units_again(of: Subscription, phase: Phase, charge: FixedCharge, period: Period) -> FixedUnits:
    """What a line for `period` priced."""
    return _units(of, phase, charge, period)


def units_held(of: Subscription, phase: Phase, charge: FixedCharge, at: datetime) -> Decimal:
    """How many units a subscription has at an instant of the phase."""
    changes = sorted(
        (each for each in of.units if _is_of(each, of, phase, charge)), key=lambda each: each.effective_time
    )
    return _units_at(charge, changes, at)


def unit_change(
    found: Subscription, charge: FixedCharge, units: Decimal, now: datetime, *, next_period: bool
) -> tuple[Subscription, UnitChange]:
    """The subscription with other units, now or from the next period on, in the phase that is in effect then. What was
    still to come of this fixed charge makes way.

    What has begun is billed with the units that it began with: a change at that very instant is one just after it.
    """
    phase = found.phase_at(now)
    begun = max(phase.start_time, found.schedule_of(phase).period_of(max(now, phase.start_time)).start)
    kept = [each for each in found.units if not (_is_of(each, found, phase, charge) and each.effective_time > now)]
    if next_period:
        at = found.schedule_of(phase).period_of(begun).end
    elif now < begun:
        at = begun
    else:
        reached = [each.effective_time for each in kept if _is_of(each, found, phase, charge)]
        at = max((now, *(each + _INSTANT for each in (begun, *reached))))
    change = UnitChange(phase.number, charge.code, at, units, charge.in_advance)
    kept = [each for each in kept if not (_is_of(each, found, phase, charge) and each.effective_time == at)]
    return found.with_units((*kept, change), now), change


def find_charge(plan: PlanVersion, code: str) -> FixedCharge:
    """Raises NotFound FIXED_CHARGE_NOT_FOUND."""
    found = next((each for each in plan.fixed_charges if each.code == code), None)
    if found is None:
        raise NotFound(
            "FIXED_CHARGE_NOT_FOUND",
            f"version {plan.version} of plan {plan.plan_code} has no fixed charge {code}",
            code=code,
        )
    return found


def _units(of: Subscription, phase: Phase, charge: FixedCharge, period: Period) -> FixedUnits:
    periods = of.schedule_of(phase)
    days, period_days = periods.days_in(period)
    mine = (each for each in of.units if _is_of(each, of, phase, charge))
    changes = sorted(mine, key=lambda each: each.effective_time)
    if not charge.in_advance:
        return FixedUnits(charge, period, tuple(_stretches(charge, changes, period, of)), period_days, None)
    billed = (_units_at(charge, changes, at) for at in _billed_at(of, phase, changes, period.start))
    held = Held(_units_at(charge, changes, period.start), days)
    return FixedUnits(charge, period, (held,), period_days, max(billed, default=None))


def _billed_at(of: Subscription, phase: Phase, changes: Iterable[UnitChange], until: datetime) -> Iterator[datetime]:
    """When units in advance were billed for the period that `until` is in: where it or a phase under this plan version
    began, and where units changed; not in a pause.
    """
    begun = of.schedule_of(phase).period_of(until).start
    times = [each.effective_time for each in changes]
    phases = [each for each in of.phases if each.number <= phase.number and _goes_on(of, each.number, phase)]
    ends = [*(each.start_time for each in phases[1:]), until]
    for each, end in zip(phases, ends, strict=True):
        if not each.is_paused:
            start, end = max(each.start_time, begun), min(end, until)
            yield from (at for at in (start, *times) if start <= at < end)


def _stretches(charge: FixedCharge, changes: Sequence[UnitChange], period: Period, of: Subscription) -> Iterator[Held]:
    """The day of a change is that of the new units; the last day counts in full."""
    tz = of.calendar
    starts = [
        period.start,
        *(each.effective_time for each in changes if period.start < each.effective_time < period.end),
    ]
    days = [*(day_of(each, tz) for each in starts), day_from(period.end, tz)]
    for start, first, last in zip(starts, days, days[1:], strict=False):
        yield Held(_units_at(charge, changes, start), (last - first).days)


def _units_at(charge: FixedCharge, changes: Sequence[UnitChange], instant: datetime) -> Decimal:
    """`changes` are in the order of time."""
    return next((each.units for each in reversed(changes) if each.effective_time <= instant), charge.units)


def _is_added(due: Subscription, charge: FixedCharge) -> bool:
    """Whether an addition is one of this charge: all are where the phase begins, then those whose units change."""
    at = due.due_time
    if not charge.in_advance:
        return False
    return at == due.phase.start_time or any(
        _is_of(each, due, due.phase, charge) and each.effective_time == at for each in due.units
    )


def _begins_whole(due: Subscription, period: Period) -> bool:
    """Whether a period begins where the schedule has it: one that goes on where another was cut is billed already."""
    return due.schedule.period_of(period.start).start == period.start


def _owned(of: Subscription, period: Period) -> Period | None:
    return of.owned_days(period)


def _is_of(change: UnitChange, of: Subscription, phase: Phase, charge: FixedCharge) -> bool:
    """Whether units were changed in the phase, or in those before it under the same version: a pause keeps them."""
    return (
        change.code == charge.code and change.phase_number <= phase.number and _goes_on(of, change.phase_number, phase)
    )


def _goes_on(of: Subscription, number: int, phase: Phase) -> bool:
    """Whether all from the phase `number` on to `phase` are under one plan version."""
    between = (each for each in of.phases if number <= each.number < phase.number)
    version = phase.plan_code, phase.plan_version
    return all((each.plan_code, each.plan_version) == version for each in between)
