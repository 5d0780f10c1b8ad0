"""The tenants' billing clocks."""

from collections.abc import Mapping, Sequence
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
    """The caller has locked the clock. Metering is to be told."""
    await conn.execute(
        "UPDATE billing_clock SET mode = 'test', now = $2, request_id = $3, request_hash = $4, tell_time = '-infinity'"
        " WHERE tenant_id = $1",
        tenant_id,
        now,
        request_id,
        request_hash,
    )


async def send(conn: Conn, tenant_id: str, clock: BillingClock) -> None:
    """Give a test clock its target. The caller has locked the clock. Metering is to be told."""
    await conn.execute(
        "UPDATE billing_clock SET mode = 'test', now = $2, target = $3, tell_time = '-infinity' WHERE tenant_id = $1",
        tenant_id,
        clock.test_now,
        clock.target,
    )


async def move(conn: Conn, tenant_id: str, clock: BillingClock) -> None:
    """Take a test clock toward its target. The caller has locked the clock."""
    await conn.execute(
        "UPDATE billing_clock SET now = $2, target = $3 WHERE tenant_id = $1", tenant_id, clock.test_now, clock.target
    )


async def claim_told(conn: Conn, now: datetime, leased_until: datetime) -> Mapping[str, datetime]:
    """How far the test clocks go that metering is to be told of."""
    rows = await conn.fetch(
        "UPDATE billing_clock SET tell_time = $2 WHERE tell_time <= $1"
        " RETURNING tenant_id, coalesce(target, now) AS furthest",
        now,
        leased_until,
    )
    return {row["tenant_id"]: row["furthest"] for row in rows}


async def set_told(conn: Conn, tenant_id: str, furthest: datetime) -> None:
    """Metering knows, unless the clock was sent further meanwhile."""
    await conn.execute(
        "UPDATE billing_clock SET tell_time = NULL WHERE tenant_id = $1 AND coalesce(target, now) = $2",
        tenant_id,
        furthest,
    )


async def _read(conn: Conn, tenant_id: str, lock_clause: str) -> BillingClock:
    row = await conn.fetchrow(
        f"SELECT now, target FROM billing_clock WHERE tenant_id = $1 {lock_clause}",  # noqa: S608
        tenant_id,
    )
    return BillingClock(row["now"], row["target"]) if row else BillingClock(None)
