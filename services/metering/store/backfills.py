"""Backfills: opening, recording into, closing and reverting them. `releasing` has what comes after."""

from datetime import datetime
from typing import Any

import asyncpg

from libs.common.errors import FailedPrecondition, NotFound
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.metering.domain.archive import AWAY
from services.metering.domain.backfills import Backfill, State, require_not_reverted, require_open
from services.metering.domain.events import EventColumns, identity
from services.metering.store import corrections
from services.metering.store.corrections import Request

_BACKFILLS = """
    SELECT backfill_id, state, reason, create_time, close_time, close_sequence, revert_time, revert_sequence,
        release_time, coalesce(backfill.event_count, (
            SELECT sum(event_count) FROM backfill_series WHERE backfill_series.backfill_no = backfill.backfill_no
        ), 0)::bigint AS event_count
    FROM backfill
"""
_CORRECTED = """
    INSERT INTO corrected_series (correction_no, tenant_no, series_no, since, until)
    SELECT $1, tenant_no, series_no, since, until FROM backfill_series WHERE backfill_no = $2
"""


async def open_backfill(
    conn: Conn, tenant_id: str, request: Request, backfill_id: str, reason: str, now: datetime
) -> Backfill:
    """In a transaction. The one opened before, when the request is a repeat."""
    tenant_no = await corrections.claim(conn, tenant_id)
    if await corrections.is_repeat(conn, tenant_id, request):
        known = await conn.fetchval(
            "SELECT backfill_id FROM correction_request WHERE tenant_id = $1 AND request_id = $2",
            tenant_id, request.request_id,
        )  # fmt: skip
        return await find_backfill(conn, tenant_id, known)
    await conn.execute(
        "INSERT INTO backfill (tenant_id, backfill_id, tenant_no, reason, create_time) VALUES ($1, $2, $3, $4, $5)",
        tenant_id, backfill_id, tenant_no, reason, now,
    )  # fmt: skip
    await corrections.note(conn, tenant_id, request, backfill_id)
    return await find_backfill(conn, tenant_id, backfill_id)


async def find_backfill(conn: Conn, tenant_id: str, backfill_id: str) -> Backfill:
    """Raises NotFound BACKFILL_NOT_FOUND."""
    row = await conn.fetchrow(f"{_BACKFILLS} WHERE tenant_id = $1 AND backfill_id = $2", tenant_id, backfill_id)
    if row is None:
        raise _not_found(backfill_id)
    return _backfill(row)


async def list_backfills(conn: Conn, tenant_id: str, state: State | None, page: Page) -> list[Backfill]:
    """By id; one more than the page's size, if there are as many."""
    rows = await conn.fetch(
        f"""
        {_BACKFILLS}
        WHERE tenant_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR backfill_id > $3)
        ORDER BY backfill_id LIMIT $4
        """,
        tenant_id, state, page.after, page.size + 1,
    )  # fmt: skip
    return [_backfill(row) for row in rows]


