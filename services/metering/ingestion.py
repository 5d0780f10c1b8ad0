"""Group commit: whatever is waiting is recorded by one statement, and answered when that is committed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
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
from services.metering.catalog import Catalog, CatalogChangedError
from services.metering.domain.events import EventColumns, Fate, Outcome, fates, months_without
from services.metering.domain.intake import not_recorded
from services.metering.domain.meters import TenantCatalog
from services.metering.events_in import events_in
from weir.metering.v1 import metering_pb2

log = structlog.get_logger()

WRITERS = 2
"""One reads events while Postgres works for the other. More only take cores from Postgres."""

SHARED_EVENTS = 500
"""While one writer is at work, another joins it only for as many: fewer cost less in the next group."""

GROUP_EVENTS = 2_000
"""A group takes no further request once it has as many events. With more, all that callers have under way is with two
writers, one phase after the other, and a core has nothing to do meanwhile."""

QUEUE_EVENTS = 50_000
"""More are refused: they would wait for about a second, and take some 100 MB."""

LOOKING_GROUPS = 30
"""After a group with events that were there before, as many are recorded looking for such events. The others are first
tried without looking, which costs less as long as all are new."""

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
        self._queue: deque[_Request] = deque()
        self._queued_events = 0
        self._writing = 0
        self._looking_groups = LOOKING_GROUPS
        self._closed = False
        self._is_due = asyncio.Event()

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
        self._queue.append(request)
        self._wake()
        return await request.outcome

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writers; on leaving, they first record what is queued."""
        writers = [asyncio.create_task(self._write()) for _ in range(WRITERS)]
        try:
            yield
        finally:
            self._closed = True
            self._wake()
            await asyncio.gather(*writers)

    async def _write(self) -> None:
        conn = None
        while group := await self._next_group():
            self._writing += 1
            try:
                if conn is None or conn.is_closed():
                    conn = await store.connect_writer(self._dsn)
                outcomes = await self._record(conn, group)
            except Exception as error:  # noqa: BLE001 those who wait for the group are told
                _fail(group, error)
            else:
                _answer(group, outcomes)
            self._writing -= 1
            self._wake()
        if conn is not None:
            await conn.close()

    async def _next_group(self) -> list[_Request]:
        """Wait until a group is due, and take what is waiting. Empty when the queue has been closed and emptied."""
        while not self._group_is_due():
            self._is_due.clear()
            await self._is_due.wait()
        group: list[_Request] = []
        events = 0
        while self._queue and events < GROUP_EVENTS:
            request = self._queue.popleft()
            group.append(request)
            events += len(request.events)
        self._queued_events -= events
        return group

    def _group_is_due(self) -> bool:
        return self._closed or self._queued_events >= (SHARED_EVENTS if self._writing else 1)

    def _wake(self) -> None:
        if self._group_is_due():
            self._is_due.set()

    async def _record(self, conn: Connection, group: Sequence[_Request]) -> list[Outcome]:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._try_to_record(conn, group)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.CheckViolationError) as error:
                self._partitions.clear()  # one may have been archived since
                log.warning("recording again", cause=repr(error))
        return await self._try_to_record(conn, group)

    async def _try_to_record(self, conn: Connection, group: Sequence[_Request]) -> list[Outcome]:
        tenant_ids = {request.tenant_id for request in group}
        catalogs = self._catalog.known(tenant_ids) or await self._catalog.current(conn, tenant_ids)
        while True:
            try:
                return await self._record_by(conn, group, catalogs)
            except CatalogChangedError:
                catalogs = await self._catalog.current(conn, tenant_ids)

    async def _record_by(
        self, conn: Connection, group: Sequence[_Request], catalogs: Mapping[str, TenantCatalog]
    ) -> list[Outcome]:
        """Raises CatalogChangedError, with nothing recorded and nobody to be told anything."""
        now = self._clock()
        columns = EventColumns()
        readings = [
            events_in(request.events, catalogs[request.tenant_id], now, columns, self._late) for request in group
        ]
        tenants = [catalogs[request.tenant_id] for request in group]
        await self._catalog.number(conn, zip(tenants, readings, strict=True), columns)
        by_row = await self._record_columns(conn, columns, now, catalogs.values())
        outcomes = [reading.outcome(columns, by_row) for reading in readings]
        if counts := not_recorded(zip((request.tenant_id for request in group), outcomes, strict=True)):
            await store.count_intake(conn, counts, now)
        return outcomes

    async def _record_columns(
        self, conn: Connection, columns: EventColumns, now: datetime, catalogs: Collection[TenantCatalog]
    ) -> list[Fate] | None:
        """What became of each row; None when all were accepted."""
        distinct = columns.without_repeats()
        archived = await self._make_partitions(conn, distinct.micros) if distinct.keys else set()
        tried = distinct.outside(archived)
        known = await self._record_distinct(conn, tried, now, catalogs)
        if not known and tried is columns:
            return None
        untried = set(distinct.keys).difference(tried.keys) if archived else ()
        asked = [*known, *untried]
        return fates(columns, await store.content_hashes(conn, asked) if asked else {}, archived)

    async def _record_distinct(
        self, conn: Connection, columns: EventColumns, now: datetime, catalogs: Collection[TenantCatalog]
    ) -> Sequence[bytes]:
        """The keys that were known."""
        known: Sequence[bytes] | None = None
        if not columns.keys:
            known = () if await store.are_current(conn, catalogs) else None
        elif self._looking_groups:
            known = await store.record_events(conn, columns, now, catalogs)
            self._looking_groups = LOOKING_GROUPS if known else self._looking_groups - 1
        else:
            try:
                known = await store.record_events(conn, columns, now, catalogs, all_new=True)
            except asyncpg.UniqueViolationError:
                self._looking_groups = LOOKING_GROUPS
                return await self._record_distinct(conn, columns, now, catalogs)
        if known is None:
            raise CatalogChangedError
        return known

    async def _make_partitions(self, conn: Connection, micros: Sequence[int]) -> set[date]:
        """The months among those of these instants that have none, because they are archived."""
        without = months_without(micros, self._partitions)
        archived = {month for month in without if not await store.create_partition(conn, month)}
        self._partitions.update(set(without) - archived)
        return archived


def _answer(group: Sequence[_Request], outcomes: Sequence[Outcome]) -> None:
    for request, outcome in zip(group, outcomes, strict=True):
        if not request.outcome.done():  # its caller may have given up
            request.outcome.set_result(outcome)


def _fail(group: Sequence[_Request], error: Exception) -> None:
    known = from_postgres_error(error) or error
    for request in group:
        if not request.outcome.done():
            request.outcome.set_exception(known)
