"""Days of a base fee in advance that are left when its phase ends: which ones, and what of a line they are."""

from libs.common.money import Money
from services.invoicing.domain.line import Line
from services.invoicing.domain.period import Period, day_from, day_of, day_start, zone
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.subscription import Subscription, UnusedFee


def unused_days(before: Subscription, after: Subscription) -> Period | None:
    """What is given back of the fee of the phase that `before` is in, if that phase has ended in `after`: whole days,
    that of a change included, that of an end not. None if no day is left or the fee is kept.
    """
    phase, paid_until = before.phase, before.fee_paid_until
    if paid_until is None or before.is_closed or before.is_opening:
        return None
    tz = zone(before.time_zone)
    if after.is_closed:
        assert after.end_time is not None, "only what has an end is closed"
        start = day_start(day_from(after.end_time, tz), tz)
    elif after.phase_number != before.phase_number:
        start = day_start(day_of(after.phase.start_time, tz), tz)
    else:
        return None
    kept = after.ending_of(phase) is UnusedFee.KEEP
    return None if kept or start >= paid_until else Period(start, paid_until)


def unused_amount(line: Line, unused: Period, of: Subscription) -> Money:
    """What of a base fee's line the days of `unused` are: the line less the fee of the days that are left to it, so
    that both come to the line exactly.
    """
    part, source = line.proration, line.source
    assert part is not None, "a base fee is prorated"
    assert source is not None, "and for a subscription"
    start, end = max(line.period.start, unused.start), min(line.period.end, unused.end)
    if start >= end:
        return Money(0, line.amount.currency)
    days, _ = of.schedule_of(of.numbered(source.phase_number)).days_in(Period(start, end))
    used = Proration(part.fee, part.days - days, part.period_days)
    return line.amount - used.amount
