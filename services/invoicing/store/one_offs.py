"""One-off invoices, from the request that made them."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from libs.common.postgres import Conn
from services.invoicing.domain.line import Line
from services.invoicing.store import lines


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[str, bytes] | None:
    """The id of the invoice that a request made, and that request's hash."""
    row = await conn.fetchrow(
        "SELECT id, request_hash FROM invoice WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return (row["id"], row["request_hash"]) if row else None


async def insert(
    conn: Conn,
    tenant_id: str,
    invoice_id: str,
    customer_id: str,
    currency: str,
    its_lines: Sequence[Line],
    issue_date: date,
    create_time: datetime,
    request_id: UUID,
    request_hash: bytes,
) -> bool:
    """A draft to be finalized now, by the tenant's `create_time`. False when the request_id is taken."""
    subtotal = sum(line.amount.minor_units for line in its_lines)
    made = await conn.fetchval(
        "INSERT INTO invoice (tenant_id, id, kind, customer_id, currency, subtotal_minor, tax_minor, total_minor,"
        " due_time, draft_until, issue_date, create_time, line_count, request_id, request_hash)"
        " VALUES ($1, $2, 'one_off', $3, $4, $5, 0, $5, $6, $6, $7, $6, $8, $9, $10)"
        " ON CONFLICT (tenant_id, request_id) DO NOTHING RETURNING true",
        tenant_id,
        invoice_id,
        customer_id,
        currency,
        subtotal,
        create_time,
        issue_date,
        len(its_lines),
        request_id,
        request_hash,
    )
    if made:
        await lines.insert(conn, tenant_id, [(invoice_id, i, line) for i, line in enumerate(its_lines)])
    return made is not None
