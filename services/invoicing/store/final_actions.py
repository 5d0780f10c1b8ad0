"""What payments says is to be done about invoices that it could not collect."""

from collections.abc import Sequence
from datetime import datetime

from libs.common.postgres import Conn
from services.invoicing.domain.final_action import Action, FinalAction


async def record(
    conn: Conn, action: FinalAction, end_time: datetime, now: datetime, note: str, *, is_done: bool
) -> bool:
    """Once for each campaign: False when it was recorded before. It is due at once, unless it is done."""
    recorded = await conn.fetchval(
        "INSERT INTO final_action (tenant_id, campaign_id, invoice_id, action, plan_code, time, due_time, done_time,"
        " note)"
        " VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN NOT $9 THEN $7::timestamptz END,"
        " CASE WHEN $9 THEN $7::timestamptz END, $8)"
        " ON CONFLICT DO NOTHING RETURNING true",
        action.tenant_id,
        action.campaign_id,
        action.invoice_id,
        action.action,
        action.plan_code,
        end_time,
        now,
        note,
        is_done,
    )
    return recorded is not None


async def claim(conn: Conn, now: datetime, leased_until: datetime, limit: int) -> Sequence[FinalAction]:
    """Lease those that are due."""
    rows = await conn.fetch(
        "UPDATE final_action f SET due_time = $2 WHERE (tenant_id, campaign_id) IN ("
        "  SELECT tenant_id, campaign_id FROM final_action WHERE due_time <= $1"
        "  ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED)"
        " RETURNING tenant_id, campaign_id, invoice_id, action, plan_code",
        now,
        leased_until,
        limit,
    )
    return [FinalAction(**{**row, "action": Action(row["action"])}) for row in rows]


async def conclude(conn: Conn, action: FinalAction, now: datetime, note: str) -> None:
    await conn.execute(
        "UPDATE final_action SET due_time = NULL, done_time = $3, note = $4"
        " WHERE tenant_id = $1 AND campaign_id = $2 AND due_time IS NOT NULL",
        action.tenant_id,
        action.campaign_id,
        now,
        note,
    )


async def postpone(conn: Conn, action: FinalAction, due_time: datetime) -> None:
    await conn.execute(
        "UPDATE final_action SET due_time = $3 WHERE tenant_id = $1 AND campaign_id = $2 AND due_time IS NOT NULL",
        action.tenant_id,
        action.campaign_id,
        due_time,
    )


async def subscriptions(conn: Conn, tenant_id: str, invoice_id: str) -> Sequence[str]:
    """Those that an invoice bills."""
    rows = await conn.fetch(
        "SELECT subscription_id AS id FROM invoice_settlement WHERE tenant_id = $1 AND invoice_id = $2"
        " UNION SELECT alone_subscription_id FROM invoice"
        "  WHERE tenant_id = $1 AND id = $2 AND alone_subscription_id IS NOT NULL ORDER BY id",
        tenant_id,
        invoice_id,
    )
    return [row["id"] for row in rows]
