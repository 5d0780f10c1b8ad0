"""Archiving: what the worker does to a month's partition. The names of partitions are made of dates alone."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.archive import ArchivedEvent, Obstacle, State, bounds
from services.metering.domain.lanes import KEPT_FOR
from services.metering.store.events import create_partition
from services.metering.store.usage import read_head

STATEMENT_SECONDS = 280
DROP_LOCK_MS = 200
"""While the lock is waited for, nobody else gets at any event."""

EVENTS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Place:
    """Of an event among those of its tenant."""

    series_no: int
    event_time: datetime
    transaction_id: str


@dataclass(frozen=True, slots=True)
class File:
    """A file of a month; `last` is its last event."""

    file_no: int
    tenant_no: int
    location: str
    event_count: int
    digest: bytes
    last: Place


async def claim(conn: Conn) -> bool:
    """Whether the caller is the one that archives, until the connection goes back to its pool."""
    return bool(await conn.fetchval("SELECT pg_try_advisory_lock('archived_month'::regclass::oid::int, 0)"))


async def find(conn: Conn, state: State) -> tuple[date, int] | None:
    """A month in that state and its watermark."""
    row = await conn.fetchrow(
        "SELECT month, coalesce(watermark, 0) FROM archived_month WHERE state = $1 ORDER BY month LIMIT 1", state
    )
    return (row[0], row[1]) if row else None


async def mark_due(conn: Conn, newest: date, now: datetime) -> list[date]:
    """Of all months that are due, those that can be archived; the obstacles of the others are noted."""
    await conn.execute(
        "UPDATE archived_month SET state = $1, hold_end_time = NULL WHERE state = $2 AND hold_end_time <= $3",
        State.DUE, State.RESTORED, now,
    )  # fmt: skip
    await conn.execute(
        """
        INSERT INTO archived_month (month, state, obstacles)
        SELECT to_date(substr(relname, 7), 'YYYY_MM'), $2, '{}'
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'event'::regclass AND to_date(substr(relname, 7), 'YYYY_MM') <= $1
        ON CONFLICT DO NOTHING
        """,
        newest, State.DUE,
    )  # fmt: skip
    free = []
    for (month,) in await conn.fetch("SELECT month FROM archived_month WHERE state = $1 ORDER BY month", State.DUE):
        found = await obstacles(conn, month)
        await conn.execute(
            "UPDATE archived_month SET obstacles = $2 WHERE month = $1 AND state = $3 AND obstacles <> $2",
            month, found, State.DUE,
        )  # fmt: skip
        if not found:
            free.append(month)
    return free


async def obstacles(conn: Conn, month: date) -> list[Obstacle]:
    """Everything that keeps the month's events in the database."""
    row = await conn.fetchrow(
        f"""
        WITH RECURSIVE found AS (
            (SELECT tenant_no FROM {_partition(month)} ORDER BY tenant_no LIMIT 1)
            UNION ALL
            SELECT (
                SELECT tenant_no FROM {_partition(month)} AS event
                WHERE event.tenant_no > found.tenant_no ORDER BY tenant_no LIMIT 1
            ) FROM found WHERE tenant_no IS NOT NULL
        ), tenants AS MATERIALIZED (SELECT tenant_id, tenant_no FROM found JOIN tenant USING (tenant_no))
        SELECT
            EXISTS (SELECT FROM {_partition(month)}
                WHERE sequence > (SELECT least(folded, sought) FROM rollup_progress CROSS JOIN alert_progress))
            OR EXISTS (SELECT FROM rollup WHERE built_series_no < 2147483647) AS not_folded,
            EXISTS (
                SELECT FROM tenants LEFT JOIN billed USING (tenant_id)
                WHERE coalesce(billed_end_time, '-infinity') < $1
            ) AS not_billed,
            EXISTS (
                SELECT FROM tenants JOIN series USING (tenant_id) JOIN (
                    SELECT tenant_id, event_code FROM meter WHERE recurring
                    UNION
                    SELECT tenant_id, meter_version.event_code
                    FROM meter_version JOIN meter USING (tenant_id, code) WHERE recurring
                    UNION
                    SELECT alert.tenant_id, event_code
                    FROM alert JOIN meter ON meter.tenant_id = alert.tenant_id AND meter.code = meter_code
                    WHERE window_kind = 'lifetime' AND delete_time IS NULL
                        AND (alert.filters <> '[]' OR aggregation <> ALL($2))
                ) AS meter USING (tenant_id, event_code)
                WHERE EXISTS (
                    SELECT FROM {_partition(month)} AS event
                    WHERE event.tenant_no = tenants.tenant_no AND event.series_no = series.series_no
                )
            ) AS needed,
            EXISTS (
                SELECT FROM backfill_series JOIN backfill USING (backfill_no)
                WHERE since < $1 AND until >= $3 AND state <> 'CLOSED'
            ) OR EXISTS (
                SELECT FROM corrected_series JOIN correction USING (correction_no)
                WHERE since < $1 AND until >= $3 AND (NOT is_rebuilt OR correction.sequence > (
                    SELECT least(folded, sought) FROM rollup_progress CROSS JOIN alert_progress
                ))
            ) AS corrected
        """,  # noqa: S608 a partition's name
        bounds(month)[1], list(KEPT_FOR), bounds(month)[0], timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    assert row is not None
    return [obstacle for obstacle in Obstacle if row[obstacle.lower()]]


async def begin(conn: Conn, month: date) -> None:
    """Start to write a month, or keep the files of one that was restored and has not changed since."""
    async with conn.transaction():
        watermark = await read_head(conn)
        before = await conn.fetchval(
            "SELECT watermark FROM archived_month WHERE month = $1 AND archive_time IS NOT NULL", month
        )
        if before is not None and await _is_as_written(conn, month, before):
            watermark = before
        else:
            await conn.execute("DELETE FROM archive_file WHERE month = $1", month)
        await conn.execute(
            "UPDATE archived_month SET state = $3, watermark = $2 WHERE month = $1 AND state = $4",
            month, watermark, State.WRITING, State.DUE,
        )  # fmt: skip


async def restart(conn: Conn, month: date) -> None:
    """Write the month again from its beginning: it is not what was written any more."""
    async with conn.transaction():
        await conn.execute("DELETE FROM archive_file WHERE month = $1", month)
        await conn.execute(
            "UPDATE archived_month SET state = $2 WHERE month = $1 AND state = $3", month, State.DUE, State.WRITING
        )


async def last_file(conn: Conn, month: date) -> File | None:
    row = await conn.fetchrow("SELECT * FROM archive_file WHERE month = $1 ORDER BY file_no DESC LIMIT 1", month)
    return _file(row) if row else None


async def next_tenant(conn: Conn, month: date, after: int) -> tuple[int, str] | None:
    """Number and id of the next tenant with events in the month."""
    row = await conn.fetchrow(
        f"""
        SELECT tenant_no, tenant_id FROM tenant
        WHERE tenant_no = (SELECT min(tenant_no) FROM {_partition(month)} WHERE tenant_no > $1)
        """,  # noqa: S608 a partition's name
        after, timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    return (row[0], row[1]) if row else None


async def events(
    conn: Conn, month: date, tenant_no: int, watermark: int, after: Place | None, most: int
) -> AsyncIterator[tuple[list[ArchivedEvent], Place]]:
    """Of a tenant in a month after a place; some at a time, with the place of the last. In a transaction."""
    start = bounds(month)[0]
    cursor = await conn.cursor(
        f"""
        SELECT subscription_id, event_code, event_time, transaction_id, properties, amount, sequence, record_time,
            series_no
        FROM (
            SELECT * FROM {_partition(month)}
            WHERE tenant_no = $1 AND sequence <= $2
                AND (series_no, event_time) >= ($3, $4)
                AND (series_no, event_time, transaction_id COLLATE "C") > ($3, $4, $5)
            ORDER BY series_no, event_time, transaction_id COLLATE "C"
            LIMIT $6
        ) AS event JOIN series USING (series_no) LEFT JOIN event_batch USING (sequence)
        ORDER BY series_no, event_time, transaction_id COLLATE "C"
        """,  # noqa: S608 a partition's name
        tenant_no, watermark,
        *((after.series_no, after.event_time, after.transaction_id) if after else (0, start, "")), most,
        timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    while rows := await cursor.fetch(EVENTS_AT_ONCE):
        last = rows[-1]
        place = Place(last["series_no"], last["event_time"], last["transaction_id"])
        yield [ArchivedEvent(*tuple(row)[:-1]) for row in rows], place


async def insert_file(conn: Conn, month: date, file: File) -> None:
    await conn.execute(
        """
        INSERT INTO archive_file (month, file_no, tenant_no, location, event_count, digest,
            last_series_no, last_event_time, last_transaction_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        month, file.file_no, file.tenant_no, file.location, file.event_count, file.digest,
        file.last.series_no, file.last.event_time, file.last.transaction_id,
    )  # fmt: skip


async def count_written(conn: Conn, month: date) -> bool:
    """Count the month's events by tenant and day of reception, and by backfill; whether the files hold as many."""
    async with conn.transaction():
        await conn.execute("DELETE FROM archived_intake WHERE month = $1", month)
        await conn.execute("DELETE FROM archived_backfill WHERE month = $1", month)
        await conn.execute(
            f"""
            INSERT INTO archived_intake (month, tenant_id, day, event_count)
            SELECT $1, tenant_id, (record_time AT TIME ZONE 'UTC')::date, count(*)
            FROM {_partition(month)} JOIN event_batch USING (sequence) JOIN tenant USING (tenant_no)
            WHERE sequence NOT IN (SELECT sequence FROM correction)
            GROUP BY 2, 3
            """,  # noqa: S608 a partition's name
            month, timeout=STATEMENT_SECONDS,
        )  # fmt: skip
        await conn.execute(
            f"""
            INSERT INTO archived_backfill (month, backfill_no, event_count)
            SELECT $1, -sequence, count(*) FROM {_partition(month)} WHERE sequence < 0 GROUP BY 2
            """,  # noqa: S608 a partition's name
            month, timeout=STATEMENT_SECONDS,
        )  # fmt: skip
        return await _is_as_many(conn, month)


async def drop(conn: Conn, month: date, watermark: int, now: datetime) -> bool | None:
    """Drop the partition of a month that is written; False if it has changed since or has become needed.

    None if somebody reads events just now. In the same transaction the month is ARCHIVED: whoever reads it in a
    snapshot that holds the lock on `event` sees either all its events or that they are away.
    """
    try:
        async with conn.transaction():
            await conn.execute(f"SET LOCAL lock_timeout = {DROP_LOCK_MS}; SET LOCAL enable_seqscan = off")
            await conn.execute("LOCK TABLE rollup IN SHARE MODE; LOCK TABLE ONLY event IN ACCESS EXCLUSIVE MODE")
            if await _has_changed(conn, month, watermark) or await obstacles(conn, month):
                return False
            await conn.execute(
                """
                UPDATE archived_month SET state = $2, archive_time = $3,
                    last_rollup_no = coalesce(last_rollup_no, (SELECT max(rollup_no) FROM rollup), 0)
                WHERE month = $1 AND state = $4
                """,
                month, State.ARCHIVED, now, State.WRITING,
            )  # fmt: skip
            await conn.execute(f"DROP TABLE {_partition(month)}")
    except asyncpg.LockNotAvailableError:
        return None
    return True


async def create_partitions(conn: Conn, now: datetime) -> None:
    """Those of this month and of the next one, before events need them."""
    month = now.astimezone(UTC).date().replace(day=1)
    for each in month, bounds(month)[1].date():
        await create_partition(conn, each)


async def file_to_load(conn: Conn, month: date) -> File | None:
    """The next one of a month that is being restored."""
    row = await conn.fetchrow(
        "SELECT * FROM archive_file WHERE month = $1 AND NOT is_loaded ORDER BY file_no LIMIT 1", month
    )
    return _file(row) if row else None


async def tenant_id(conn: Conn, tenant_no: int) -> str:
    return str(await conn.fetchval("SELECT tenant_id FROM tenant WHERE tenant_no = $1", tenant_no))


async def make_restored(conn: Conn, month: date) -> None:
    """The table that becomes the month's partition once everything is loaded."""
    await conn.execute(f"CREATE TABLE IF NOT EXISTS {_restored(month)} (LIKE event INCLUDING ALL)")


async def load(conn: Conn, month: date, tenant_no: int, rows: Sequence[tuple[ArchivedEvent, int]]) -> None:
    """Events with the numbers of their series."""
    await conn.copy_records_to_table(
        _restored(month),
        columns=["event_time", "sequence", "tenant_no", "series_no", "transaction_id", "properties", "amount"],
        records=[
            (event.timestamp, event.sequence, tenant_no, number, event.transaction_id, event.properties, event.amount)
            for event, number in rows
        ],
        timeout=STATEMENT_SECONDS,
    )


async def set_loaded(conn: Conn, month: date, file_no: int) -> None:
    await conn.execute("UPDATE archive_file SET is_loaded = true WHERE month = $1 AND file_no = $2", month, file_no)


async def attach(conn: Conn, month: date) -> None:
    """The month is back, with every event that the files hold."""
    start, end = bounds(month)
    async with conn.transaction():
        await make_restored(conn, month)
        await conn.execute(f"ALTER TABLE {_restored(month)} RENAME TO {_partition(month)}")
        await conn.execute(
            f"ALTER TABLE event ATTACH PARTITION {_partition(month)}"
            f" FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')",
            timeout=STATEMENT_SECONDS,
        )
        await conn.execute("UPDATE archive_file SET is_loaded = false WHERE month = $1", month)
        await conn.execute(
            "UPDATE archived_month SET state = $2 WHERE month = $1 AND state = $3",
            month, State.RESTORED, State.RESTORING,
        )  # fmt: skip
    await conn.execute(f"ANALYZE {_partition(month)}", timeout=STATEMENT_SECONDS)


async def _is_as_written(conn: Conn, month: date, watermark: int) -> bool:
    return await _is_as_many(conn, month) and not await _has_changed(conn, month, watermark)


async def _is_as_many(conn: Conn, month: date) -> bool:
    there = await conn.fetchval(f"SELECT count(*) FROM {_partition(month)}", timeout=STATEMENT_SECONDS)  # noqa: S608
    written = await conn.fetchval("SELECT sum(event_count)::bigint FROM archive_file WHERE month = $1", month)
    return bool(there == (written or 0))


async def _has_changed(conn: Conn, month: date, watermark: int) -> bool:
    """Whether events have come or gone since `watermark`: also by backfills, whose events are below every watermark."""
    found = await conn.fetchval(
        f"""
        SELECT EXISTS (SELECT FROM {_partition(month)} WHERE sequence > $1) OR EXISTS (
            SELECT FROM withdrawn_event WHERE event_time >= $2 AND event_time < $3 AND end_sequence > $1
        ) OR EXISTS (
            SELECT FROM backfill_series JOIN backfill USING (backfill_no)
            WHERE since < $3 AND until >= $2 AND (state <> 'CLOSED' OR close_sequence > $1)
        )
        """,  # noqa: S608 a partition's name
        watermark, *bounds(month), timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    return bool(found)


def _partition(month: date) -> str:
    return f"event_{month:%Y_%m}"


def _restored(month: date) -> str:
    return f"restored_{month:%Y_%m}"


def _file(row: asyncpg.Record) -> File:
    return File(
        row["file_no"], row["tenant_no"], row["location"], row["event_count"], row["digest"],
        Place(row["last_series_no"], row["last_event_time"], row["last_transaction_id"]),
    )  # fmt: skip
