"""Lanes: measures that look at the same events in the same way, so that these are gone through once for all of them."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from services.metering.domain.meters import Aggregation, DimensionFilter, Meter

MOST_SLOTS = 6


class Kept(StrEnum):
    """What is kept of events, beside their count, sum, smallest and largest value, and amounts."""

    SUMS = "sums"
    LATEST = "latest"
    """Also the last value."""
    MOMENTS = "moments"
    """Also the sum of value × time, which tells for how long values were held until any later instant."""


KEPT_FOR = {
    Aggregation.COUNT: Kept.SUMS,
    Aggregation.SUM: Kept.SUMS,
    Aggregation.MAX: Kept.SUMS,
    Aggregation.MIN: Kept.SUMS,
    Aggregation.AVERAGE: Kept.SUMS,
    Aggregation.LATEST: Kept.LATEST,
    Aggregation.WEIGHTED_SUM: Kept.MOMENTS,
}
"""What answers an aggregation. A unique count and a percentile depend on every single event."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What is added up: the values of a property, or with "" just events, of those that `filters` admit, told apart by
    `dimensions`, which are sorted.
    """

    value_property: str
    filters: tuple[DimensionFilter, ...]
    dimensions: tuple[str, ...]
    kept: Kept


EVENTS = Measure("", (), (), Kept.SUMS)
"""Counts all events of a series."""


@dataclass(frozen=True, slots=True)
class Lane:
    """At most MOST_SLOTS measures that differ only in their properties, and the one that has none."""

    filters: tuple[DimensionFilter, ...]
    dimensions: tuple[str, ...]
    kept: Kept
    measures: tuple[Measure, ...]
    counts: Measure | None = None

    @property
    def slots(self) -> list[tuple[int, Measure]]:
        """Numbered: 0 is for what just counts events."""
        return [*([(0, self.counts)] if self.counts else []), *enumerate(self.measures, 1)]


def measure_of(meter: Meter) -> Measure | None:
    """None where adding up can't tell."""
    kept = KEPT_FOR.get(meter.aggregation)
    return Measure(meter.value_property, meter.filters, tuple(sorted(meter.dimensions)), kept) if kept else None


def lanes(measures: Collection[Measure]) -> list[Lane]:
    """Of distinct measures."""
    alike: dict[tuple[tuple[DimensionFilter, ...], tuple[str, ...], Kept], list[Measure]] = defaultdict(list)
    for measure in measures:
        alike[measure.filters, measure.dimensions, measure.kept].append(measure)
    found = []
    for key, mine in alike.items():
        counts = next((each for each in mine if not each.value_property), None)
        valued = tuple(each for each in mine if each.value_property)
        found.append(Lane(*key, valued[:MOST_SLOTS], counts))
        found += [Lane(*key, valued[at : at + MOST_SLOTS]) for at in range(MOST_SLOTS, len(valued), MOST_SLOTS)]
    return found
