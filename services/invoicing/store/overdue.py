"""Invoices that were to be paid by now. The row is the job: whoever asks for the money reads `payment_overdue`."""

from datetime import datetime

from libs.common.postgres import Conn

CHUNK = 1000


async def mark(conn: Conn, now: datetime) -> bool:
    """Mark a chunk of those of every tenant that are not paid in time; `now` is real. True if there may be more."""
    rows = await conn.fetch(
        "UPDATE invoice i SET payment_overdue = true, overdue_time = late.now FROM ("
        "  SELECT f.tenant_id, f.id, coalesce(c.now, $1) AS now FROM billing_clock c, LATERAL ("
        "   SELECT i.tenant_id, i.id FROM invoice i"
        "   WHERE i.tenant_id = c.tenant_id AND i.overdue_from <= coalesce(c.now, $1)"
        "   AND i.state = 'finalized' AND i.payment_status <> 'succeeded' AND NOT i.payment_overdue"
        "   ORDER BY i.overdue_from LIMIT $2 FOR UPDATE SKIP LOCKED) f LIMIT $2) late"
        " WHERE i.tenant_id = late.tenant_id AND i.id = late.id RETURNING i.id",
        now,
        CHUNK,
    )
    return len(rows) == CHUNK
