"""Releasing: the events of reverted backfills leave the log in chunks, and their transaction_ids become free.

Events that have counted are kept among the withdrawn ones, for questions at the watermarks at which they did.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.events import identity
from services.metering.store.backfills import release_keys
from services.metering.store.visibility import COLUMNS

SERIES = 200
BY_INDEX = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
"""Single events are looked for, whatever the statistics say."""

_FOUND = """
    SELECT place.series_no, subscription_id, event_time, transaction_id
    FROM (
        SELECT * FROM backfill_series WHERE backfill_no = $1 ORDER BY series_no LIMIT $2
    ) AS place JOIN series USING (series_no) CROSS JOIN LATERAL (
        SELECT event_time, transaction_id FROM event
        WHERE event.tenant_no = place.tenant_no AND event.series_no = place.series_no
            AND event_time >= since AND event_time <= until AND sequence = -$1
        ORDER BY event_time LIMIT $3
    ) AS found
    ORDER BY series_no, event_time LIMIT $3
"""
_REMOVE = f"""
    WITH gone AS (
        DELETE FROM event USING unnest($2::int[], $3::timestamptz[], $4::text[])
            AS leaving (series_no, event_time, transaction_id)
        WHERE event.tenant_no = $1 AND event.series_no = leaving.series_no
            AND event.event_time = leaving.event_time AND event.transaction_id = leaving.transaction_id
            AND sequence = -$5::bigint
        RETURNING event.*
    )
    INSERT INTO withdrawn_event ({COLUMNS}, end_sequence)
    SELECT {COLUMNS}, $6::bigint FROM gone WHERE $6 IS NOT NULL
"""  # noqa: S608 constants only


async def release(conn: Conn, now: datetime, most: int) -> bool:
    """At most `most` events of the oldest reverted backfill that still has some. True if there may be more.

    In a transaction. One releases at a time.
    """
    if not await conn.fetchval("SELECT pg_try_advisory_xact_lock('backfill_series'::regclass::oid::int, 0)"):
        return False
    backfill = await conn.fetchrow(
        """
        SELECT backfill_no, tenant_id, tenant_no, revert_sequence FROM backfill
        WHERE state = 'REVERTED' AND release_time IS NULL ORDER BY backfill_no LIMIT 1
        """
    )
    if backfill is None:
        return False
    number = backfill["backfill_no"]
    await conn.execute(BY_INDEX)
    rows = await conn.fetch(_FOUND, number, SERIES, most)
    keys = [identity(backfill["tenant_id"], row["subscription_id"], row["transaction_id"]) for row in rows]
    await release_keys(conn, keys)
    await conn.execute(
        _REMOVE,
        backfill["tenant_no"],
        [row["series_no"] for row in rows],
        [row["event_time"] for row in rows],
        [row["transaction_id"] for row in rows],
        number,
        backfill["revert_sequence"],
    )
    if not await _advance(conn, number, rows, most):
        await conn.execute("UPDATE backfill SET release_time = $2 WHERE backfill_no = $1", number, now)
    return True


async def _advance(conn: Conn, number: int, rows: Sequence[asyncpg.Record], most: int) -> bool:
    """Strike off the series that have no events left; False if there are none but these."""
    if len(rows) == most:
        last = rows[-1]
        await conn.execute(
            "UPDATE backfill_series SET since = $3 WHERE backfill_no = $1 AND series_no = $2",
            number, last["series_no"], last["event_time"],
        )  # fmt: skip
        statement = "DELETE FROM backfill_series WHERE backfill_no = $1 AND series_no < $2"
        await conn.execute(statement, number, last["series_no"])
        return True
    tag = await conn.execute(
        """
        DELETE FROM backfill_series WHERE backfill_no = $1 AND series_no IN (
            SELECT series_no FROM backfill_series WHERE backfill_no = $1 ORDER BY series_no LIMIT $2
        )
        """,
        number, SERIES,
    )  # fmt: skip
    return tag == f"DELETE {SERIES}"
