"""Invoices that bill again what a voided one did."""

from datetime import date, datetime

from libs.common.postgres import Conn
from services.invoicing.store import lines


async def made_from(conn: Conn, tenant_id: str, voided_id: str) -> str | None:
    """The id of the invoice that took the place of a voided one."""
    found: str | None = await conn.fetchval(
        "SELECT id FROM invoice WHERE tenant_id = $1 AND regenerated_from = $2", tenant_id, voided_id
    )
    return found


async def insert(
    conn: Conn,
    tenant_id: str,
    new_id: str,
    voided_id: str,
    currency: str,
    draft_until: datetime,
    issue_date: date,
    create_time: datetime,
) -> None:
    """A draft with what the locked, voided invoice settles, and its lines."""
    await conn.execute(
        "INSERT INTO invoice (tenant_id, id, kind, customer_id, billing_run_id, currency, subtotal_minor, tax_minor,"
        " total_minor, due_time, draft_until, issue_date, create_time, alone_subscription_id, line_count, watermark,"
        " regenerated_from) SELECT tenant_id, $2, kind, customer_id, billing_run_id, currency, subtotal_minor, 0,"
        " subtotal_minor, due_time, $4, $5, $6, alone_subscription_id, line_count, watermark, id"
        " FROM invoice WHERE tenant_id = $1 AND id = $3",
        tenant_id,
        new_id,
        voided_id,
        draft_until,
        issue_date,
        create_time,
    )
    await conn.execute(
        "UPDATE invoice_settlement SET is_void = true WHERE tenant_id = $1 AND invoice_id = $2", tenant_id, voided_id
    )
    await conn.execute(
        "INSERT INTO invoice_settlement (tenant_id, invoice_id, subscription_id, phase_number, plan_code, plan_version,"
        " period_start, period_end, due_time, is_opening, fee_start, fee_end, usage_start, usage_end, is_addition,"
        " is_fixed)"
        " SELECT tenant_id, $3, subscription_id, phase_number, plan_code, plan_version, period_start, period_end,"
        " due_time, is_opening, fee_start, fee_end, usage_start, usage_end, is_addition, is_fixed"
        " FROM invoice_settlement WHERE tenant_id = $1 AND invoice_id = $2",
        tenant_id,
        voided_id,
        new_id,
    )
    its_lines = (await lines.of_invoices(conn, tenant_id, {voided_id: currency}))[voided_id]
    await lines.insert(conn, tenant_id, [(new_id, i, line) for i, line in enumerate(its_lines)])
