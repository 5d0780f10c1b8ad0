"""What falls due on a tenant's clock. Whatever does, now or later, has a line in one of the two lists here."""

from datetime import datetime

from libs.common.postgres import Conn

_NEXT = ("SELECT min(due_time) FROM subscription WHERE tenant_id = $1 AND due_time > $2",)
"""The first instant after $2 at which something falls due: a test clock stops there."""

_WAITING = (
    "SELECT FROM subscription WHERE tenant_id = $1 AND due_time <= $2 AND failure_count = 0",
    "SELECT FROM invoice WHERE tenant_id = $1 AND state = 'draft' AND due_time <= $2",
)
"""What is due by $2 and still to be done: a test clock waits for it. It does not wait for a subscription that could not
be billed: that is tried again, and billed as soon as it can be, wherever the clock stands by then.
"""


async def following(conn: Conn, tenant_id: str, after: datetime) -> datetime | None:
    """The next instant at which something falls due."""
    earliest = ", ".join(f"({each})" for each in _NEXT)
    found: datetime | None = await conn.fetchval(f"SELECT least({earliest})", tenant_id, after)
    return found


async def is_drained(conn: Conn, tenant_id: str, now: datetime) -> bool:
    """Whether all that is due by `now` is done."""
    waiting = " OR ".join(f"EXISTS ({each})" for each in _WAITING)
    return not await conn.fetchval(f"SELECT {waiting}", tenant_id, now)
