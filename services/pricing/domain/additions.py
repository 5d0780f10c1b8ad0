"""What an event would add to the quantities of a plan's charges, as metering would count it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.pricing.domain.breakdown import EXACT, ONE, ZERO
from services.pricing.domain.parts import admits, part_of
from services.pricing.domain.plans import Charge, PlanVersion, Price, PropertyFilter
from services.pricing.domain.time_of_day import TimeOfDayPrice, window_at
from services.pricing.domain.usage import EventValue, Group, Usage

OPERATION_PROPERTY = "operation_type"
REMOVE = "remove"


class Aggregation(StrEnum):
    """How events add up to a quantity."""

    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    LATEST = "latest"
    UNIQUE_COUNT = "unique_count"
    OTHER = "other"
    """Of which one event says nothing without the others."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Counts events with `event_code` that every one of `filters` admits, by the property `value_property`; if
    `is_computed`, by what metering computes of it.
    """

    event_code: str
    value_property: str
    filters: tuple[PropertyFilter, ...]
    is_computed: bool = False


@dataclass(frozen=True, slots=True)
class Meter:
    """`pending` are the definitions that are yet to take effect when the meter is read, with when they do, by time."""

    code: str
    aggregation: Aggregation
    definition: Definition
    pending: tuple[tuple[datetime, Definition], ...] = ()

    def at(self, instant: datetime) -> Definition:
        """What holds for events of that time, if it is not before the meter was read."""
        in_effect = self.definition
        for effective_time, definition in self.pending:
            if effective_time <= instant:
                in_effect = definition
        return in_effect


@dataclass(frozen=True, slots=True)
class Event:
    """Something that would happen; `amount` is what it says it costs, in major units."""

    code: str
    properties: Mapping[str, str]
    amount: Decimal
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Addition:
    """What an event adds to the usage of `charge`; None where that can't be said."""

    charge: Charge
    usage: Usage | None


def additions(
    version: PlanVersion,
    meters: Mapping[str, Meter],
    event: Event,
    values: Mapping[str, Decimal],
    used: Sequence[Usage],
) -> Iterator[Addition]:
    """For each charge whose meter counts the event, in order. `values` are the event's decimals, by meter that adds one
    up.
    """
    for charge in version.charges:
        meter = meters.get(charge.meter_code)
        if meter is None or not counts(meter, event):
            continue
        part = part_of(event.properties, charge.filters)
        place = Usage(
            charge.code,
            ZERO,
            filter_code="" if part is None else part.code,
            group=_group(charge, event),
            window=_window(charge.price if part is None else part.price, event.timestamp),
        )
        there = next((usage for usage in used if _same_place(usage, place)), place)
        units = _units(meter, event, values.get(meter.code, ONE), there.quantity)
        yield Addition(charge, None if units is None else _grown(place, there, units, event.amount))


def counts(meter: Meter, event: Event) -> bool:
    definition = meter.at(event.timestamp)
    return definition.event_code == event.code and admits(definition.filters, event.properties)


def _group(charge: Charge, event: Event) -> Group:
    return tuple(sorted((key, event.properties[key]) for key in charge.group_keys if key in event.properties))


def _window(price: Price, instant: datetime) -> str | None:
    return window_at(price, instant) if isinstance(price, TimeOfDayPrice) else None


def _same_place(one: Usage, other: Usage) -> bool:
    return (one.charge_code, one.filter_code, one.group, one.window) == (
        other.charge_code,
        other.filter_code,
        other.group,
        other.window,
    )


def _units(meter: Meter, event: Event, value: Decimal, quantity: Decimal) -> Decimal | None:
    """By how much the event changes the quantity; an id of a unique count is taken for a new one."""
    if meter.at(event.timestamp).is_computed:
        return None
    match meter.aggregation:
        case Aggregation.COUNT:
            return ONE
        case Aggregation.SUM:
            return value
        case Aggregation.MAX:
            return max(EXACT.subtract(value, quantity), ZERO)
        case Aggregation.LATEST:
            return EXACT.subtract(max(value, ZERO), quantity)
        case Aggregation.UNIQUE_COUNT:
            return -ONE if event.properties.get(OPERATION_PROPERTY) == REMOVE else ONE
        case Aggregation.OTHER:
            return None


def _grown(place: Usage, there: Usage, units: Decimal, amount: Decimal) -> Usage:
    return Usage(
        place.charge_code,
        units,
        filter_code=place.filter_code,
        group=place.group,
        event_count=1,
        events=(EventValue(units, amount=amount),),
        window=place.window,
        quantity_before=there.quantity_before,
    )
