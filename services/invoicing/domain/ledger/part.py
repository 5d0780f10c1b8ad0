"""Parts of an invoice: lines whose revenue is earned on the same days, and what they come to without taxes."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

from services.invoicing.domain.ledger.earning import Earning
from services.invoicing.domain.line import Line, LineKind
from services.invoicing.domain.period import Period, day_of

_INSTANT = timedelta(microseconds=1)


class Timing(IntEnum):
    """When revenue is earned: at issue; on each day of the line's period; when it was used, by issue at the latest."""

    AT_ISSUE = 0
    BY_DAY = 1
    AS_USED = 2


TIMINGS = {
    LineKind.ADD_ON: Timing.AT_ISSUE,
    LineKind.BASE_FEE: Timing.BY_DAY,
    LineKind.FIXED_CHARGE: Timing.BY_DAY,
    LineKind.DEDUCTION: Timing.BY_DAY,
    LineKind.RENEWAL: Timing.BY_DAY,
    LineKind.COMMITMENT: Timing.BY_DAY,
    LineKind.USAGE: Timing.AS_USED,
    LineKind.LATE_USAGE: Timing.AS_USED,
    LineKind.ADVANCE_USAGE: Timing.AS_USED,
    LineKind.PROGRESSIVE_CREDIT: Timing.AS_USED,
}

PartKey = tuple[Timing, datetime, datetime]
"""Lines with the same key are a part: timing, and beginning and end of the period. Parts are numbered in this order."""


def key_of(line: Line) -> PartKey:
    return TIMINGS[line.kind], line.period.start, line.period.end


def positions(keys: Iterable[PartKey]) -> dict[PartKey, int]:
    """The numbers of the parts, from 0."""
    return {key: number for number, key in enumerate(sorted(set(keys)))}


def net(amount: int, off: Decimal, rates_percent: Iterable[Decimal]) -> Fraction:
    """What lines come to without what coupons take `off` and the taxes that they contain, exactly; minor units."""
    rates = sum(map(Fraction, rates_percent), Fraction(0)) / 100
    return (amount - Fraction(off)) / (1 + rates)


def apportioned(total: int, exact: Sequence[Fraction]) -> list[int]:
    """`total` in whole parts, each as near to its exact one as can be; they differ together by roundings only."""
    parts = [each.__floor__() for each in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (parts[i] - exact[i], i))
    missing = total - sum(parts)
    for turn in range(abs(missing)):
        at = by_remainder[turn % len(parts)] if missing > 0 else by_remainder[-1 - turn % len(parts)]
        parts[at] += 1 if missing > 0 else -1
    return parts


def scheduled(
    number: int, key: PartKey, amount: int, issued: date, booked: date, from_date: date, tz: ZoneInfo
) -> Earning:
    """How a part of an invoice is earned, in the customer's calendar."""
    timing, start, end = key
    if timing is Timing.AT_ISSUE:
        return Earning(number, amount, booked, 1, booked, from_date)
    first, last = days(Period(start, end), tz)
    if timing is Timing.AS_USED:
        last = max(first, min(last, issued))
    return Earning(number, amount, first, (last - first).days + 1, booked, from_date)


def days(period: Period, tz: ZoneInfo) -> tuple[date, date]:
    """The first and the last day that it touches."""
    first = day_of(period.start, tz)
    return first, max(first, day_of(period.end - _INSTANT, tz))
