"""Tallies: what events come to, in a form that can be merged, whatever their order."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

from libs.common.money import EXACT
from services.metering.domain.meters import Aggregation, Meter
from services.metering.domain.percentile import percentile
from services.metering.domain.proration import Frame
from services.metering.domain.rounding import ceil_to, nearest

ZERO = Decimal(0)
WEIGHTED_DIGITS = 20
AVERAGE_DIGITS = 12
_NONE: Mapping[Decimal, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Latest:
    """The value of the last event. Of events at one instant, the last is that with the greatest transaction_id."""

    instant: str
    transaction_id: str
    value: Decimal


class Tally(NamedTuple):
    """`total` of all values, and of those `before` the period; `held` is the sum of value × how long it was held, in
    seconds for a weighted sum, in days where usage is prorated; `amount` is that of the events' amounts, None if none
    has one; `values` says how often each occurred, for a percentile.
    """

    event_count: int = 0
    total: Decimal = ZERO
    before: Decimal = ZERO
    held: Decimal = ZERO
    largest: Decimal | None = None
    smallest: Decimal | None = None
    latest: Latest | None = None
    amount: Decimal | None = None
    values: Mapping[Decimal, int] = _NONE

    def merged(self, other: "Tally") -> "Tally":
        latest = [each for each in (self.latest, other.latest) if each is not None]
        amounts = _present(self.amount, other.amount)
        return Tally(
            event_count=self.event_count + other.event_count,
            total=EXACT.add(self.total, other.total),
            before=EXACT.add(self.before, other.before),
            held=EXACT.add(self.held, other.held),
            largest=max(_present(self.largest, other.largest), default=None),
            smallest=min(_present(self.smallest, other.smallest), default=None),
            latest=max(latest, key=attrgetter("instant", "transaction_id"), default=None),
            amount=reduce(EXACT.add, amounts) if amounts else None,
            values=Counter(self.values) + Counter(other.values) if self.values or other.values else _NONE,
        )


def quantity(meter: Meter, tally: Tally, frame: Frame) -> Decimal:
    """Before rounding, and without proration. Nothing used is 0, whatever the aggregation."""
    match meter.aggregation:
        case Aggregation.COUNT:
            return Decimal(tally.event_count)
        case Aggregation.SUM:
            return tally.total
        case Aggregation.MAX:
            return tally.largest or ZERO
        case Aggregation.MIN:
            return tally.smallest or ZERO
        case Aggregation.AVERAGE:
            return nearest(Fraction(tally.total) / (tally.event_count or 1), AVERAGE_DIGITS)
        case Aggregation.LATEST:
            return max(ZERO, tally.latest.value) if tally.latest else ZERO
        case Aggregation.WEIGHTED_SUM:
            return ceil_to(Fraction(tally.held) / frame.full_seconds, WEIGHTED_DIGITS)
        case Aggregation.PERCENTILE:
            assert meter.percentile is not None
            return percentile(tally.values.items(), meter.percentile)
        case Aggregation.UNIQUE_COUNT:
            raise ValueError("a unique count depends on the order of events: see unique_count")


def _present(*values: Decimal | None) -> list[Decimal]:
    return [value for value in values if value is not None]
