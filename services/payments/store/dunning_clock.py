"""dunning_passing, and the times that it moves."""

from datetime import datetime, timedelta
from uuid import UUID

from libs.common.postgres import Conn


async def find(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[int, bytes] | None:
    """How many campaigns a passing met, and the request's hash."""
    row = await conn.fetchrow(
        "SELECT campaign_count, request_hash FROM dunning_passing WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return None if row is None else (row[0], row[1])


async def insert(
    conn: Conn, tenant_id: str, request_id: UUID, request_hash: bytes, campaign_count: int, now: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO dunning_passing (tenant_id, request_id, request_hash, campaign_count, create_time)
        VALUES ($1, $2, $3, $4, $5)
        """,
        tenant_id, request_id, request_hash, campaign_count, now,
    )  # fmt: skip


async def lock(conn: Conn, tenant_id: str) -> None:
    """Until the transaction ends, time passes for nobody else of the tenant."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('dunning clock ' || $1, 0))", tenant_id)


async def move(conn: Conn, tenant_id: str, by: timedelta) -> int:
    """Have all that waits fall due earlier. How many campaigns go on."""
    await conn.execute(
        "UPDATE payment SET due_time = due_time - $2::interval WHERE tenant_id = $1 AND state = 'PENDING'",
        tenant_id,
        by,
    )
    await conn.execute(
        """
        UPDATE dunning_step s SET due_time = s.due_time - $2::interval
        FROM dunning_campaign c
        WHERE c.tenant_id = $1 AND c.state = 'ACTIVE' AND s.tenant_id = c.tenant_id AND s.campaign_id = c.id
        """,
        tenant_id, by,
    )  # fmt: skip
    moved: str = await conn.execute(
        """
        UPDATE dunning_campaign SET due_time = due_time - $2::interval, start_time = start_time - $2::interval
        WHERE tenant_id = $1 AND state = 'ACTIVE'
        """,
        tenant_id, by,
    )  # fmt: skip
    return int(moved.rpartition(" ")[2])
