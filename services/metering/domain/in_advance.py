"""Charging in advance: each event is charged when it arrives, for what it adds beyond the period's high-water mark.

Events are taken in the order in which they were recorded, so that what one was charged for never changes. Taking away
gives nothing back; adding again up to the mark costs nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce

from libs.common.money import EXACT
from services.metering.domain.events import CountedEvent
from services.metering.domain.proration import Frame
from services.metering.domain.unique_count import effective

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Charge:
    """What an event is charged for. `running` is the aggregate of the period's events after it, `mark` its highest
    value; `units` are beyond the mark before it, `prorated_units` those for the rest of the billing period.
    """

    event: CountedEvent
    running: Decimal
    mark: Decimal
    units: Decimal
    prorated_units: Decimal


def charges(events: Iterable[CountedEvent], frame: Frame, *, unique: bool) -> Iterator[Charge]:
    """A charge for each of `events` in [frame.start, frame.end), in the order of recording.

    A unique count also has the events before the period, which tell the ids that are there.
    """
    running = mark = ZERO
    ordered = sorted(events, key=lambda event: (event.sequence, event.event_time, event.transaction_id))
    changes = effective(ordered) if unique else ((event, event.value) for event in ordered)
    for event, change in changes:
        if not frame.start <= event.event_time < frame.end:
            continue
        running = EXACT.add(running, change)
        units = max(ZERO, EXACT.subtract(running, mark))
        mark = max(mark, running)
        yield Charge(event, running, mark, units, frame.prorated(frame.unit_days(units, event.event_time)))


@dataclass(frozen=True, slots=True)
class Charged:
    """What the events of a period were charged for together, and where that leaves the running aggregate."""

    running: Decimal = ZERO
    mark: Decimal = ZERO
    prorated_units: Decimal = ZERO

    @classmethod
    def of(cls, made: Iterable[Charge]) -> "Charged":
        return reduce(
            lambda so_far, each: cls(each.running, each.mark, EXACT.add(so_far.prorated_units, each.prorated_units)),
            made,
            cls(),
        )