async def record_in_backfill(
    conn: Conn, tenant_id: str, backfill_id: str, columns: EventColumns, now: datetime
) -> tuple[set[bytes], dict[bytes, int]]:
    """Record those events whose keys are new, and count them: these keys, and the content hashes of the others.

    In a transaction, which keeps the backfill open. No key may stand twice in `columns`; keys are inserted in order, so
    that two writers never wait for each other in a circle. Raises NotFound BACKFILL_NOT_FOUND and FailedPrecondition
    BACKFILL_NOT_OPEN.
    """
    row = await conn.fetchrow(
        "SELECT backfill_no, state FROM backfill WHERE tenant_id = $1 AND backfill_id = $2 FOR SHARE",
        tenant_id, backfill_id,
    )  # fmt: skip
    if row is None:
        raise _not_found(backfill_id)
    require_open(backfill_id, State(row["state"]))
    rows = await conn.fetch(
        """
        WITH fresh AS (
            INSERT INTO event_key (key, content_hash)
            SELECT encode(key, 'hex')::uuid, content_hash
            FROM unnest($2::bytea[], $3::bigint[]) AS t (key, content_hash)
            ORDER BY 1
            ON CONFLICT DO NOTHING
            RETURNING uuid_send(key) AS key
        ), recorded AS (
            INSERT INTO event (event_time, sequence, tenant_no, series_no, transaction_id, properties, amount)
            SELECT timestamptz 'epoch' + micros * interval '1 microsecond', -$1::bigint, tenant_no, series_no,
                transaction_id, properties::jsonb, amount::numeric
            FROM unnest($2::bytea[], $4::int[], $5::int[], $6::bigint[], $7::text[], $8::text[], $9::text[])
                AS t (key, tenant_no, series_no, micros, transaction_id, properties, amount)
            JOIN fresh USING (key)
            ORDER BY tenant_no, series_no, micros
            RETURNING tenant_no, series_no, event_time
        ), noted AS (
            INSERT INTO backfill_series AS old (backfill_no, tenant_no, series_no, since, until, event_count)
            SELECT $1, tenant_no, series_no, min(event_time), max(event_time), count(*) FROM recorded GROUP BY 2, 3
            ORDER BY series_no
            ON CONFLICT (backfill_no, series_no) DO UPDATE SET
                since = least(old.since, excluded.since),
                until = greatest(old.until, excluded.until),
                event_count = old.event_count + excluded.event_count
        ), counted AS (
            INSERT INTO backfill_intake AS old (backfill_no, day, tenant_id, event_count)
            SELECT $1, ($10::timestamptz AT TIME ZONE 'UTC')::date, $11, count(*) FROM fresh HAVING count(*) > 0
            ON CONFLICT (backfill_no, day) DO UPDATE SET event_count = old.event_count + excluded.event_count
        )
        SELECT key FROM fresh
        """,
        row["backfill_no"], columns.keys, columns.content_hashes, columns.tenant_nos, columns.series_nos,
        columns.micros, columns.transaction_ids, columns.properties, columns.amounts, now, tenant_id,
    )  # fmt: skip
    fresh = {each["key"] for each in rows}
    standing = await conn.fetch(
        """
        SELECT uuid_send(key) AS key, content_hash FROM event_key
        WHERE key = ANY(SELECT encode(key, 'hex')::uuid FROM unnest($1::bytea[]) AS key)
        """,
        [key for key in columns.keys if key not in fresh],
    )
    return fresh, {each["key"]: each["content_hash"] for each in standing}


async def close_backfill(conn: Conn, tenant_id: str, request: Request, backfill_id: str, now: datetime) -> Backfill:
    """In a transaction. However many events there are, who records waits for a few rows only.

    Raises NotFound BACKFILL_NOT_FOUND and FailedPrecondition BACKFILL_NOT_OPEN.
    """
    await corrections.claim(conn, tenant_id)
    if not await corrections.is_repeat(conn, tenant_id, request):
        backfill_no, state, _ = await _lock(conn, tenant_id, backfill_id)
        require_open(backfill_id, state)
        await corrections.note(conn, tenant_id, request, backfill_id)
        correction_no = await corrections.next_number(conn)
        await conn.execute(_CORRECTED, correction_no, backfill_no)
        event_count = await _event_count(conn, backfill_no)
        sequence = await corrections.take_turn(conn, tenant_id, correction_no, now)
        await conn.execute(
            """
            UPDATE backfill SET state = 'CLOSED', close_time = $3, close_sequence = $4, event_count = $5
            WHERE tenant_id = $1 AND backfill_id = $2 AND state = 'OPEN'
            """,
            tenant_id, backfill_id, now, sequence, event_count,
        )  # fmt: skip
    return await find_backfill(conn, tenant_id, backfill_id)


async def revert_backfill(conn: Conn, tenant_id: str, request: Request, backfill_id: str, now: datetime) -> Backfill:
    """In a transaction. Its events are left for `releasing`.

    Raises NotFound BACKFILL_NOT_FOUND, and FailedPrecondition BACKFILL_REVERTED, BACKFILL_AMENDED or MONTH_ARCHIVED.
    """
    await corrections.claim(conn, tenant_id)
    if not await corrections.is_repeat(conn, tenant_id, request):
        backfill_no, state, event_count = await _lock(conn, tenant_id, backfill_id)
        require_not_reverted(backfill_id, state)
        await corrections.note(conn, tenant_id, request, backfill_id)
        sequence = None
        if state is State.CLOSED:
            await _require_unamended(conn, tenant_id, backfill_id, backfill_no)
            await _require_there(conn, backfill_id, backfill_no)
            await _release_deprecated(conn, tenant_id, backfill_no)
            correction_no = await corrections.next_number(conn)
            await conn.execute(_CORRECTED, correction_no, backfill_no)
            sequence = await corrections.take_turn(conn, tenant_id, correction_no, now)
        else:
            event_count = await _event_count(conn, backfill_no)
        await conn.execute(
            """
            UPDATE backfill SET state = 'REVERTED', revert_time = $3, revert_sequence = $4, event_count = $5
            WHERE tenant_id = $1 AND backfill_id = $2 AND state = $6
            """,
            tenant_id, backfill_id, now, sequence, event_count, state,
        )  # fmt: skip
    return await find_backfill(conn, tenant_id, backfill_id)


