"""What falls due on a tenant's clock. Whatever does, now or later, has a line in one of the two lists here."""

from datetime import datetime

from libs.common.postgres import Conn

_UNPAID = (
    "FROM invoice WHERE tenant_id = $1 AND state = 'finalized' AND payment_status <> 'succeeded'"
    " AND NOT payment_overdue"
)
_PAID_FEES = "FROM advance_fee WHERE tenant_id = $1 AND paid_time IS NOT NULL AND NOT is_billed"

_NEXT = (
    "SELECT min(due_time) FROM subscription WHERE tenant_id = $1 AND due_time > $2",
    "SELECT min(draft_until) FROM invoice WHERE tenant_id = $1 AND state = 'draft' AND draft_until > $2",
    f"SELECT min(overdue_from) {_UNPAID} AND overdue_from > $2",
    "SELECT min(expire_time) FROM subscription WHERE tenant_id = $1 AND activation = 'incomplete' AND expire_time > $2",
    f"SELECT min(period_end) {_PAID_FEES} AND period_end > $2",
)
"""The first instant after $2 at which something falls due: a test clock stops there."""

_WAITING = (
    "SELECT min(due_time) FROM subscription WHERE tenant_id = $1 AND failure_count = 0",
    "SELECT min(draft_until) FROM invoice WHERE tenant_id = $1 AND state = 'draft'",
    f"SELECT min(overdue_from) {_UNPAID}",
    "SELECT min(expire_time) FROM subscription WHERE tenant_id = $1 AND activation = 'incomplete'",
    f"SELECT min(period_end) {_PAID_FEES}",
)
"""The earliest that is still to be done: a test clock waits for it where it is due. It does not wait for a subscription
that could not be billed: that is tried again, and billed as soon as it can be, wherever the clock stands by then.
"""


async def following(conn: Conn, tenant_id: str, after: datetime) -> datetime | None:
    """The next instant at which something falls due."""
    earliest = ", ".join(f"({each})" for each in _NEXT)
    found: datetime | None = await conn.fetchval(f"SELECT least({earliest})", tenant_id, after)
    return found


async def is_drained(conn: Conn, tenant_id: str, now: datetime) -> bool:
    """Whether all that is due by `now` is done."""
    earliest = ", ".join(f"({each})" for each in _WAITING)
    waiting: datetime | None = await conn.fetchval(f"SELECT least({earliest})", tenant_id)
    return waiting is None or waiting > now
