"""Amendments: an event is replaced or deprecated, never edited; what it was is kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.metering.domain.events import Refusal


@dataclass(frozen=True, slots=True)
class Contents:
    """What an event says beside its identity; `properties` as JSON."""

    code: str
    event_time: datetime
    properties: str
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands instead of an event, and the number of its series."""

    series_no: int
    contents: Contents


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of the event that is found at `event_time`; without a replacement it is deprecated."""

    subscription_id: str
    transaction_id: str
    event_time: datetime
    expected_amendment_id: str
    reason: str
    replacement: Replacement | None = None

    @property
    def identity(self) -> tuple[str, str]:
        return self.subscription_id, self.transaction_id


@dataclass(frozen=True, slots=True)
class Standing:
    """An event as it counts now."""

    series_no: int
    sequence: int
    contents: Contents


@dataclass(frozen=True, slots=True)
class Amendment:
    """A change that was made, and the watermark from which it counts."""

    amendment_id: str
    subscription_id: str
    transaction_id: str
    replaced: Contents
    replacement: Contents | None
    reason: str
    create_time: datetime
    sequence: int
    backfill_no: int | None = None
    """Of the backfill that first recorded the event."""

    def made(self, event: Standing) -> bool:
        """An identity that a reverted backfill gave free may have amendments of its former event."""
        return self.replacement is not None and self.sequence == event.sequence


def repeated(changes: Sequence[Change]) -> Iterator[Refusal]:
    """Changes of an event that the request changes already."""
    seen: set[tuple[str, str]] = set()
    for index, change in enumerate(changes):
        if change.identity in seen:
            yield Refusal(index, "transaction_id", "EVENT_REPEATED", "the request changes this event twice")
        seen.add(change.identity)


def refusals(
    changes: Sequence[Change], standing: Mapping[int, Standing], latest: Mapping[tuple[str, str], Amendment]
) -> Iterator[Refusal]:
    """Why changes can't be made; `standing` by index of the change, `latest` amendments by identity."""
    for index, change in enumerate(changes):
        event, last = standing.get(index), latest.get(change.identity)
        shown = f"event {change.transaction_id!r} of {change.subscription_id!r}"
        if event is None and last is not None and last.replacement is None:
            message = f"{shown} was deprecated by {last.amendment_id}"
            yield Refusal(index, "transaction_id", "EVENT_DEPRECATED", message)
            continue
        if event is None and (last is None or last.amendment_id == change.expected_amendment_id):
            message = f"there is no {shown} at {change.event_time.isoformat()}"
            yield Refusal(index, "transaction_id", "EVENT_NOT_FOUND", message)
            continue
        current = last.amendment_id if last and (event is None or last.made(event)) else ""
        if current != change.expected_amendment_id:
            message = f"{shown} was last amended by {current or 'nobody'}"
            yield Refusal(index, "expected_amendment_id", "EVENT_AMENDED", message)


def origin(event: Standing, last: Amendment | None) -> int | None:
    """The number of the backfill that first recorded the event, None for an ordinary one."""
    if event.sequence < 0:
        return -event.sequence
    return last.backfill_no if last and last.made(event) else None
