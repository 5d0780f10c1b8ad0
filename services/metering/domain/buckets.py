"""Buckets: how a period is put together from months, days, hours and minutes that have been added up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.metering.domain.meters import Aggregation, Meter
from services.metering.domain.usage import Question

MONTH, DAY, HOUR, MINUTE = range(4)
"""Widths of a bucket, in UTC."""

SPLIT_EVENTS: Mapping[int, int] = {MONTH: 100, DAY: 500, HOUR: 1_000}
"""A series with more events in a bucket of its finest width gets the next finer one. So at each end of a period no more
single events than that are read."""

OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
"""No event is older."""

ADDED_UP = frozenset({Aggregation.COUNT, Aggregation.SUM, Aggregation.MAX, Aggregation.MIN, Aggregation.AVERAGE})
"""What a bucket's count, total, smallest and largest value answer."""


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


def is_in_buckets(meter: Meter, question: Question) -> bool:
    """Whether buckets can answer: nothing splits the usage, and nothing depends on single events."""
    return (
        meter.aggregation in ADDED_UP
        and not question.dimensions
        and not question.prorated
        and not question.charged_in_advance
        and not question.first_events
    )


def covered_period(meter: Meter, question: Question) -> tuple[datetime, datetime]:
    """In UTC: when the meter's version is in effect. A recurring meter counts from the beginning of time."""
    start = OLDEST if meter.recurring else max(question.start, OLDEST)
    start = max(start, meter.since or start)
    end = min(question.end, meter.until or question.end)
    return start.astimezone(UTC), max(start, end).astimezone(UTC)


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
