"""Usage the naive way: worked out from a list of what was sent."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from libs.common.money import plain
from weir.metering.v1.metering_pb2 import GetUsageRequest

MANY_DIGITS = Context(prec=60)
PLACES = 12

Sent = tuple[str, datetime, Decimal, str | None]
"""Who, when, the value and the model; the transaction_id grows with the number of events sent."""
Figure = tuple[str, str, tuple[tuple[str, str], ...], str, int]
"""Meter, part, group, quantity and count."""


class Seen(NamedTuple):
    """An event of a subscription: microseconds since 1970, the value, also as a whole number of 10 to the -PLACES."""

    at: int
    value: Decimal
    units: int
    model: str | None


@dataclass(slots=True)
class Log:
    """What was sent by one example; `answers` are requests, and what they were answered."""

    count: int = 0
    answers: list[tuple[GetUsageRequest, list[Figure]]] = field(default_factory=list)
    _seen: dict[str, list[Seen]] = field(default_factory=lambda: defaultdict(list))

    def add(self, sent: Sequence[Sent]) -> None:
        """Each subscription's events are kept in the order of time, those of one instant in that of sending."""
        self.count += len(sent)
        for name, at, value, model in sent:
            self._seen[name].append(Seen(_micros(at), value, int(value.scaleb(PLACES)), model))
        for name in {each[0] for each in sent}:
            self._seen[name].sort(key=lambda each: each.at)

    def figures(self, code: str, query: GetUsageRequest) -> list[Figure]:
        """By part and group, the naive way."""
        counted = self.counted(code, query)
        start, end = query.period.start_time.ToMicroseconds(), query.period.end_time.ToMicroseconds()
        if not query.parts and not query.group_by:
            return [(code, "", (), *quantity(code, counted, start, end))]
        pieces: dict[tuple[str, tuple[tuple[str, str], ...]], list[Seen]] = {}
        for each in counted:
            part = "small" if query.parts and each.model == "small" else ""
            group = (("model", each.model),) if query.group_by and each.model is not None else ()
            pieces.setdefault((part, group), []).append(each)
        if not query.group_by:
            pieces = {(part, ()): pieces.get((part, ()), []) for part in ("small", "")}
        return sorted((code, *key, *quantity(code, mine, start, end)) for key, mine in pieces.items())

    def counted(self, code: str, query: GetUsageRequest) -> Sequence[Seen]:
        """In the order of time."""
        seen = self._seen[query.subscription_id]
        start, end = query.period.start_time.ToMicroseconds(), query.period.end_time.ToMicroseconds()
        first = 0 if code in ("ever", "level") else bisect_left(seen, start, key=lambda each: each.at)
        mine = seen[first : max(first, bisect_left(seen, end, key=lambda each: each.at))]
        if code.startswith("small"):
            mine = [each for each in mine if each.model == "small"]
        if code == "least":
            mine = [each for each in mine if each.model in ("small", "large")]
        if query.filters:
            mine = [each for each in mine if each.model not in ("large", None)]
        return mine


def quantity(code: str, events: Sequence[Seen], start: int, end: int) -> tuple[str, int]:
    """And the count, of events in the order of time, and at one instant in that of their transaction_ids."""
    values = [each.value for each in events]
    match code:
        case "most" | "least":
            return plain((max if code == "most" else min)(values, default=Decimal(0))), len(values)
        case "last":
            return plain(max(values[-1], Decimal(0)) if values else Decimal(0)), len(values)
        case "level" | "spells":
            held = sum(each.units * (end - max(each.at, start)) for each in events)
            mean = Decimal(ceil(Fraction(held, (end - start) * 10**PLACES) * 10**20)).scaleb(-20, MANY_DIGITS)
            return plain(mean), sum(each.at >= start for each in events)
    if "calls" in code:
        return str(len(values)), len(values)
    return plain(sum(values, Decimal(0))), len(values)


def _micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
