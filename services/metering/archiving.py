"""The worker's sweep for old events: months are written to files, verified, and dropped; or loaded back.

The rows of `archived_month` and `archive_file` are the job. A file counts once its row is there, which is after it was
read back; until the month is dropped, in one transaction, its events are where they were. So a worker that is killed
has at worst left a file that nobody knows, which is written again. One worker archives at a time.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Conn, Pool
from libs.common.worker import Sweep
from services.metering.archive_files import EventFile, Storage, read_events
from services.metering.domain.archive import ArchivedEvent, Digest, State, newest_due
from services.metering.store import archiving, number_series
from services.metering.store.archiving import File
from services.metering.store.folding import summarize

log = structlog.get_logger()

FILE_EVENTS = 200_000
PARTITIONS_EVERY = timedelta(hours=1)
LOOK_EVERY = timedelta(minutes=1)
"""So often it is looked for months that are due; after a failure it is waited as long."""


class FileDiffers(Exception):
    """A file does not hold what was written to it."""


class Archivist:
    """Without `storage` or `retention_months` (0) nothing is archived; what has been can be restored."""

    def __init__(self, pool: Pool, clock: Clock, storage: Storage | None, retention_months: int) -> None:
        self._pool = pool
        self._clock = clock
        self._storage = storage
        self._retention_months = retention_months
        self._next_look: datetime | None = None
        self._next_partitions: datetime | None = None

    def sweeps(self) -> Mapping[str, Sweep]:
        sweeps: dict[str, Sweep] = {"partitions": self.make_partitions}
        return sweeps | ({"archive": self.archive} if self._storage else {})

    async def make_partitions(self) -> bool:
        now = self._clock()
        if self._next_partitions is None or now >= self._next_partitions:
            async with self._pool.acquire() as conn:
                await archiving.create_partitions(conn, now)
            self._next_partitions = now + PARTITIONS_EVERY
        return False

    async def archive(self) -> bool:
        """One step: a file, or a look at what is due. True if there may be more."""
        assert self._storage is not None
        async with self._pool.acquire() as conn:
            if not await archiving.claim(conn):
                return False
            now = self._clock()
            looks = self._next_look is None or now >= self._next_look
            try:
                if restoring := await archiving.find(conn, State.RESTORING):
                    return await self._restore(conn, self._storage, restoring[0])
                if not looks:
                    return False
                if writing := await archiving.find(conn, State.WRITING):
                    return await self._write(conn, self._storage, *writing)
                return await self._look(conn, now)
            except Exception:
                self._next_look = now + LOOK_EVERY
                raise

    async def _look(self, conn: Conn, now: datetime) -> bool:
        free = []
        if self._retention_months:
            free = await archiving.mark_due(conn, newest_due(now, self._retention_months), now)
        if free:
            await archiving.begin(conn, free[0])
            log.info("archiving", month=f"{free[0]:%Y-%m}")
            return True
        self._next_look = now + LOOK_EVERY
        return False

    async def _write(self, conn: Conn, storage: Storage, month: date, watermark: int) -> bool:
        """The next file of the month; after the last one, the drop."""
        last = await archiving.last_file(conn, month)
        number = last.file_no + 1 if last else 1
        if last and await self._write_file(conn, storage, month, watermark, number, last.tenant_no, last):
            return True
        tenant = await archiving.next_tenant(conn, month, last.tenant_no if last else 0)
        if tenant and await self._write_file(conn, storage, month, watermark, number, tenant[0], None):
            return True
        return await self._drop(conn, month, watermark)

    async def _write_file(
        self, conn: Conn, storage: Storage, month: date, watermark: int, number: int, tenant_no: int, last: File | None
    ) -> bool:
        """False where the tenant has no more events."""
        tenant_id = await archiving.tenant_id(conn, tenant_no)
        name = f"{month:%Y-%m}/{watermark}/{tenant_id}/{number:06}.parquet"
        digest, place = Digest(), None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "events.parquet"
            with EventFile(path, tenant_id) as file:
                async with conn.transaction():
                    after = last.last if last else None
                    async for events, until in archiving.events(conn, month, tenant_no, watermark, after, FILE_EVENTS):
                        place = until
                        await asyncio.to_thread(file.write, events)
                        await asyncio.to_thread(digest.add, events)
            if place is None:
                return False
            location = await asyncio.to_thread(storage.put, path, name)
        written = File(number, tenant_no, location, digest.count, digest.value, place)
        async with _verified(storage, written) as chunks:
            async for _ in chunks:
                pass
        await archiving.insert_file(conn, month, written)
        log.info("file archived", location=location, events=digest.count)
        return True

    async def _drop(self, conn: Conn, month: date, watermark: int) -> bool:
        is_whole = await archiving.count_written(conn, month)
        dropped = await archiving.drop(conn, month, watermark, self._clock()) if is_whole else False
        if dropped is False:
            log.warning("month has changed while it was archived, written again", month=f"{month:%Y-%m}")
            await archiving.restart(conn, month)
        if not dropped:
            self._next_look = self._clock() + LOOK_EVERY
            return False
        log.info("month archived", month=f"{month:%Y-%m}")
        return True

    async def _restore(self, conn: Conn, storage: Storage, month: date) -> bool:
        """The next file of the month; after the last one, it is attached."""
        file = await archiving.file_to_load(conn, month)
        if file is None:
            await archiving.attach(conn, month)
            await summarize(conn, [datetime(month.year, month.month, 1, tzinfo=self._clock().tzinfo)])
            log.info("month restored", month=f"{month:%Y-%m}")
            return True
        tenant_id = await archiving.tenant_id(conn, file.tenant_no)
        async with _verified(storage, file) as chunks, conn.transaction():
            await archiving.make_restored(conn, month)
            async for events in chunks:
                numbers = await number_series(conn, {(tenant_id, each.subscription_id, each.code) for each in events})
                rows = [(each, numbers[tenant_id, each.subscription_id, each.code]) for each in events]
                await archiving.load(conn, month, file.tenant_no, rows)
            await archiving.set_loaded(conn, month, file.file_no)
        log.info("file restored", location=file.location, events=file.event_count)
        return True


@asynccontextmanager
async def _verified(storage: Storage, file: File) -> AsyncIterator[AsyncIterator[list[ArchivedEvent]]]:
    """The events of a file, some at a time; raises FileDiffers at their end unless they are those written."""

    async def chunks() -> AsyncIterator[list[ArchivedEvent]]:
        digest = Digest()
        reading = read_events(stream)
        while (events := await asyncio.to_thread(next, reading, None)) is not None:
            await asyncio.to_thread(digest.add, events)
            yield events
        if (digest.count, digest.value) != (file.event_count, file.digest):
            raise FileDiffers(f"{file.location} holds other events than were written to it")

    stream = await asyncio.to_thread(storage.open, file.location)
    with stream:
        yield chunks()
