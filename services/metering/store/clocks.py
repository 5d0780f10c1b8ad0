"""Where the clocks of test tenants stand."""

from datetime import datetime

from libs.common.postgres import Conn


async def move_test_clock(conn: Conn, tenant_id: str, now: datetime) -> datetime:
    """Never back; where it is now. In a transaction, during which nobody changes the tenant's meters: a version that is
    being made is to take effect later than any event that is recorded without it.
    """
    await conn.execute("SELECT FROM tenant WHERE tenant_id = $1 FOR UPDATE", tenant_id)
    moved: datetime = await conn.fetchval(
        """
        INSERT INTO test_clock AS old (tenant_id, now) VALUES ($1, $2)
        ON CONFLICT (tenant_id) DO UPDATE SET now = greatest(old.now, excluded.now) RETURNING now
        """,
        tenant_id, now,
    )  # fmt: skip
    return moved


async def find_test_clock(conn: Conn, tenant_id: str) -> datetime | None:
    found: datetime | None = await conn.fetchval("SELECT now FROM test_clock WHERE tenant_id = $1", tenant_id)
    return found
