"""Days of a base fee in advance that are left when its phase ends: which ones, and what of a line they are."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from libs.common.money import Money
from services.invoicing.domain.credit_note import Item, NoteRequest
from services.invoicing.domain.line import Line
from services.invoicing.domain.period import Period, day_from, day_of, day_start
from services.invoicing.domain.phase import UnusedFee
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.subscription import Subscription


def unused_days(before: Subscription, after: Subscription) -> Period | None:
    """What is given back of the fee of the phase that `before` is in, if that phase has ended in `after`: whole days,
    that of a change included, that of an end not. None if no day is left or the fee is kept.
    """
    phase, paid_until = before.phase, before.fee_paid_until
    if paid_until is None or before.is_closed or before.is_opening:
        return None
    tz = before.calendar
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
    days, _ = of.fee_schedule_of(of.numbered(source.phase_number)).days_in(Period(start, end))
    used = Proration(part.fee, part.days - days, part.period_days)
    return line.amount - used.amount


def split(asked: NoteRequest, limit: Money, total_of: Callable[[NoteRequest], Money]) -> tuple[NoteRequest | None, ...]:
    """(the part of a note that comes to `limit` at most, the rest); None is for nothing. Each line's share is in
    proportion, as large as the limit lets it be; `total_of` tells what a note comes to with its taxes.
    """
    whole = total_of(asked)
    if whole.minor_units <= limit.minor_units:
        return asked, None
    part = max(limit.minor_units, 0)
    shares = [-(-_minor_units(each) * part // whole.minor_units) for each in asked.items]
    while any(shares) and total_of(_with(asked, shares)).minor_units > limit.minor_units:
        shares[shares.index(max(shares))] -= 1
    rests = [_minor_units(each) - share for each, share in zip(asked.items, shares, strict=True)]
    return (_with(asked, shares) if any(shares) else None), _with(asked, rests)


def _with(asked: NoteRequest, amounts: Iterable[int]) -> NoteRequest:
    items = zip(asked.items, amounts, strict=True)
    return replace(asked, items=tuple(Item(each.position, _money(each, amount)) for each, amount in items if amount))


def _money(item: Item, minor_units: int) -> Money:
    assert item.amount is not None, "what is given back has an amount"
    return Money(minor_units, item.amount.currency)


def _minor_units(item: Item) -> int:
    assert item.amount is not None, "what is given back has an amount"
    return item.amount.minor_units
