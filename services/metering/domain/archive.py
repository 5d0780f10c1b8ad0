"""Archived months: when events are old enough, and what tells whether they came back as they went."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

from services.metering.domain.events import micros_of


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

    def add(self, events: Iterable[ArchivedEvent]) -> None:
        for event in events:
            said = [micros_of(each) if isinstance(each, datetime) else each for each in event]
            hashed = blake2b(json.dumps(said, default=str).encode(), digest_size=16).digest()
            self._sum += int.from_bytes(hashed, "big")
            self.count += 1

    @property
    def value(self) -> bytes:
        """16 bytes."""
        return (self._sum % 2**128).to_bytes(16, "big")
