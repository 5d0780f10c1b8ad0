"""The tenants' billing clocks."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.common.postgres import Conn
from services.invoicing.domain.clock import BillingClock


async def ensure(conn: Conn, tenant_id: str) -> None:
    """A tenant starts on real time."""
    await conn.execute(
        "INSERT INTO billing_clock (tenant_id, mode) VALUES ($1, 'real') ON CONFLICT DO NOTHING", tenant_id
    )


async def get(conn: Conn, tenant_id: str) -> BillingClock:
    return await _read(conn, tenant_id, "")


async def hold(conn: Conn, tenant_id: str) -> BillingClock:
    """The clock, which stays as it is until the transaction ends; others may hold it too."""
    return await _read(conn, tenant_id, "FOR SHARE")


async def lock(conn: Conn, tenant_id: str) -> BillingClock:
    """The clock, which only this transaction may change now."""
    await ensure(conn, tenant_id)
    return await _read(conn, tenant_id, "FOR UPDATE")


async def walking(conn: Conn) -> Sequence[str]:
    """Tenants whose test clocks are going somewhere."""
    rows = await conn.fetch("SELECT tenant_id FROM billing_clock WHERE target IS NOT NULL ORDER BY tenant_id")
    return [row["tenant_id"] for row in rows]


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> bytes | None:
    """The hash of the request, if it made the test clock."""
    request_hash: bytes | None = await conn.fetchval(
        "SELECT request_hash FROM billing_clock WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return request_hash


async def start_test(conn: Conn, tenant_id: str, now: datetime, request_id: UUID, request_hash: bytes) -> None:
    """The caller has locked the clock."""
    await conn.execute(
        "UPDATE billing_clock SET mode = 'test', now = $2, request_id = $3, request_hash = $4 WHERE tenant_id = $1",
        tenant_id,
        now,
        request_id,
        request_hash,
    )


async def set_test(conn: Conn, tenant_id: str, clock: BillingClock) -> None:
    """The caller has locked the clock."""
    await conn.execute(
        "UPDATE billing_clock SET mode = 'test', now = $2, target = $3 WHERE tenant_id = $1",
        tenant_id,
        clock.test_now,
        clock.target,
    )


async def _read(conn: Conn, tenant_id: str, lock_clause: str) -> BillingClock:
    row = await conn.fetchrow(
        f"SELECT now, target FROM billing_clock WHERE tenant_id = $1 {lock_clause}",  # noqa: S608
        tenant_id,
    )
    return BillingClock(row["now"], row["target"]) if row else BillingClock(None)
