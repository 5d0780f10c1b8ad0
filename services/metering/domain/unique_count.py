"""Unique count: ids that are added and removed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from services.metering.domain.events import CountedEvent
from services.metering.domain.proration import Frame


def effective(events: Iterable[CountedEvent]) -> Iterator[tuple[CountedEvent, int]]:
    """Each event with what it changes, in the order given: 1 adds an id that is not there, -1 removes one that is.

    Adding an id again changes nothing, nor does removing one that is not there.
    """
    active: set[str] = set()
    for event in events:
        if event.adds == (event.id in active):
            yield event, 0
        elif event.adds:
            active.add(event.id)
            yield event, 1
        else:
            active.remove(event.id)
            yield event, -1


def active_count(events: Iterable[CountedEvent]) -> int:
    """Ids that are there after all events."""
    return sum(change for _, change in effective(events))


@dataclass(frozen=True, slots=True)
class Stay:
    """An id from its adding to its removal (None: it is still there), and on how many days it was there for that.

    A day counts for one stay of an id only, the earlier one.
    """

    added: CountedEvent
    removed: CountedEvent | None
    days: int


def stays(events: Iterable[CountedEvent], frame: Frame) -> list[Stay]:
    """Of events in the order of their time: the stays that reach into [frame.start, frame.end), by their beginning."""
    open_stays: dict[str, CountedEvent] = {}
    spans: list[tuple[CountedEvent, CountedEvent | None]] = []
    for event, change in effective(events):
        if change > 0:
            open_stays[event.id] = event
        elif change < 0:
            spans.append((open_stays.pop(event.id), event))
    spans += [(added, None) for added in open_stays.values()]
    spans.sort(key=lambda span: (span[0].event_time, span[0].transaction_id))
    counted: dict[str, date] = defaultdict(lambda: date.min)
    found = []
    for added, removed in spans:
        if removed is not None and removed.event_time < frame.start:
            continue
        first, last = frame.day_of(added.event_time), _last_day(removed, frame)
        days = (last - max(first, counted[added.id])).days + (first > counted[added.id])
        counted[added.id] = last
        found.append(Stay(added, removed, days))
    return found


def _last_day(removed: CountedEvent | None, frame: Frame) -> date:
    return frame.last_day if removed is None else frame.day_of(removed.event_time)
