"""Recording the events of backfills: request by request, beside the queue of live events and never in its way."""

import asyncio
from collections.abc import Sequence

from libs.common.clock import Clock
from libs.common.errors import ResourceExhausted
from libs.common.postgres import Pool
from services.metering import store
from services.metering.domain.events import EventColumns, Fate, Outcome, fates
from services.metering.domain.intake import not_recorded
from services.metering.reading import Reader, recording
from weir.metering.v1 import metering_pb2

AT_ONCE = 2
"""Requests that are recorded at a time; more only take cores from live events."""

WAITING_EVENTS = 50_000
RETRY_AFTER_MS = 500


class Backfilling:
    def __init__(self, pool: Pool, reader: Reader, clock: Clock) -> None:
        self._pool = pool
        self._reader = reader
        self._clock = clock
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting_events = 0

    async def record(self, tenant_id: str, backfill_id: str, events: Sequence[metering_pb2.Event]) -> Outcome:
        """Return once all of `events` are committed or refused.

        Raises NotFound BACKFILL_NOT_FOUND, FailedPrecondition BACKFILL_NOT_OPEN, and ResourceExhausted
        INGEST_QUEUE_FULL.
        """
        if self._waiting_events + len(events) > WAITING_EVENTS:
            raise ResourceExhausted(
                "INGEST_QUEUE_FULL",
                f"{self._waiting_events} events are waiting to be recorded; try again",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self._waiting_events += len(events)
        try:
            async with self._turns:
                return await self._record(tenant_id, backfill_id, events)
        finally:
            self._waiting_events -= len(events)

    async def _record(self, tenant_id: str, backfill_id: str, events: Sequence[metering_pb2.Event]) -> Outcome:
        now = self._clock()
        async with self._pool.acquire() as conn:
            reading, columns = await self._reader.read(conn, tenant_id, events, now)
            distinct = columns.without_repeats()
            async with recording(conn):
                fresh, standing = await store.record_in_backfill(conn, tenant_id, backfill_id, distinct, now)
                outcome = reading.outcome(columns, _fates(columns, fresh, standing))
                if counts := not_recorded([(tenant_id, outcome)]):
                    await store.count_intake(conn, counts, now)
        return outcome


def _fates(columns: EventColumns, fresh: set[bytes], standing: dict[bytes, int]) -> list[Fate] | None:
    return None if len(fresh) == len(columns.keys) else fates(columns, standing)
