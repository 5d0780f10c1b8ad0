"""Archived months: when events are old enough, and what tells whether they came back as they went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class State(StrEnum):
    DUE = "DUE"
    WRITING = "WRITING"
    ARCHIVED = "ARCHIVED"
    RESTORING = "RESTORING"
    RESTORED = "RESTORED"


AWAY = frozenset({State.ARCHIVED, State.RESTORING})
"""Events are in files only."""


class Obstacle(StrEnum):
    """Why a month that is due can't be archived."""

    NOT_FOLDED = "NOT_FOLDED"
    NOT_BILLED = "NOT_BILLED"
    NEEDED = "NEEDED"
    CORRECTED = "CORRECTED"


@dataclass(frozen=True, slots=True)
class ArchivedMonth:
    """`event_count` and `locations` are one tenant's."""

    month: date
    state: State
    obstacles: Sequence[Obstacle]
    event_count: int
    locations: Sequence[str]
    archive_time: datetime | None
    hold_end_time: datetime | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A month in UTC that has been archived at least once. Rollups with a number above `last_rollup_no` lack it, and
    buckets of a width that a series got since may. While it is `away` there are no events of it.
    """

    start: datetime
    end: datetime
    last_rollup_no: int
    away: bool


def newest_due(now: datetime, retention_months: int) -> date:
    """The last month that ended at least so many months ago, in UTC."""
    today = now.astimezone(UTC)
    number = today.year * 12 + today.month - 1 - retention_months - 1
    return date(number // 12, number % 12 + 1, 1)


def bounds(month: date) -> tuple[datetime, datetime]:
    """[start, end) in UTC."""
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    return start, datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


class ArchivedEvent(NamedTuple):
    """One row of a file; `properties` is JSON as Postgres writes it."""

    subscription_id: str
    code: str
    timestamp: datetime
    transaction_id: str
    properties: str
    amount: Decimal | None
    sequence: int
    record_time: datetime | None


class Digest:
    """Of many events in any order: the sum of their hashes."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, events: Sequence[ArchivedEvent]) -> None:
        self._sum += sum(int.from_bytes(blake2b(_said(event), digest_size=16).digest(), "big") for event in events)
        self.count += len(events)

    @property
    def value(self) -> bytes:
        """16 bytes."""
        return (self._sum % 2**128).to_bytes(16, "big")


def _said(event: ArchivedEvent) -> bytes:
    """Everything of an event. Texts are preceded by their lengths, so that no two events are written alike."""
    subscription_id, code, timestamp, transaction_id, properties, amount, sequence, record_time = event
    at = timestamp - _EPOCH
    recorded = record_time - _EPOCH if record_time else None
    return (
        f"{len(subscription_id)}:{subscription_id}{len(code)}:{code}{len(transaction_id)}:{transaction_id}"
        f"{at.days} {at.seconds} {at.microseconds} {amount} {sequence} "
        f"{recorded and (recorded.days, recorded.seconds, recorded.microseconds)} {properties}"
    ).encode()
