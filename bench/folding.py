"""How far folding is behind, while events arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

SAMPLE_SECONDS = 0.25
CATCH_UP_SECONDS = 300


async def lag_seconds(conn: "asyncpg.Connection[asyncpg.Record]") -> float:
    """The age of the oldest commit that is not folded; 0 when all are."""
    return float(
        await conn.fetchval(
            """
            SELECT coalesce(extract(epoch FROM clock_timestamp() - min(record_time)), 0)
            FROM event_batch WHERE sequence > (SELECT folded FROM rollup_progress)
            """
        )
    )


@asynccontextmanager
async def watched(dsn: str, every_seconds: float = SAMPLE_SECONDS) -> AsyncIterator[list[float]]:
    """Lags in seconds, as they are found."""
    conn = await asyncpg.connect(dsn)
    lags: list[float] = []

    async def watch() -> None:
        while True:
            lags.append(await lag_seconds(conn))
            await asyncio.sleep(every_seconds)

    watcher = asyncio.create_task(watch())
    try:
        yield lags
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await conn.close()


async def caught_up(dsn: str) -> float:
    """Seconds until everything is folded."""
    conn = await asyncpg.connect(dsn)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while True:
                if not await lag_seconds(conn):
                    return loop.time() - began
                await asyncio.sleep(0.05)
    finally:
        await conn.close()
