"""The worker's sweep for what is over: it leaves the database after a while."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Pool
from libs.common.worker import Sweep
from services.metering.store import purging

log = structlog.get_logger()

EVERY = timedelta(minutes=10)
MESSAGES = 10_000
ALERTS = 200


class Purger:
    """Keeps delivered messages, and windows of alerts that are over, for `keep_days`; for ever when that is 0."""

    def __init__(self, pool: Pool, clock: Clock, keep_days: int) -> None:
        self._pool = pool
        self._clock = clock
        self._kept = timedelta(days=keep_days)
        self._due: datetime | None = None

    def sweeps(self) -> Mapping[str, Sweep]:
        return {"purge": self.purge} if self._kept else {}

    async def purge(self) -> bool:
        """Some of what is over, every ten minutes. True if there may be more."""
        now = self._clock()
        if self._due is not None and now < self._due:
            return False
        async with self._pool.acquire() as conn:
            messages = await purging.purge_outbox(conn, now - self._kept, MESSAGES)
            async with conn.transaction():
                alerts = await purging.purge_windows(conn, now - self._kept, ALERTS)
        if messages or alerts:
            log.info("purged", messages=messages, alerts=alerts)
        if messages == MESSAGES or alerts == ALERTS:
            return True
        self._due = now + EVERY
        return False