async def _lock(conn: Conn, tenant_id: str, backfill_id: str) -> tuple[int, State, int | None]:
    """Number, state, and the count of a backfill that is no longer open; waits for those who record into it."""
    row = await conn.fetchrow(
        "SELECT backfill_no, state, event_count FROM backfill WHERE tenant_id = $1 AND backfill_id = $2 FOR UPDATE",
        tenant_id, backfill_id,
    )  # fmt: skip
    if row is None:
        raise _not_found(backfill_id)
    return row["backfill_no"], State(row["state"]), row["event_count"]


async def _event_count(conn: Conn, backfill_no: int) -> int:
    statement = "SELECT coalesce(sum(event_count), 0)::bigint FROM backfill_series WHERE backfill_no = $1"
    return int(await conn.fetchval(statement, backfill_no))


async def _require_unamended(conn: Conn, tenant_id: str, backfill_id: str, backfill_no: int) -> None:
    """A replacement counts by itself: reverting the backfill would leave it."""
    standing = await conn.fetchval(
        """
        SELECT count(*) FROM amendment
        WHERE tenant_id = $1 AND backfill_no = $2 AND new_code IS NOT NULL AND NOT EXISTS (
            SELECT FROM amendment AS later
            WHERE later.tenant_id = $1 AND later.backfill_no = $2 AND later.sequence > amendment.sequence
                AND later.subscription_id = amendment.subscription_id
                AND later.transaction_id = amendment.transaction_id
        )
        """,
        tenant_id, backfill_no,
    )  # fmt: skip
    if standing:
        raise FailedPrecondition(
            "BACKFILL_AMENDED",
            f"{standing} events of backfill {backfill_id} were replaced, and their replacements stand",
            backfill_id=backfill_id,
        )


async def _require_there(conn: Conn, backfill_id: str, backfill_no: int) -> None:
    """That none of its events is in files only: buckets could not be made again. No month is archived meanwhile."""
    await conn.execute("LOCK TABLE ONLY event IN ACCESS SHARE MODE")
    month = await conn.fetchval(
        """
        SELECT min(month) FROM archived_backfill JOIN archived_month USING (month)
        WHERE backfill_no = $1 AND state = ANY($2)
        """,
        backfill_no, list(AWAY),
    )  # fmt: skip
    if month is not None:
        raise FailedPrecondition(
            "MONTH_ARCHIVED",
            f"backfill {backfill_id} has events of {month:%Y-%m}, which is archived; restore it first",
            backfill_id=backfill_id,
            month=f"{month:%Y-%m}",
        )


async def _release_deprecated(conn: Conn, tenant_id: str, backfill_no: int) -> None:
    """The keys of those events that are among the backfill's no more."""
    rows = await conn.fetch(
        "SELECT DISTINCT subscription_id, transaction_id FROM amendment WHERE tenant_id = $1 AND backfill_no = $2",
        tenant_id, backfill_no,
    )  # fmt: skip
    await release_keys(conn, [identity(tenant_id, row[0], row[1]) for row in rows])


async def release_keys(conn: Conn, keys: list[bytes]) -> None:
    """Events with these keys can be recorded again."""
    await conn.execute(
        """
        DELETE FROM event_key WHERE key = ANY(SELECT encode(key, 'hex')::uuid FROM unnest($1::bytea[]) AS key)
        """,
        keys,
    )


def _backfill(row: asyncpg.Record) -> Backfill:
    values: dict[str, Any] = dict(row)
    return Backfill(**values | {"state": State(values["state"])})


def _not_found(backfill_id: str) -> NotFound:
    return NotFound("BACKFILL_NOT_FOUND", f"there is no backfill {backfill_id!r}", backfill_id=backfill_id)
