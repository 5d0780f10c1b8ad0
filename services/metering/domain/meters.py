"""Meters: which events count, and how they add up."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.metering.domain.expressions import Expression, Sample
from services.metering.domain.rounding import Rounding


class Aggregation(StrEnum):
    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    MIN = "min"
    AVERAGE = "average"
    LATEST = "latest"
    UNIQUE_COUNT = "unique_count"
    WEIGHTED_SUM = "weighted_sum"
    PERCENTILE = "percentile"


RECURRING = frozenset({Aggregation.SUM, Aggregation.UNIQUE_COUNT, Aggregation.WEIGHTED_SUM})
"""What can go on from one period into the next."""

PRORATED = frozenset({Aggregation.SUM, Aggregation.UNIQUE_COUNT})
"""What can be prorated by days, in a recurring meter; a weighted sum is prorated by its nature."""

IN_ADVANCE = frozenset({Aggregation.COUNT, Aggregation.SUM, Aggregation.UNIQUE_COUNT})
"""What can be charged event by event."""

OPERATION_PROPERTY = "operation_type"
"""Of an event that a unique count counts: "add", also when it is absent, or "remove"."""
OPERATIONS = frozenset({"add", "remove"})


@dataclass(frozen=True, slots=True)
class DimensionFilter:
    """Admits events whose `property` has one of `values`, or any value when there are none."""

    property: str
    values: tuple[str, ...]

    def admits(self, properties: Mapping[str, str | None]) -> bool:
        value = properties.get(self.property)
        return value is not None and (not self.values or value in self.values)


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures events with `event_code` that every filter admits, as long as this version of it is in effect.

    `value_property` is "" for a count, names the id that a unique count counts, and a decimal otherwise. Usage can be
    split by `dimensions`. A `recurring` meter counts from the beginning of time, not of the period. `percentile` is
    above 0, at most 100, and None for other aggregations. What `expression` comes to is recorded as the events'
    `value_property`; with "" that is as sent.

    In effect are versions in [since, until), None being the beginning and the end of time. The log had this one from
    `sequence` on; the first one always.
    """

    code: str
    name: str
    description: str
    event_code: str
    aggregation: Aggregation
    value_property: str
    filters: tuple[DimensionFilter, ...]
    create_time: datetime
    recurring: bool = False
    dimensions: tuple[str, ...] = ()
    rounding: Rounding | None = None
    percentile: Decimal | None = None
    expression: str = ""
    version: int = 1
    since: datetime | None = None
    until: datetime | None = None
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Events that `filters` admit must hold a decimal in `property`, or if it `is_id`, an id and a known operation."""

    property: str
    filters: tuple[DimensionFilter, ...]
    is_id: bool = False

    def applies_to(self, properties: Mapping[str, str]) -> bool:
        return all(each.admits(properties) for each in self.filters)


def value_rules(meters: Iterable[Meter]) -> tuple[ValueRule, ...]:
    """What `meters`, all of one event code, ask of an event; each rule once."""
    rules = (
        ValueRule(meter.value_property, meter.filters, meter.aggregation is Aggregation.UNIQUE_COUNT)
        for meter in meters
        if meter.value_property
    )
    return tuple(dict.fromkeys(rules))


@dataclass(frozen=True, slots=True)
class Computed:
    """`expression` becomes `property` of events that `filters` admit: a decimal, or if it `is_id`, a text."""

    property: str
    filters: tuple[DimensionFilter, ...]
    expression: Expression
    is_id: bool

    def applies_to(self, properties: Mapping[str, str]) -> bool:
        return all(each.admits(properties) for each in self.filters)

    def of(self, sample: Sample) -> str:
        """Raises ExpressionFailedError."""
        return self.expression.id(sample) if self.is_id else self.expression.decimal(sample)


@dataclass(frozen=True, slots=True)
class Computation:
    """What meters compute of an event, and the rules for the event that comes of it."""

    computed: tuple[Computed, ...]
    rules: tuple[ValueRule, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """What ingestion knows of an event code: the rules of its meters, or their `computation`, and by subscription the
    number of the series. Where that depends on the time, `eras` say so: the first one is until the first of `starts`,
    in microseconds since 1970; None where no meter watches the code.
    """

    rules: tuple[ValueRule, ...]
    series: dict[str, int]
    computation: Computation | None = None
    starts: tuple[int, ...] = ()
    eras: "tuple[Watch | None, ...]" = ()

    def at(self, micros: int) -> "Watch | None":
        return self.eras[bisect_right(self.starts, micros)]


@dataclass(frozen=True, slots=True)
class TenantCatalog:
    """A tenant's meters as ingestion needs them, by event code, and the version at which they were read. `test_now` is
    where its test clock is, or is going.
    """

    tenant_id: str
    tenant_no: int
    version: int
    watches: Mapping[str, Watch]
    test_now: datetime | None = None
