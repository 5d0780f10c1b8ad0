"""Events: what makes one the same as another, and what becomes of those that are sent."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from hashlib import blake2b

from xxhash import xxh3_64_intdigest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def identity(tenant_id: str, subscription_id: str, transaction_id: str) -> bytes:
    """16 bytes. Each name is preceded by its length, so that no two triples are written alike."""
    framed = f"{len(tenant_id)}:{tenant_id}{len(subscription_id)}:{subscription_id}{transaction_id}"
    return blake2b(framed.encode(), digest_size=16).digest()


def content_hash(code: str, micros: int, properties: bytes, amount: str = "") -> int:
    """63 bits of what an event says beside its identity; `properties` as JSON with sorted names.

    Kept with every event: changing what is hashed makes every later retry look like a reuse of its transaction_id. Who
    finds two events with the same hash can only deceive himself, so it need not be a cryptographic one.
    """
    head = f"{code}\n{micros}\n{amount}\n".encode()
    return xxh3_64_intdigest(head + properties) >> 1


def micros_of(instant: datetime) -> int:
    """Microseconds since 1970, cut down to a whole one."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Valid events, a column for each thing known of them, as Postgres takes them. Row i is one event.

    `series_nos` is 0 where the series is not known yet; `micros` counts from 1970 in UTC; `properties` is JSON;
    `amounts` are decimals, None where an event has none.
    """

    keys: list[bytes] = field(default_factory=list)
    content_hashes: list[int] = field(default_factory=list)
    tenant_nos: list[int] = field(default_factory=list)
    series_nos: list[int] = field(default_factory=list)
    micros: list[int] = field(default_factory=list)
    transaction_ids: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    amounts: list[str | None] = field(default_factory=list)

    def without_repeats(self) -> "EventColumns":
        """The first row of each key."""
        if len(set(self.keys)) == len(self.keys):
            return self
        return self.only(sorted({key: row for row, key in reversed(list(enumerate(self.keys)))}.values()))

    def only(self, rows: Sequence[int]) -> "EventColumns":
        return EventColumns(*([getattr(self, each.name)[row] for row in rows] for each in fields(self)))

    def outside(self, months: AbstractSet[date]) -> "EventColumns":
        """The rows of other months."""
        if not months:
            return self
        return self.only([row for row, micros in enumerate(self.micros) if month_of(micros) not in months])


def month_of(micros: int) -> date:
    """The first day of the month, in UTC."""
    return (_EPOCH + timedelta(microseconds=micros)).date().replace(day=1)


def months_without(micros: Sequence[int], known: AbstractSet[date]) -> list[date]:
    """The months of these instants that are not `known`."""
    first, last = month_of(min(micros)), month_of(max(micros))
    if first == last:
        return [] if first in known else [first]
    return sorted({month_of(each) for each in micros} - known)


class Fate(Enum):
    """What became of a valid event."""

    ACCEPTED = auto()
    DUPLICATE = auto()
    REUSED = auto()
    """Its identity belongs to an event with other contents, which stands."""
    ARCHIVED = auto()
    """It is new, and its month is archived."""


def fates(
    columns: EventColumns, standing: Mapping[bytes, int], archived: AbstractSet[date] = frozenset()
) -> list[Fate]:
    """By row; `standing` are the content hashes of those keys that were recorded before, `archived` the months that
    take no events.
    """
    first = dict(standing)
    result = []
    for key, content, micros in zip(columns.keys, columns.content_hashes, columns.micros, strict=True):
        if key not in first and archived and month_of(micros) in archived:
            result.append(Fate.ARCHIVED)
        elif key not in first:
            first[key] = content
            result.append(Fate.ACCEPTED)
        else:
            result.append(Fate.DUPLICATE if first[key] == content else Fate.REUSED)
    return result


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the event at `index` of a request was not recorded."""

    index: int
    field: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request's events; together, every one of them."""

    accepted_count: int
    duplicate_indexes: Sequence[int]
    refusals: Sequence[Refusal]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request holds: the events at `indexes` are valid and stand in the columns from `first_row` on.

    `unnumbered` are the rows whose series has no number yet, with its subscription and event code.
    """

    first_row: int
    indexes: Sequence[int]
    refusals: list[Refusal]
    unnumbered: list[tuple[int, str, str]]

    def outcome(self, columns: EventColumns, by_row: Sequence[Fate] | None) -> Outcome:
        """`by_row` None says that every event of the columns was accepted."""
        if by_row is None:
            return Outcome(len(self.indexes), (), self.refusals)
        mine = by_row[self.first_row : self.first_row + len(self.indexes)]
        refused = [
            _REFUSED[fate](index, columns, self.first_row + offset)
            for offset, (index, fate) in enumerate(zip(self.indexes, mine, strict=True))
            if fate in _REFUSED
        ]
        return Outcome(
            accepted_count=mine.count(Fate.ACCEPTED),
            duplicate_indexes=[i for i, fate in zip(self.indexes, mine, strict=True) if fate is Fate.DUPLICATE],
            refusals=sorted([*self.refusals, *refused], key=lambda refusal: refusal.index),
        )


def _reused(index: int, columns: EventColumns, row: int) -> Refusal:
    message = f"transaction_id {columns.transaction_ids[row]!r} belongs to an event with other contents, which stands"
    return Refusal(index, "transaction_id", "TRANSACTION_ID_REUSED", message)


def _archived(index: int, columns: EventColumns, row: int) -> Refusal:
    message = (
        f"events of {month_of(columns.micros[row]):%Y-%m} are archived; restore the month and send the event again"
    )
    return Refusal(index, "timestamp", "MONTH_ARCHIVED", message)


_REFUSED = {Fate.REUSED: _reused, Fate.ARCHIVED: _archived}


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """An event as one meter counts it: `value` is 1 for a count, and 0 for a unique count, which counts the `id` that
    the event `adds` or else removes. `amount` is what the event says it costs, in major units.
    """

    event_time: datetime
    transaction_id: str
    sequence: int
    value: Decimal
    id: str
    adds: bool
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class EventKey:
    """The place of an event among those of its subscription, by time."""

    event_time: datetime
    transaction_id: str


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it stands, and when it was recorded; `amendment_id` "" says that it is as it was sent."""

    key: EventKey
    subscription_id: str
    code: str
    properties: Mapping[str, str]
    amount: Decimal | None
    record_time: datetime
    amendment_id: str = ""
