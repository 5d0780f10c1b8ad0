"""Percentile: by nearest rank, so that it is a value that occurred, and exact."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from math import ceil


def percentile(values: Iterable[tuple[Decimal, int]], percent: Decimal) -> Decimal:
    """Of values with how often each occurred: the least one that `percent` percent of them do not exceed; 0 of none."""
    ordered = sorted(values)
    rank = ceil(Fraction(percent) * sum(count for _, count in ordered) / 100)
    for value, count in ordered:
        rank -= count
        if rank <= 0:
            return value
    return Decimal(0)
