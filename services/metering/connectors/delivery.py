"""Records become events, or dead letters. Doing it again changes nothing."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.common.clock import Clock
from libs.common.credentials import Issuer
from libs.common.ids import new_id
from libs.common.postgres import Pool
from libs.common.rpc.client import credential
from services.metering.connectors import store
from services.metering.connectors.mapping import EventMapping, MappedEvent
from services.metering.connectors.records import Record, Refusal, Refused
from weir.metering.v1 import metering_pb2

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

MAX_EVENTS = 10_000
MAX_REQUEST_BYTES = 16 * 1024 * 1024
MAX_EVENT_BYTES = 64 * 1024
"""More than any event that metering takes. What is larger is not sent, so that no request can grow too large."""

REPLAYS = 200


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of each record: `accepted` are new, the others by their index."""

    accepted: int
    duplicates: Sequence[int]
    refusals: dict[int, Refusal]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Takes records of the connector `name` to metering. `tenant_id` is empty where each delivery names its own."""

    name: str
    tenant_id: str
    mapping: EventMapping
    pool: Pool
    metering: "MeteringServiceAsyncStub"
    issuer: Issuer
    clock: Clock

    async def deliver(self, tenant_id: str, records: Sequence[Record]) -> Delivered:
        """Return once every record is recorded, as an event or as a dead letter.

        Raises what the client and asyncpg raise; any part may be recorded then: deliver all of it again.
        """
        delivered = await self._ingest(tenant_id, records)
        if delivered.refusals:
            now = self.clock()
            ids = sorted(new_id("dl", now) for _ in delivered.refusals)  # in the order of the records
            refusals = sorted(delivered.refusals.items())
            letters = [(id_, records[index], refusal) for id_, (index, refusal) in zip(ids, refusals, strict=True)]
            async with self.pool.acquire() as conn:
                await store.insert_dead_letters(conn, tenant_id, self.name, letters, now)
        return delivered

    async def replay(self) -> tuple[int, int]:
        """Deliver some of the dead letters that somebody has asked for: how many are events now, how many still not."""
        async with self.pool.acquire() as conn:
            requested = await store.requested_replays(conn, self.name, self.tenant_id, REPLAYS)
        by_tenant: defaultdict[str, list[store.Requested]] = defaultdict(list)
        for each in requested:
            by_tenant[each.tenant_id].append(each)
        refused = 0
        for tenant_id, letters in by_tenant.items():
            delivered = await self._ingest(tenant_id, [letter.record for letter in letters])
            refusals = {letters[index].id: refusal for index, refusal in delivered.refusals.items()}
            replayed = [letter.id for letter in letters if letter.id not in refusals]
            async with self.pool.acquire() as conn, conn.transaction():
                await store.end_replays(conn, tenant_id, replayed, refusals, self.clock())
            refused += len(refusals)
        return len(requested) - refused, refused

    async def _ingest(self, tenant_id: str, records: Sequence[Record]) -> Delivered:
        indexes: list[int] = []
        events: list[metering_pb2.Event] = []
        refusals: dict[int, Refusal] = {}
        for index, record in enumerate(records):
            try:
                events.append(_event_out(self.mapping.event(record)))
                indexes.append(index)
            except Refused as refused:
                refusals[index] = refused.refusal
        accepted, duplicates = 0, []
        metadata = credential(self.issuer.internal_key(tenant_id))
        for start, chunk in _chunks(events):
            request = metering_pb2.IngestEventsRequest(events=chunk)
            response = await self.metering.IngestEvents(request, metadata=metadata)
            accepted += response.accepted_count
            duplicates += [indexes[start + index] for index in response.duplicate_indexes]
            for failure in response.failures:
                refusals[indexes[start + failure.index]] = Refusal(failure.field, failure.reason, failure.message)
        return Delivered(accepted, duplicates, refusals)


def _event_out(event: MappedEvent) -> metering_pb2.Event:
    """Raises Refused for an event that is too large to send."""
    seconds, micros = divmod(event.micros, 1_000_000)
    sent = metering_pb2.Event(
        transaction_id=event.transaction_id,
        subscription_id=event.subscription_id,
        code=event.code,
        properties=event.properties,
    )
    sent.timestamp.seconds, sent.timestamp.nanos = seconds, micros * 1000
    if (size := sent.ByteSize()) > MAX_EVENT_BYTES:
        raise Refused("", "EVENT_TOO_LARGE", f"the event has {size} bytes, {MAX_EVENT_BYTES} at most")
    return sent


def _chunks(events: Sequence[metering_pb2.Event]) -> Iterator[tuple[int, Sequence[metering_pb2.Event]]]:
    """What fits into one request each, and where it starts."""
    start = size = 0
    for index, event in enumerate(events):
        size += event.ByteSize()
        if index - start == MAX_EVENTS or size > MAX_REQUEST_BYTES:
            yield start, events[start:index]
            start, size = index, event.ByteSize()
    if events:
        yield start, events[start:]
