"""Voids that were asked for."""

from datetime import datetime
from uuid import UUID

from libs.common.postgres import Conn


async def record(
    conn: Conn, tenant_id: str, voided_id: str, request_id: UUID, request_hash: bytes, now: datetime
) -> bytes | None:
    """The hash of the request that had this request_id before, if there is one."""
    recorded = await conn.fetchval(
        "INSERT INTO void_request (tenant_id, request_id, request_hash, voided_id, create_time)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING request_hash",
        tenant_id,
        request_id,
        request_hash,
        voided_id,
        now,
    )
    if recorded is not None:
        return None
    before: bytes = await conn.fetchval(
        "SELECT request_hash FROM void_request WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return before
