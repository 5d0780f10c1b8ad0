"""Fees in advance that wait to be paid, and the invoices that they are on then."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from libs.common.postgres import Conn
from services.invoicing.domain.line import Line
from services.invoicing.store.advance_fees import LINE, line_of


async def record(
    conn: Conn, tenant_id: str, subscription_id: str, request_id: UUID, request_hash: bytes, now: datetime
) -> bytes | None:
    """The hash of the request that had this request_id before, if there is one."""
    recorded = await conn.fetchval(
        "INSERT INTO fee_payment_request (tenant_id, request_id, request_hash, subscription_id, create_time)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING request_hash",
        tenant_id,
        request_id,
        request_hash,
        subscription_id,
        now,
    )
    if recorded is not None:
        return None
    before: bytes = await conn.fetchval(
        "SELECT request_hash FROM fee_payment_request WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return before


async def pay(
    conn: Conn, tenant_id: str, subscription_id: str, numbers: Sequence[int], paid_time: datetime
) -> Sequence[int]:
    """Those of the fees that wait to be paid, or are paid already; they are from now on."""
    rows = await conn.fetch(
        "UPDATE advance_fee SET paid_time = coalesce(paid_time, $4) WHERE tenant_id = $1 AND subscription_id = $2"
        " AND serial = ANY($3::bigint[]) AND is_regrouped AND amount_minor > 0 RETURNING serial",
        tenant_id,
        subscription_id,
        numbers,
        paid_time,
    )
    return [row["serial"] for row in rows]


async def tenants(conn: Conn, now: datetime) -> Sequence[str]:
    """Those that have paid fees of periods that are over; `now` is real."""
    rows = await conn.fetch(
        "SELECT tenant_id FROM billing_clock c WHERE EXISTS (SELECT FROM advance_fee f WHERE f.tenant_id = c.tenant_id"
        " AND f.paid_time IS NOT NULL AND NOT f.is_billed AND f.period_end <= coalesce(c.now, $1))",
        now,
    )
    return [row["tenant_id"] for row in rows]


async def take(conn: Conn, tenant_id: str, now: datetime, limit: int) -> Mapping[str, Sequence[Line]]:
    """Some fees that are paid and whose period is over by the tenant's `now`, by subscription; nobody else has them."""
    rows = await conn.fetch(
        f"UPDATE advance_fee SET is_billed = true WHERE (tenant_id, serial) IN (SELECT tenant_id, serial"  # noqa: S608
        "  FROM advance_fee WHERE tenant_id = $1 AND paid_time IS NOT NULL AND NOT is_billed AND period_end <= $2"
        f"  ORDER BY subscription_id, serial LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING {LINE}, serial",
        tenant_id,
        now,
        limit,
    )
    found: dict[str, list[Line]] = {}
    for row in sorted(rows, key=lambda row: row["serial"]):
        found.setdefault(row["subscription_id"], []).append(line_of(row))
    return found
