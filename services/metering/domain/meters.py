"""Meters: which events count, and how they add up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Aggregation(StrEnum):
    COUNT = "count"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class DimensionFilter:
    """Admits events whose `property` has one of `values`."""

    property: str
    values: tuple[str, ...]

    def admits(self, properties: Mapping[str, str]) -> bool:
        return properties.get(self.property) in self.values


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts events with `event_code` that every filter admits; `value_property` is "" for a count."""

    code: str
    name: str
    description: str
    event_code: str
    aggregation: Aggregation
    value_property: str
    filters: tuple[DimensionFilter, ...]
    create_time: datetime


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Events that `filters` admit must hold a decimal in `property`."""

    property: str
    filters: tuple[DimensionFilter, ...]

    def applies_to(self, properties: Mapping[str, str]) -> bool:
        return all(each.admits(properties) for each in self.filters)


def value_rules(meters: Iterable[Meter]) -> tuple[ValueRule, ...]:
    """What `meters`, all of one event code, ask of an event; each rule once."""
    return tuple({ValueRule(meter.value_property, meter.filters): None for meter in meters if meter.value_property})


@dataclass(frozen=True, slots=True)
class Watch:
    """What ingestion knows of an event code: the rules of its meters, and by subscription the number of the series."""

    rules: tuple[ValueRule, ...]
    series: dict[str, int]


@dataclass(frozen=True, slots=True)
class TenantCatalog:
    """A tenant's meters as ingestion needs them, by event code, and the version at which they were read."""

    tenant_id: str
    tenant_no: int
    version: int
    watches: Mapping[str, Watch]
