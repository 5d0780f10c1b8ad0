"""From what the events of a question come to, cell by cell, to usages.

A cell is what one combination of dimension values has; parts and groups are made of whole cells.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from itertools import islice
from typing import NamedTuple

from libs.common.money import EXACT
from services.metering.domain.events import CountedEvent
from services.metering.domain.in_advance import Charge, Charged, charges
from services.metering.domain.meters import Aggregation, Meter
from services.metering.domain.parts import REST, part_of
from services.metering.domain.proration import Frame
from services.metering.domain.rounding import nearest
from services.metering.domain.tally import Tally, quantity
from services.metering.domain.unique_count import Stay, active_count, effective, stays
from services.metering.domain.usage import EventCharge, EventUnits, EventUsage, Group, Question, Usage

ZERO, ONE = Decimal(0), Decimal(1)
PRORATED_VALUE_DIGITS = 12


class Cell(NamedTuple):
    """`values` are those of the question's dimensions, in their order; `events` are there where single ones matter."""

    values: tuple[str | None, ...]
    tally: Tally
    events: Sequence[CountedEvent] = ()


class _Piece(NamedTuple):
    tally: Tally
    events: Sequence[CountedEvent]


def usages(meter: Meter, question: Question, cells: Iterable[Cell]) -> list[Usage]:
    """Without group_by one for each part, in their order, and one for the rest; with it, one for each group that has
    events, ordered by part and group.
    """
    if not question.dimensions:
        return [_usage(meter, question, REST, (), _whole(cells))]
    pieces = _pieces(question, cells)
    codes = [*(part.code for part in question.parts), REST]
    if not question.group_by:
        return [_usage(meter, question, code, (), pieces.get((code, ()), _Piece(Tally(), ()))) for code in codes]
    ordered = sorted(pieces, key=lambda key: (codes.index(key[0]), key[1]))
    return [_usage(meter, question, code, group, pieces[code, group]) for code, group in ordered]


def event_usage(meter: Meter, question: Question, transaction_id: str, cells: Iterable[Cell]) -> EventUsage | None:
    """None when the meter does not count the event, or the question's filters or period leave it out."""
    for (part, group), piece in _pieces(question, cells).items():
        for charge in _charges(meter, question.frame, piece.events):
            if charge.event.transaction_id == transaction_id:
                prorated_units = charge.prorated_units if question.prorated else None
                return EventUsage(meter.code, part, group, charge.units, prorated_units, charge.running, charge.mark)
    return None


def event_charges(meter: Meter, question: Question, cells: Iterable[Cell], since: int) -> list[EventCharge]:
    """Of the events that count only after `since`, in the order of recording."""
    found = []
    for (part, group), piece in _pieces(question, cells).items():
        before = ZERO
        for number, charge in enumerate(_charges(meter, question.frame, piece.events), 1):
            event, value = charge.event, EXACT.subtract(charge.running, before)
            before = charge.running
            if event.sequence > since:
                prorated = charge.prorated_units if question.prorated else None
                usage = EventUsage(meter.code, part, group, charge.units, prorated, charge.running, charge.mark)
                found.append(
                    EventCharge(
                        event.transaction_id, event.event_time, event.sequence, number, value, event.amount, usage
                    )
                )
    return sorted(found, key=lambda each: (each.sequence, each.event_time, each.transaction_id))


def _pieces(question: Question, cells: Iterable[Cell]) -> Mapping[tuple[str, Group], _Piece]:
    gathered: dict[tuple[str, Group], list[Cell]] = defaultdict(list)
    for cell in cells:
        properties = dict(zip(question.dimensions, cell.values, strict=True))
        if all(each.admits(properties) for each in question.filters):
            held = ((name, properties[name]) for name in question.group_by)
            group = tuple((name, value) for name, value in held if value is not None)
            gathered[part_of(properties, question.parts), group].append(cell)
    return {key: _whole(mine) for key, mine in gathered.items()}


def _whole(cells: Iterable[Cell]) -> _Piece:
    mine = list(cells)
    if len(mine) == 1 and not mine[0].events:
        return _Piece(mine[0].tally, ())
    events = [event for cell in mine for event in cell.events]
    events.sort(key=lambda event: (event.event_time, event.transaction_id))
    return _Piece(reduce(Tally.merged, (cell.tally for cell in mine)) if mine else Tally(), events)


