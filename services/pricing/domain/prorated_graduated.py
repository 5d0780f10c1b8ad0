"""The graduated charge model for units that are held for a part of the period: walked event by event.

The full value of an event says which tiers it fills or leaves, its prorated value how much of that is charged. Of an
event that crosses the end of a tier, each tier gets the same share of the prorated value as of the full one; that may
be a third, so shares are computed to 60 digits after the point, and what the steps say is cut to 24. An amount that has
a finite decimal of 24 digits comes out exact, however the shares were.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from decimal import Decimal

from services.pricing.domain.breakdown import EXACT, ROUNDING, ZERO, RatedTier, cut_steps
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.tiers import TierTable
from services.pricing.domain.usage import EventValue

_SHARE = Decimal("1e-60")


def rate_prorated_graduated(price: GraduatedPrice, events: Iterable[EventValue]) -> tuple[RatedTier, ...]:
    """A step for each tier up to the one that holds the highest quantity reached; its quantity is prorated, and may be
    negative. Every event has a `prorated_value`; one of 0 leaves the quantity as it was.
    """
    table = price.table
    units = [ZERO] * len(table.rows)
    quantity = highest = ZERO
    for event in events:
        if not event.prorated_value:
            continue
        after = EXACT.add(quantity, event.value)
        for index, share in _shares(table, quantity, after, event.prorated_value):
            units[index] = EXACT.add(units[index], share)
        quantity = after
        highest = max(highest, quantity)
    reached = table.index(highest) + 1
    return cut_steps([row.holding(share) for row, share in zip(table.rows[:reached], units, strict=False)])


def _shares(table: TierTable, before: Decimal, after: Decimal, prorated: Decimal) -> Iterator[tuple[int, Decimal]]:
    """(tier, its share of `prorated`) for each tier between two quantities. The first tier goes on below 0."""
    low, high = min(before, after), max(before, after)
    first, last = bisect_right(table.ends, low), table.index(high)
    rest = prorated
    for index in range(first, last):
        bottom = low if index == first else table.rows[index].above
        part = EXACT.multiply(EXACT.subtract(table.ends[index], bottom), prorated)
        share = ROUNDING.divide(part, EXACT.subtract(high, low)).quantize(_SHARE, context=ROUNDING)
        rest = EXACT.subtract(rest, share)
        yield index, share
    yield last, rest
