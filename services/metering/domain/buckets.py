"""Buckets: how a period is put together from months, days, hours and minutes that have been added up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from libs.common.money import EXACT
from services.metering.domain.lanes import KEPT_FOR
from services.metering.domain.meters import Aggregation, Meter
from services.metering.domain.tally import ZERO, Tally
from services.metering.domain.usage import Question

MONTH, DAY, HOUR, MINUTE = range(4)
"""Widths of a bucket, in UTC."""

SPLIT_EVENTS: Mapping[int, int] = {MONTH: 100, DAY: 500, HOUR: 1_000}
"""A series with more events in a bucket of its finest width gets the next finer one. So at each end of a period no more
single events than that are read."""

OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
"""No event is older."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MOST_CELLS = 1_000
"""A series with more cells in a month is not divided by dimensions any more: its cells become one, and questions that
divide it read events."""


@dataclass(frozen=True, slots=True)
class Span:
    """Adjacent buckets of one width, which begin in [start, end)."""

    width: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Cover:
    """Spans of whole buckets, and the periods at the edges that only single events can tell."""

    spans: tuple[Span, ...] = ()
    edges: tuple[tuple[datetime, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Events in [start, end), in UTC, of the period that a question asks about, or `is_before` it. They are held for
    `days` where usage is prorated.
    """

    start: datetime
    end: datetime
    is_before: bool = False
    days: int = 0


def is_in_buckets(meter: Meter, question: Question) -> bool:
    """Whether buckets can answer: nothing depends on single events."""
    return meter.aggregation in KEPT_FOR and not question.charged_in_advance and not question.first_events


def segments(meter: Meter, question: Question) -> tuple[Segment, ...]:
    """While the meter's version is in effect. A recurring meter counts from the beginning of time."""
    start, end = max(question.start, OLDEST), max(question.end, OLDEST)
    if question.prorated:
        starts = [max(each, OLDEST) for each in question.frame.day_starts()]
        days = range(len(starts), 0, -1)
        ends = [*starts[1:], end]
        within = [Segment(since, until, days=held) for since, until, held in zip(starts, ends, days, strict=True)]
        pieces = [Segment(OLDEST, start, is_before=True, days=len(starts)), *within]
    elif meter.recurring and meter.aggregation is Aggregation.WEIGHTED_SUM:
        pieces = [Segment(OLDEST, start, is_before=True), Segment(start, end)]
    else:
        pieces = [Segment(OLDEST if meter.recurring else start, end)]
    in_effect = (
        replace(each, start=max(each.start, meter.since or each.start), end=min(each.end, meter.until or each.end))
        for each in pieces
    )
    return tuple(
        replace(each, start=each.start.astimezone(UTC), end=each.end.astimezone(UTC))
        for each in in_effect
        if each.start < each.end
    )


def covered_period(meter: Meter, question: Question) -> tuple[datetime, datetime]:
    """In UTC, what the segments together are in; empty at the question's start when the version is not in effect."""
    pieces = segments(meter, question)
    if not pieces:
        return question.start.astimezone(UTC), question.start.astimezone(UTC)
    return min(each.start for each in pieces), max(each.end for each in pieces)


def held(meter: Meter, question: Question, segment: Segment, tally: Tally) -> Tally:
    """The tally of a segment for how long its values are held; what comes in as held is their sum of value × time."""
    if question.prorated:
        before = tally.total if segment.is_before else ZERO
        return tally._replace(before=before, held=EXACT.multiply(tally.total, Decimal(segment.days)))
    if meter.aggregation is not Aggregation.WEIGHTED_SUM:
        return tally
    until_end = EXACT.multiply(tally.total, _seconds(question.end))
    if segment.is_before:
        until_start = EXACT.multiply(tally.total, _seconds(question.start))
        return tally._replace(event_count=0, before=tally.total, held=EXACT.subtract(until_end, until_start))
    return tally._replace(held=EXACT.subtract(until_end, tally.held))


def _seconds(instant: datetime) -> Decimal:
    """Since 1970, exactly."""
    return Decimal((instant - _EPOCH) // timedelta(microseconds=1)).scaleb(-6)


def cover(start: datetime, end: datetime, depth: int, width: int = MONTH) -> Cover:
    """[start, end), in UTC, by the widest buckets that fit, none finer than `depth`."""
    if start >= end:
        return Cover()
    low, high = _ceiling(start, width), _floor(end, width)
    spans: tuple[Span, ...] = ()
    rest = [(start, end)]
    if low < high:
        spans = (Span(width, low, high),)
        rest = [(start, low), (high, end)]
    if width == depth:
        return Cover(spans, tuple((since, until) for since, until in rest if since < until))
    finer = [cover(since, until, depth, width + 1) for since, until in rest]
    return Cover(
        spans + tuple(span for each in finer for span in each.spans),
        tuple(edge for each in finer for edge in each.edges),
    )


def _floor(instant: datetime, width: int) -> datetime:
    minute = instant.replace(second=0, microsecond=0)
    match width:
        case 3:
            return minute
        case 2:
            return minute.replace(minute=0)
        case 1:
            return minute.replace(hour=0, minute=0)
        case _:
            return minute.replace(day=1, hour=0, minute=0)


def _ceiling(instant: datetime, width: int) -> datetime:
    floor = _floor(instant, width)
    if floor == instant:
        return floor
    match width:
        case 3:
            return floor + timedelta(minutes=1)
        case 2:
            return floor + timedelta(hours=1)
        case 1:
            return floor + timedelta(days=1)
        case _:
            return (floor + timedelta(days=32)).replace(day=1)
