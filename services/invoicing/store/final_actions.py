"""What payments says is to be done about invoices that it could not collect."""

from datetime import datetime

from libs.common.postgres import Conn


async def record(
    conn: Conn, tenant_id: str, campaign_id: str, invoice_id: str, action: str, end_time: datetime
) -> bool:
    """Once for each campaign: False when it was recorded before."""
    recorded = await conn.fetchval(
        "INSERT INTO final_action (tenant_id, campaign_id, invoice_id, action, time) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING RETURNING true",
        tenant_id,
        campaign_id,
        invoice_id,
        action,
        end_time,
    )
    return recorded is not None
