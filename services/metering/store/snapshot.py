"""Snapshots in which events stay where they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.postgres import Conn


@asynccontextmanager
async def snapshot(conn: Conn) -> AsyncIterator[None]:
    """Read-only, one snapshot for all statements. A month's partition is dropped before or after, never meanwhile: the
    lock comes before the snapshot, or a month could be gone that the snapshot takes to be there.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        await conn.execute("LOCK TABLE ONLY event IN ACCESS SHARE MODE")
        yield
