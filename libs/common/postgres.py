"""Postgres: the pool, and migrations."""

from pathlib import Path
from typing import TypeAlias

import asyncpg
import asyncpg.pool

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
"""What a store function takes. The caller owns the transaction."""

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_MIGRATION_LOCK = 0x7765_6972  # "weir"; one migrator at a time in a database


async def create_pool(dsn: str, *, max_size: int = 10, sessions: bool = True, plan_seconds: int = 300) -> Pool:
    """A pool on `dsn`; a connection found dead is replaced when next used.

    Without `sessions`, nothing that outlasts a transaction (a setting, a lock, a temporary table) may be made on its
    connections. They then go back with no statement that undoes such things, which costs as much as any other.

    A statement is prepared again when it is `plan_seconds` old. A worker that has swept empty tables for a while has
    plans that suit those, and fills them in no time: it should say 1.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        command_timeout=60,
        server_settings={"timezone": "UTC"},
        reset=None if sessions else _as_it_is,
        max_cached_statement_lifetime=plan_seconds,
    )


async def _as_it_is(conn: Conn) -> None:
    """An open transaction is rolled back before this."""


async def migrate(dsn: str, directory: Path) -> list[str]:
    """Apply the `NNNN_name.sql` files of `directory` that this schema lacks, each in a transaction; return their names.

    Forward only. Safe to run from several processes at once. Raises RuntimeError when the schema has a migration that
    `directory` lacks: newer code has been here.
    """
    files = {path.stem: path for path in sorted(directory.glob("[0-9]*.sql"))}
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await conn.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration"
            " (name text PRIMARY KEY, applied_time timestamptz NOT NULL DEFAULT now())"
        )
        applied = {row["name"] for row in await conn.fetch("SELECT name FROM schema_migration")}
        if unknown := sorted(applied - files.keys()):
            raise RuntimeError(f"the database has migrations this code does not know: {', '.join(unknown)}")
        pending = [name for name in files if name not in applied]
        for name in pending:
            async with conn.transaction():
                await conn.execute(files[name].read_text())
                await conn.execute("INSERT INTO schema_migration (name) VALUES ($1)", name)
        return pending
    finally:
        await conn.close()
