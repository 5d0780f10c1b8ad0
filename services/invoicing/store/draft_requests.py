"""What was asked of drafts, by request."""

from datetime import datetime
from uuid import UUID

from libs.common.postgres import Conn


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> bytes | None:
    """The hash of the request that had this request_id, if there is one."""
    found: bytes | None = await conn.fetchval(
        "SELECT request_hash FROM draft_request WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return found


async def record(
    conn: Conn, tenant_id: str, invoice_id: str, request_id: UUID, request_hash: bytes, now: datetime
) -> bytes | None:
    """The hash of the request that had this request_id before, if there is one."""
    recorded = await conn.fetchval(
        "INSERT INTO draft_request (tenant_id, request_id, request_hash, invoice_id, create_time)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING request_hash",
        tenant_id,
        request_id,
        request_hash,
        invoice_id,
        now,
    )
    return None if recorded is not None else await made_by(conn, tenant_id, request_id)
