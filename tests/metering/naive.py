"""Usage the naive way: worked out from a list of what was sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil

from libs.common.money import plain
from weir.metering.v1.metering_pb2 import GetUsageRequest

MANY_DIGITS = Context(prec=60)

Sent = tuple[str, datetime, Decimal, str | None]
"""Who, when, the value and the model; the transaction_id grows with the number of events sent."""
Figure = tuple[str, str, tuple[tuple[str, str], ...], str, int]
"""Meter, part, group, quantity and count."""


@dataclass(slots=True)
class Log:
    """What was sent by one example; `answers` are requests, and what they were answered."""

    sent: list[Sent] = field(default_factory=list)
    answers: list[tuple[GetUsageRequest, list[Figure]]] = field(default_factory=list)

    def figures(self, code: str, query: GetUsageRequest) -> list[Figure]:
        """By part and group, the naive way."""
        pieces: dict[tuple[str, tuple[tuple[str, str], ...]], list[Sent]] = {}
        for each in self.counted(code, query):
            part = "small" if query.parts and each[3] == "small" else ""
            group = (("model", each[3]),) if query.group_by and each[3] is not None else ()
            pieces.setdefault((part, group), []).append(each)
        if not query.group_by:
            pieces = {(part, ()): pieces.get((part, ()), []) for part in (["small", ""] if query.parts else [""])}
        period = query.period.start_time.ToDatetime(UTC), query.period.end_time.ToDatetime(UTC)
        return sorted((code, *key, *quantity(code, mine, *period)) for key, mine in pieces.items())

    def counted(self, code: str, query: GetUsageRequest) -> list[Sent]:
        """In the order of time."""
        start, end = query.period.start_time.ToDatetime(UTC), query.period.end_time.ToDatetime(UTC)
        mine = [
            (name, at, value, model)
            for name, at, value, model in self.sent
            if name == query.subscription_id
            and (code in ("ever", "level") or start <= at)
            and at < end
            and (model == "small" or not code.startswith("small"))
            and (model in ("small", "large") or code != "least")
            and (model != "large" or not query.filters)
            and (model is not None or not query.filters)
        ]
        return sorted(mine, key=lambda each: each[1])


def quantity(code: str, events: Sequence[Sent], start: datetime, end: datetime) -> tuple[str, int]:
    """And the count, of events in the order of time, and at one instant in that of their transaction_ids."""
    values = [value for _, _, value, _ in events]
    match code:
        case "most" | "least":
            return plain((max if code == "most" else min)(values, default=Decimal(0))), len(values)
        case "last":
            return plain(max(values[-1], Decimal(0)) if values else Decimal(0)), len(values)
        case "level" | "spells":
            held = sum((Fraction(value) * micros(end - max(at, start)) for _, at, value, _ in events), Fraction(0))
            mean = Decimal(ceil(held / micros(end - start) * 10**20)).scaleb(-20, MANY_DIGITS)
            return plain(mean), sum(at >= start for _, at, _, _ in events)
    if "calls" in code:
        return str(len(values)), len(values)
    return plain(sum(values, Decimal(0))), len(values)


def micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
