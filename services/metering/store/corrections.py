"""What closing, reverting and amending have in common. The caller's transaction takes `claim`, and last the turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.idempotency import require_same
from libs.common.postgres import Conn


@dataclass(frozen=True, slots=True)
class Request:
    """A mutation as its caller names it."""

    method: str
    request_id: UUID
    fingerprint: bytes


async def claim(conn: Conn, tenant_id: str) -> int:
    """The tenant's number; its corrections are made one after the other from here to the end of the transaction."""
    select = "SELECT tenant_no FROM tenant WHERE tenant_id = $1"
    tenant_no = await conn.fetchval(select, tenant_id)
    if tenant_no is None:
        await conn.execute("INSERT INTO tenant (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING", tenant_id)
        tenant_no = await conn.fetchval(select, tenant_id)
    await conn.execute("SELECT pg_advisory_xact_lock('correction'::regclass::oid::int, $1)", tenant_no)
    return int(tenant_no)


async def is_repeat(conn: Conn, tenant_id: str, request: Request) -> bool:
    """Raises Conflict REQUEST_ID_REUSED."""
    row = await conn.fetchrow(
        "SELECT method, request_hash FROM correction_request WHERE tenant_id = $1 AND request_id = $2",
        tenant_id, request.request_id,
    )  # fmt: skip
    if row is None:
        return False
    same = row["request_hash"] if row["method"] == request.method else b""
    require_same(same, request.fingerprint, str(request.request_id))
    return True


async def note(conn: Conn, tenant_id: str, request: Request, backfill_id: str | None) -> None:
    await conn.execute(
        """
        INSERT INTO correction_request (tenant_id, request_id, request_hash, method, backfill_id)
        VALUES ($1, $2, $3, $4, $5)
        """,
        tenant_id, request.request_id, request.fingerprint, request.method, backfill_id,
    )  # fmt: skip


async def next_number(conn: Conn) -> int:
    """Of a correction, before it has its sequence."""
    return int(await conn.fetchval("SELECT nextval(pg_get_serial_sequence('correction', 'correction_no'))"))


async def correct(
    conn: Conn, correction_no: int, tenant_no: int, series_nos: Sequence[int], instants: Sequence[datetime]
) -> None:
    """Note the events that change, by which buckets are rebuilt and alerts are evaluated."""
    await conn.execute(
        """
        INSERT INTO corrected_series (correction_no, tenant_no, series_no, since, until)
        SELECT $1, $2, series_no, instant, instant FROM unnest($3::int[], $4::timestamptz[]) AS t (series_no, instant)
        """,
        correction_no, tenant_no, series_nos, instants,
    )  # fmt: skip


async def take_turn(conn: Conn, tenant_id: str, correction_no: int, now: datetime) -> int:
    """The sequence of the correction. Who records waits until the transaction ends: little may come after this."""
    await conn.execute("SELECT pg_advisory_xact_lock('event_batch'::regclass::oid::int, 0)")
    sequence = await conn.fetchval(
        """
        WITH batch AS (INSERT INTO event_batch (record_time) VALUES ($3) RETURNING sequence)
        INSERT INTO correction (correction_no, tenant_id, sequence) SELECT $1, $2, sequence FROM batch
        RETURNING sequence
        """,
        correction_no, tenant_id, now,
    )  # fmt: skip
    return int(sequence)