def _usage(meter: Meter, question: Question, part: str, group: Group, piece: _Piece) -> Usage:
    full, prorated = _quantities(meter, question, piece)
    if meter.rounding:
        full, prorated = meter.rounding.of(full), meter.rounding.of(prorated)
    most = question.first_events
    return Usage(
        meter_code=meter.code,
        quantity=prorated if question.prorated else full,
        event_count=piece.tally.event_count,
        part=part,
        group=group,
        full_quantity=full if question.prorated else None,
        amount=piece.tally.amount,
        events=tuple(islice(_event_units(meter, question, piece), most)) if most else (),
    )


def _quantities(meter: Meter, question: Question, piece: _Piece) -> tuple[Decimal, Decimal]:
    """Full and prorated. Charged in advance, what was charged counts, not what is left: total − running + mark."""
    frame, tally = question.frame, piece.tally
    unique = meter.aggregation is Aggregation.UNIQUE_COUNT
    full = Decimal(active_count(piece.events)) if unique else quantity(meter, tally, frame)
    if question.charged_in_advance:
        charged = Charged.of(_charges(meter, frame, piece.events))
        full = EXACT.add(EXACT.subtract(full, charged.running), charged.mark)
        if not question.prorated:
            return full, full
        persisted = _persisted_ids(piece.events, frame) if unique else tally.before
        whole = frame.prorated(frame.unit_days(persisted, frame.start))
        return full, EXACT.add(whole, charged.prorated_units)
    if not question.prorated:
        return full, full
    held = Decimal(sum(stay.days for stay in stays(piece.events, frame))) if unique else tally.held
    return full, frame.prorated(held)


def _persisted_ids(events: Sequence[CountedEvent], frame: Frame) -> Decimal:
    return Decimal(active_count(event for event in events if event.event_time < frame.start))


def _charges(meter: Meter, frame: Frame, events: Iterable[CountedEvent]) -> Iterator[Charge]:
    return charges(events, frame, unique=meter.aggregation is Aggregation.UNIQUE_COUNT)


def _event_units(meter: Meter, question: Question, piece: _Piece) -> Iterator[EventUnits]:
    """In the order of time, after what was there before."""
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        yield from _id_units(question, piece)
        return
    frame = question.frame
    if piece.tally.before and question.prorated:
        prorated = _prorated_value(frame.unit_days(piece.tally.before, frame.start), frame)
        yield EventUnits("", None, piece.tally.before, prorated, None)
    top = piece.tally.largest if meter.aggregation is Aggregation.MAX else None
    for event in piece.events:
        if event.event_time < frame.start:
            continue
        units = _units(event, event.value if top is None or event.value == top else ZERO)
        if meter.aggregation is Aggregation.MAX and units.value:
            top = Decimal("Infinity")  # the first event that holds the maximum carries it, the others nothing
        if question.prorated:
            units = replace(
                units, prorated_value=_prorated_value(frame.unit_days(event.value, event.event_time), frame)
            )
        yield units


def _id_units(question: Question, piece: _Piece) -> Iterator[EventUnits]:
    """An id counts where it is added and is taken away where it is removed; days count where it is added."""
    if not question.prorated:
        yield from (_units(event, Decimal(change)) for event, change in effective(piece.events))
        return
    frame = question.frame
    added = [replace(_units(stay.added, ONE), prorated_value=_days(stay, frame)) for stay in stays(piece.events, frame)]
    removed = [
        replace(_units(stay.removed, -ONE), prorated_value=ZERO)
        for stay in stays(piece.events, frame)
        if stay.removed is not None
    ]
    yield from sorted((*added, *removed), key=lambda each: (each.event_time, each.transaction_id))


def _days(stay: Stay, frame: Frame) -> Decimal:
    return _prorated_value(Decimal(stay.days), frame)


def _prorated_value(unit_days: Decimal, frame: Frame) -> Decimal:
    return nearest(Fraction(unit_days) / frame.full_days, PRORATED_VALUE_DIGITS)


def _units(event: CountedEvent, value: Decimal) -> EventUnits:
    return EventUnits(event.transaction_id, event.event_time, value, None, event.amount)
