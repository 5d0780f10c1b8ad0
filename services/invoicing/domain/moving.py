"""A customer's subscriptions in another time zone: what is billed keeps its days, and what is not follows the new zone.

Periods go on tiling time: the one under way ends where the new zone's clocks end it, or where it was to end, if
anything of it may be billed already; the next one begins there.
"""

from dataclasses import replace
from datetime import datetime

from services.invoicing.domain.period import LATEST, day_of, day_start
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.schedule import Schedule
from services.invoicing.domain.subscription import Subscription


def moved(of: Subscription, time_zone: str, now: datetime) -> Subscription:
    """In another `time_zone`. Changes and ends that are to come at the end of a period stay there."""
    if of.start_time > now:
        there = replace(of, time_zone=time_zone, revision=of.revision + 1)
        return _following(of, there, of.start_time)
    until = _billed_until(of)
    past = of.past_zones
    if not past or past[-1][1] < until:
        past = (*past, (of.time_zone, until))
    there = replace(of, time_zone=time_zone, past_zones=past, revision=of.revision + 1)
    return there if of.is_closed else _following(of, there, until)


def _billed_until(of: Subscription) -> datetime:
    """From here on, days may change: nothing that they matter to is billed after it."""
    if of.is_closed:
        return LATEST
    phase, current = of.phase, of.current_period
    begins_billed = phase.in_advance or phase.has_advance_units or phase.has_advance_usage or phase.has_thresholds
    return max(current.end if begins_billed else current.start, of.fee_paid_until or current.start)


def _following(before: Subscription, there: Subscription, until: datetime) -> Subscription:
    old, new = before.schedule, there.schedule

    def at(instant: datetime) -> datetime:
        return _boundary(instant, old, new) if instant > until else instant

    phases = tuple(_begun_at(each, at(each.start_time)) for each in there.phases)
    units = tuple(replace(each, effective_time=at(each.effective_time)) for each in there.units)
    end_time = at(there.end_time) if there.end_time else None
    there = replace(there, phases=phases, units=units, end_time=end_time)
    return there if until >= before.current_period.end else there.recut()


def _begun_at(phase: Phase, start_time: datetime) -> Phase:
    """What begins with the phase goes with it: its anniversary, and its base fee."""
    begun = phase.start_time
    return replace(
        phase,
        start_time=start_time,
        anchor_time=start_time if phase.anchor_time == begun else phase.anchor_time,
        fee_start_time=start_time if phase.fee_start_time == begun else phase.fee_start_time,
    )


def _boundary(instant: datetime, old: Schedule, new: Schedule) -> datetime:
    """Where the new schedule has the boundary that the old one has at `instant`, if it has one there."""
    is_one = old.period_of(instant).start == instant
    return day_start(day_of(instant, old.tz), new.tz) if is_one else instant
