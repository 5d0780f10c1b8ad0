"""The worker's sweeps: committed events are folded into buckets, in the order in which they were committed; buckets
that corrections have made wrong are rebuilt; events of reverted backfills leave the log.

The row of progress is the job. Whoever holds its lock folds; buckets and progress change in one transaction, so that a
worker that is killed has done nothing, and another one goes on at once.
"""

from collections.abc import Mapping

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Conn, Pool
from libs.common.worker import Sweep
from services.metering.store import folding, rebuilding, releasing
from services.metering.store.filling import Filled

log = structlog.get_logger()

FOLD_EVENTS = 200_000
"""About as many are folded in one transaction."""

FIRST_FOLD_BATCHES = 10
BUILD_SERIES = 100
REBUILD_SPANS = 200
RELEASE_EVENTS = 5_000


class Folder:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._batches = FIRST_FOLD_BATCHES

    def sweeps(self) -> Mapping[str, Sweep]:
        return {"fold": self.fold}

    async def fold(self) -> bool:
        """Some batches, some buckets to rebuild, and something of a rollup that is younger than its events. True if
        there may be more.
        """
        more = await self._fold()
        more = await self._rebuild() or more
        return await self._build() or more

    async def _fold(self) -> bool:
        async with self._pool.acquire() as conn:
            async with conn.transaction():
                claimed = await folding.claim(conn)
                if claimed is None or claimed[0] == claimed[1]:
                    return False
                folded, head = claimed
                until = min(head, folded + self._batches)
                done = await folding.fold(conn, folded, until)
                await _deepen(conn, done, until)
            self._adapt(until - folded, done.event_count)
            if not await folding.summarize(conn, done.months):
                log.info("index not brought up to date: a partition is being vacuumed")
        return until < head

    async def _rebuild(self) -> bool:
        async with self._pool.acquire() as conn, conn.transaction():
            claimed = await folding.claim(conn)
            due = claimed and await rebuilding.next_due(conn, claimed[0], REBUILD_SPANS)
            if not claimed or not due:
                return False
            done = await rebuilding.rebuild(conn, *due, folded=claimed[0])
            await _deepen(conn, done, claimed[0])
            return True

    async def _build(self) -> bool:
        async with self._pool.acquire() as conn, conn.transaction():
            claimed = await folding.claim(conn)
            due = claimed and await folding.next_to_build(conn, BUILD_SERIES)
            if not claimed or not due:
                return False
            await folding.build(conn, *due, folded=claimed[0])
            return True

    def _adapt(self, batches: int, events: int) -> None:
        """A batch has one event or thousands."""
        if events > FOLD_EVENTS:
            self._batches = max(1, batches * FOLD_EVENTS // events)
        elif batches == self._batches:
            self._batches *= 2


class Releaser:
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def sweeps(self) -> Mapping[str, Sweep]:
        return {"release": self.release}

    async def release(self) -> bool:
        """Some events of a reverted backfill, in one transaction with their keys. True if there may be more."""
        async with self._pool.acquire() as conn, conn.transaction():
            return await releasing.release(conn, self._clock(), RELEASE_EVENTS)


async def _deepen(conn: Conn, done: Filled, folded: int) -> None:
    """A series may need several finer widths at once."""
    for (tenant_no, width), series_nos in done.dense.items():
        deeper = await folding.deepen(conn, tenant_no, series_nos, width + 1, folded)
        await _deepen(conn, deeper, folded)
