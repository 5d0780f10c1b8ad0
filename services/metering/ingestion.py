"""Group commit: whatever is waiting is recorded by one statement, and answered when that is committed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeAlias

import asyncpg
import structlog

from libs.common.clock import Clock
from libs.common.errors import ResourceExhausted
from libs.common.rpc.status import from_postgres_error
from services.metering import store
from services.metering.catalog import Catalog
from services.metering.domain.events import EventColumns, Fate, Outcome, fates, months_without
from services.metering.events_in import events_in
from weir.metering.v1 import metering_pb2

log = structlog.get_logger()

WRITERS = 2
"""One reads events while Postgres works for the other. More only take cores from Postgres."""

GROUP_EVENTS = 4_000
"""A group takes no further request once it has as many events."""

QUEUE_EVENTS = 50_000
"""More are refused: they would wait for about a second, and take some 100 MB."""

RETRY_AFTER_MS = 500
ATTEMPTS = 3

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    tenant_id: str
    events: Sequence[metering_pb2.Event]
    outcome: "asyncio.Future[Outcome]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Ingestion:
    """A bounded queue of requests and the writers that empty it, each with a connection of its own."""

    def __init__(self, dsn: str, clock: Clock, late: timedelta | None = None) -> None:
        """Events may be `late` by so much; None sets no limit."""
        self._dsn = dsn
        self._clock = clock
        self._late = late
        self._catalog = Catalog()
        self._partitions: set[date] = set()
        self._queue: asyncio.Queue[_Request | None] = asyncio.Queue()
        self._queued_events = 0

    async def record(self, tenant_id: str, events: Sequence[metering_pb2.Event]) -> Outcome:
        """Return once all of `events` are committed or refused.

        Raises ResourceExhausted INGEST_QUEUE_FULL with nothing recorded, and Unavailable, after which events may or
        may not be recorded: send them again.
        """
        if self._queued_events + len(events) > QUEUE_EVENTS:
            raise ResourceExhausted(
                "INGEST_QUEUE_FULL",
                f"{self._queued_events} events are waiting to be recorded; try again",
                retry_after_ms=RETRY_AFTER_MS,
            )
        request = _Request(tenant_id, events)
        self._queued_events += len(events)
        self._queue.put_nowait(request)
        return await request.outcome

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writers; on leaving, they first record what is queued."""
        writers = [asyncio.create_task(self._write()) for _ in range(WRITERS)]
        try:
            yield
        finally:
            self._queue.put_nowait(None)
            await asyncio.gather(*writers)

    async def _write(self) -> None:
        conn = None
        while group := await self._next_group():
            try:
                if conn is None or conn.is_closed():
                    conn = await store.connect_writer(self._dsn)
                outcomes = await self._record(conn, group)
            except Exception as error:  # noqa: BLE001 those who wait for the group are told
                _fail(group, error)
                continue
            for request, outcome in zip(group, outcomes, strict=True):
                if not request.outcome.done():  # its caller may have given up
                    request.outcome.set_result(outcome)
        if conn is not None:
            await conn.close()

    async def _next_group(self) -> list[_Request]:
        """Wait for a request, and take what else is waiting. Empty when the queue has been closed and emptied."""
        group: list[_Request] = []
        events = 0
        request = await self._queue.get()
        while request is not None:
            group.append(request)
            events += len(request.events)
            if events >= GROUP_EVENTS or self._queue.empty():
                break
            request = self._queue.get_nowait()
        else:
            self._queue.put_nowait(None)  # for the other writers, and for our next turn
        self._queued_events -= events
        return group

    async def _record(self, conn: Connection, group: Sequence[_Request]) -> list[Outcome]:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._try_to_record(conn, group)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
                log.warning("recording again", cause=repr(error))
        return await self._try_to_record(conn, group)

    async def _try_to_record(self, conn: Connection, group: Sequence[_Request]) -> list[Outcome]:
        catalogs = await self._catalog.current(conn, {request.tenant_id for request in group})
        now = self._clock()
        columns = EventColumns()
        readings = [
            events_in(request.events, catalogs[request.tenant_id], now, columns, self._late) for request in group
        ]
        tenants = [catalogs[request.tenant_id] for request in group]
        await self._catalog.number(conn, zip(tenants, readings, strict=True), columns)
        by_row = await self._record_columns(conn, columns, now) if columns.keys else None
        return [reading.outcome(columns, by_row) for reading in readings]

    async def _record_columns(self, conn: Connection, columns: EventColumns, now: datetime) -> list[Fate] | None:
        """What became of each row; None when all were accepted."""
        distinct = columns.without_repeats()
        await self._make_partitions(conn, distinct.micros)
        fresh = await store.record_events(conn, distinct, now)
        if len(fresh) == len(columns.keys):
            return None
        standing = await store.content_hashes(conn, [key for key in distinct.keys if key not in fresh])
        return fates(columns, standing)

    async def _make_partitions(self, conn: Connection, micros: Sequence[int]) -> None:
        for month in months_without(micros, self._partitions):
            await store.create_partition(conn, month)
            self._partitions.add(month)


def _fail(group: Sequence[_Request], error: Exception) -> None:
    known = from_postgres_error(error) or error
    for request in group:
        if not request.outcome.done():
            request.outcome.set_exception(known)
