"""Pauses: phases under the same plan that charge no base fee."""

from dataclasses import replace
from datetime import datetime

from libs.common.errors import FailedPrecondition, InvalidArgument
from services.invoicing.domain.change import stays
from services.invoicing.domain.lifecycle import period_billed, require_open
from services.invoicing.domain.phase import Phase, UnusedFee
from services.invoicing.domain.subscription import Subscription


def paused(
    found: Subscription, at: datetime, resume_at: datetime | None, on_unused_fee: UnusedFee, now: datetime
) -> Subscription:
    """The subscription with a pause from `at`, until `resume_at` if that is known. What was scheduled makes way.

    Raises FailedPrecondition SUBSCRIPTION_CLOSED, PERIOD_BILLED, CHANGE_AFTER_END and SUBSCRIPTION_PAUSED, and
    InvalidArgument TIME_NOT_AFTER.
    """
    if found.phase_at(at).is_paused:
        raise FailedPrecondition("SUBSCRIPTION_PAUSED", f"subscription {found.id} is paused at {at}")
    made = _entering(found.deciding(on_unused_fee), at, now, is_paused=True)
    if resume_at is None:
        return made
    if resume_at <= at:
        raise InvalidArgument(
            "TIME_NOT_AFTER", f"resume_time is {resume_at.isoformat()}, not after the pause begins", field="resume_time"
        )
    resumed_at_once = _entering(made, resume_at, resume_at, is_paused=False)
    return replace(resumed_at_once, revision=made.revision)


def resumed(found: Subscription, at: datetime, now: datetime) -> Subscription:
    """The subscription that goes on at `at`, with the fee of the days from then on.

    Raises FailedPrecondition SUBSCRIPTION_CLOSED, PERIOD_BILLED, CHANGE_AFTER_END and SUBSCRIPTION_NOT_PAUSED.
    """
    if not found.phase_at(at).is_paused:
        raise FailedPrecondition(
            "SUBSCRIPTION_NOT_PAUSED", f"subscription {found.id} is not paused at {at.isoformat()}"
        )
    return _entering(found, at, now, is_paused=False)


def _entering(found: Subscription, at: datetime, now: datetime, *, is_paused: bool) -> Subscription:
    require_open(found)
    at = found.after_billed(at)
    if at < found.current_period.start:
        raise period_billed(found, "be paused or resumed")
    if found.end_time is not None and at >= found.end_time:
        raise FailedPrecondition(
            "CHANGE_AFTER_END", f"subscription {found.id} ends at {found.end_time.isoformat()}, before that"
        )
    kept = tuple(each for each in found.phases if stays(found, each, at, now))
    phase = _following(kept[-1] if kept else None, found, at, is_paused=is_paused)
    units = tuple(each for each in found.units if each.phase_number < phase.number)
    made = replace(found, phases=(*kept, phase), units=units, revision=found.revision + 1)
    return made.entering(phase) if at == found.current_period.start else made.recut()


def _following(before: Phase | None, found: Subscription, at: datetime, *, is_paused: bool) -> Phase:
    old = before or found.phases[0]
    return replace(
        old,
        number=old.number + 1 if before else 1,
        start_time=at,
        fee_start_time=max(at, old.fee_start_time),
        is_paused=is_paused,
    )
