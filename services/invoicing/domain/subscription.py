"""A customer's agreement: phases, each on a plan version, and the stretch of time that is billed next.

Periods tile the time from `start_time` to `end_time`: where a phase ends or the subscription does, the period is cut.
The days of base fees tile the calendar: the day of a change is the new phase's, the last day of all the last phase's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.invoicing.domain.activation import Activation, ActivationState
from services.invoicing.domain.period import INSTANT, LATEST, Calendar, Moves, Period, day_from, day_of, day_start, zone
from services.invoicing.domain.phase import Phase, UnitChange, UnusedFee
from services.invoicing.domain.schedule import BillingTime, Schedule, months_between, schedule

LATE_CHECK_INTERVAL = timedelta(days=30)
LATE_CHECKS = 3
"""Usage that comes late is looked for so long after a subscription's end, and so many times."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Billed a `current_period` of the phase `phase_number` at a time, when that has ended; `phases` are by number.

    `is_opening` says that the current period's base fee has an invoice of its own, when it begins, and has not had it;
    `fee_paid_until` is how far the phase's base fee in advance has been charged, None if none has. It ends at
    `end_time`; `is_closed` says that everything up to there is billed. `revision` counts changes by request, `failures`
    tries in a row. If it is `invoiced_alone`, what is due of it has an invoice of its own, otherwise one with what is
    due then of the customer's other subscriptions. What metering recorded up to `billed_watermark` for the time before
    the current period is billed. Once it is closed, usage that comes late is looked for at the `late_check_time`.
    Without a last invoice (`has_last_invoice`), what is not billed at its end never is. With an `activation` it is
    active once its opening invoice is paid, and until then nothing else is billed.
    `units` are those of fixed charges that were changed; at the `addition_time`, units in advance are to be billed for
    the rest of the current period: all where the phase begins, and then those that change.
    Its days are those of `past_zones` until the instants of moves, and of `time_zone` since then.
    """

    id: str
    customer_id: str
    time_zone: str
    billing_time: BillingTime
    start_time: datetime
    phases: tuple[Phase, ...]
    phase_number: int
    current_period: Period
    is_opening: bool
    create_time: datetime
    fee_paid_until: datetime | None = None
    end_time: datetime | None = None
    is_closed: bool = False
    revision: int = 0
    failures: int = 0
    invoiced_alone: bool = False
    billed_watermark: int = 0
    late_check_time: datetime | None = None
    has_last_invoice: bool = True
    activation: Activation | None = None
    units: tuple[UnitChange, ...] = ()
    addition_time: datetime | None = None
    past_zones: tuple[tuple[str, datetime], ...] = ()

    @property
    def phase(self) -> Phase:
        """The one that is billed next."""
        return self.numbered(self.phase_number)

    @property
    def schedule(self) -> Schedule:
        return self.schedule_of(self.phase)

    @property
    def due_time(self) -> datetime:
        """When the next invoice is made; of one that is closed and is not looked at any more, never."""
        if self.is_closed:
            return self.late_check_time or LATEST
        settled = self.opening_time or self.current_period.end
        return settled if self.addition_time is None else min(self.addition_time, settled)

    @property
    def opening_time(self) -> datetime | None:
        """When the base fee of the current period has an invoice of its own, if it has one."""
        return max(self.current_period.start, self.phase.fee_start_time) if self.is_opening else None

    @property
    def is_addition(self) -> bool:
        """Whether the next invoice bills units of fixed charges in advance, and nothing else."""
        return not self.is_closed and self.addition_time == self.due_time

    @property
    def is_closing(self) -> bool:
        """Whether the next invoice settles the current period, or what comes late."""
        return not self.is_addition and not self.is_opening

    @property
    def calendar(self) -> Calendar:
        if not self.past_zones:
            return zone(self.time_zone)
        return Moves(tuple((zone(name), until) for name, until in self.past_zones), zone(self.time_zone))

    @property
    def makes_invoice(self) -> bool:
        """Whether its next bill is an invoice even without a line."""
        is_last = self.current_period.end == self.end_time and self.is_closing
        return not self.is_closed and (self.has_last_invoice or not is_last)

    @property
    def is_incomplete(self) -> bool:
        return self.activation is not None and self.activation.state is ActivationState.INCOMPLETE

    @property
    def billed_until(self) -> datetime:
        """Usage before is billed, but for what comes late."""
        begun = self.current_period.start
        return begun if not self.is_closed or self.end_time == begun else self.current_period.end

    def numbered(self, number: int) -> Phase:
        return next(phase for phase in self.phases if phase.number == number)

    def phase_at(self, instant: datetime) -> Phase:
        """In effect then; before the start, the first one."""
        return next((phase for phase in reversed(self.phases) if phase.start_time <= instant), self.phases[0])

    def schedule_of(self, phase: Phase) -> Schedule:
        return schedule(phase.billing_interval, phase.billing_time, phase.anchor_time, self.calendar)

    def fee_schedule_of(self, phase: Phase) -> Schedule:
        """That of its base fee. Whole periods of `schedule_of` make one of these."""
        return schedule(
            phase.fee_interval or phase.billing_interval, phase.billing_time, phase.anchor_time, self.calendar
        )

    def contract_month(self, phase: Phase, instant: datetime) -> int:
        """That in which the whole period of `phase` begins that `instant` is in, counted from 0."""
        return self._month_of(self.schedule_of(phase), instant)

    def fee_month(self, phase: Phase, instant: datetime) -> int:
        """Likewise, of the base fee for that instant."""
        return self._month_of(self.fee_schedule_of(phase), instant)

    def _month_of(self, periods: Schedule, instant: datetime) -> int:
        begun = max(periods.period_of(instant).start, self.start_time)
        return months_between(self.start_time, begun, self.calendar)

    def left_to_next(self, phase: Phase, period: Period) -> frozenset[str]:
        """The charges that `period` leaves to the phase that cuts it, which goes on with their meters."""
        following = self._following(phase)
        cut = following is not None and following.start_time == period.end
        if following is None or not cut or self.schedule_of(phase).period_of(period.start).end == period.end:
            return frozenset()
        meters = {meter for _, meter in following.carried}
        return frozenset(code for code, meter in phase.carried if meter in meters)

    def owned_days(self, period: Period) -> Period | None:
        """What of `period` its days are counted in. The day that it is cut on belongs to what follows, unless nothing
        does: then it counts in full, but for an instant that bills a fee (`after_billed`). None where no day is left.
        """
        end, last = self._day_start(period.end), self.phases[-1]
        is_instant = last.fee_interval is not None and not last.in_advance and period.end == end + INSTANT
        if period.end == self.end_time and not is_instant:
            return period
        return Period(period.start, end) if period.start < end else None

    def days_in(self, phase: Phase, period: Period) -> tuple[int, int]:
        """(days of a period of `phase`, days of the whole period that it begins in)."""
        periods = self.schedule_of(phase)
        owned = self.owned_days(period)
        days = periods.days_in(owned)[0] if owned and not phase.is_paused else 0
        return days, periods.days_in(period)[1]

    @property
    def closing_fee(self) -> Period | None:
        """What the invoice at the end of the current period charges the base fee for: in advance, the next one, and of
        a phase's last period what is not paid yet.
        """
        after = self.billed()
        if not self.phase.in_advance or after.is_closed or after.phase_number != self.phase_number:
            return self._unpaid_fee if self._fee_period.end <= self.current_period.end else None
        return None if after.is_opening else replace(after, fee_paid_until=self.fee_paid_until).opening_fee

    @property
    def opening_fee(self) -> Period | None:
        """What a base fee in advance is charged for when the current period begins: all that is not paid yet, where
        that begins in it.
        """
        fee, days = self._unpaid_fee, self.owned_days(self.current_period)
        return fee if fee and days and fee.start < days.end else None

    @property
    def owes_fee(self) -> bool:
        """Whether days before the current period have a base fee in arrears, which is billed later."""
        fee = self._unpaid_fee
        return not self.phase.in_advance and fee is not None and fee.start < self.current_period.start

    def after_billed(self, instant: datetime) -> datetime:
        """When what is to happen at `instant` does: where all but a base fee is billed up to there, an instant later,
        in a period that bills this fee.
        """
        return instant + INSTANT if instant == self.current_period.start and self.owes_fee else instant

    def billed(self) -> "Subscription":
        """As it is once its next invoice is made."""
        if self.is_closed:
            return self._looked_at()
        if self.is_addition:
            return self._adding(after=self.due_time)
        if self.is_opening:
            fee = self.opening_fee
            return replace(self, is_opening=False, fee_paid_until=self._paid_by(fee) if fee else None)
        end = self.current_period.end
        if end == self.end_time:
            return self.closed()
        following = self._following(self.phase)
        if following is not None and following.start_time == end:
            return self.entering(following)
        after = replace(self, current_period=self._cut(self.schedule.following(self.current_period)))
        after = after._adding(after=end)
        if not self.phase.in_advance or (fee := after.opening_fee) is None:
            return after
        if after.current_period.start < self._day_start(self.phase.fee_start_time):
            return replace(after, is_opening=True)
        return replace(after, fee_paid_until=self._paid_by(fee))

    def closed(self) -> "Subscription":
        """Once it is billed to its end, in the current period or before it."""
        assert self.end_time is not None, "only what has an end is closed"
        return replace(self, is_closed=True, late_check_time=self.end_time + LATE_CHECK_INTERVAL)

    def _looked_at(self) -> "Subscription":
        assert self.end_time is not None, "only what has an end is closed"
        assert self.late_check_time is not None, "it was due"
        again = self.late_check_time + LATE_CHECK_INTERVAL
        is_last = again > self.end_time + LATE_CHECKS * LATE_CHECK_INTERVAL
        return replace(self, late_check_time=None if is_last else again)

    def deciding(self, on_unused_fee: UnusedFee) -> "Subscription":
        """With what becomes of unused days of the fee of each phase that has not ended."""
        return replace(
            self,
            phases=tuple(
                replace(each, on_unused_fee=on_unused_fee) if each.number >= self.phase_number else each
                for each in self.phases
            ),
        )

    def ending_of(self, phase: Phase) -> UnusedFee:
        """What becomes of unused days of the fee of a phase, also of one that another has taken the place of."""
        return next((each for each in self.phases if each.number == phase.number), phase).on_unused_fee

    def due_at(self, instant: datetime) -> "Iterator[Subscription]":
        """As it stands at each of the steps that are due at `instant`, of which it is the first."""
        step = self
        while not step.is_closed and step.due_time == instant:
            yield step
            step = step.billed()

    def entering(self, phase: Phase) -> "Subscription":
        """At the beginning of one of its phases."""
        at = replace(self, phase_number=phase.number, is_opening=False, fee_paid_until=None)
        entered = replace(at, current_period=at._cut(at.schedule.first_period(phase.start_time)))
        entered = (
            replace(entered, addition_time=phase.start_time)
            if phase.has_advance_units and not phase.is_paused
            else entered._adding(after=phase.start_time)
        )
        return replace(entered, is_opening=phase.in_advance and entered.opening_fee is not None)

    def with_units(self, units: tuple[UnitChange, ...], now: datetime) -> "Subscription":
        """With other changes of units than before after `now`."""
        changed = replace(self, units=units, revision=self.revision + 1)
        added = self.addition_time
        is_pending = added is not None and (added <= now or added == self.phase.start_time)
        return changed if is_pending else changed._adding(after=now - INSTANT)

    def _adding(self, *, after: datetime) -> "Subscription":
        """With the next time at which units in advance change in the current period."""
        times = [
            each.effective_time
            for each in self.units
            if each.in_advance
            and each.phase_number == self.phase_number
            and max(after, self.current_period.start) < each.effective_time < self.current_period.end
        ]
        return replace(self, addition_time=min(times, default=None))

    def recut(self) -> "Subscription":
        """With the current period cut where phase and subscription end now. A period whose fee is paid up to an end
        that is gone keeps it: the fee of the rest is charged there.
        """
        period = self._cut(self.schedule.first_period(self.current_period.start))
        paid = max(self.fee_paid_until or period.start, period.start)
        is_paid = paid > period.start
        if is_paid and paid < period.end:
            period = period.until(self.current_period.end)
        cut = replace(self, current_period=period)
        if cut.addition_time is None or cut.addition_time >= period.end:
            cut = cut._adding(after=min(self.current_period.end, period.end) - INSTANT)
        return replace(cut, is_opening=self.phase.in_advance and not is_paid and cut.opening_fee is not None)

    def fee_days(self, phase: Phase, period: Period) -> Period | None:
        """What of a period of `phase` its base fee is for, paid or not. None where no day is left."""
        days = self.owned_days(period)
        if days is None or phase.is_paused:
            return None
        start = max(days.start, phase.fee_start_time)
        return Period(start, days.end) if start < days.end else None

    @property
    def _fee_period(self) -> Period:
        """The period of the base fee that the current period is in, as far as the phase goes."""
        whole = self.fee_schedule_of(self.phase).period_of(self.current_period.start)
        return self._cut(Period(max(whole.start, self.phase.start_time), whole.end))

    @property
    def _unpaid_fee(self) -> Period | None:
        days = self.fee_days(self.phase, self._fee_period)
        if days is None:
            return None
        start = max(days.start, self.fee_paid_until or days.start)
        return Period(start, days.end) if start < days.end else None

    def _day_start(self, instant: datetime) -> datetime:
        return day_start(day_of(instant, self.calendar), self.calendar)

    def _paid_by(self, fee: Period) -> datetime:
        """The end of the last day that `fee` is for."""
        return day_start(day_from(fee.end, self.calendar), self.calendar)

    def _cut(self, period: Period) -> Period:
        return period.until(self._end_of(self.phase)).until(self.end_time)

    def _end_of(self, phase: Phase) -> datetime | None:
        following = self._following(phase)
        return following.start_time if following else None

    def _following(self, phase: Phase) -> Phase | None:
        return next((each for each in self.phases if each.number > phase.number), None)
