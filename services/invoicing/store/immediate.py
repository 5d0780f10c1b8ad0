"""Invoices that are made when something is recorded, not when a period ends."""

from collections.abc import Sequence
from datetime import datetime

from libs.common.postgres import Conn
from services.invoicing.domain.invoice import InvoiceKind, issue_date
from services.invoicing.domain.line import Line
from services.invoicing.domain.subscription import Subscription
from services.invoicing.store import lines


async def insert(
    conn: Conn,
    tenant_id: str,
    invoice_id: str,
    kind: InvoiceKind,
    of: Subscription,
    its_lines: Sequence[Line],
    now: datetime,
) -> None:
    """A draft with nothing but these lines, to be finalized at once; `now` is the tenant's."""
    subtotal = sum(each.amount.minor_units for each in its_lines)
    await conn.execute(
        "INSERT INTO invoice (tenant_id, id, kind, customer_id, currency, subtotal_minor, tax_minor, total_minor,"
        " due_time, issue_date, create_time, draft_until, alone_subscription_id, line_count)"
        " VALUES ($1, $2, $10, $3, $4, $5, 0, $5, $6, $7, $6, $6, $8, $9)",
        tenant_id,
        invoice_id,
        of.customer_id,
        its_lines[0].amount.currency,
        subtotal,
        now,
        issue_date(now, of.calendar),
        of.id,
        len(its_lines),
        kind,
    )
    await lines.insert(conn, tenant_id, [(invoice_id, i, each) for i, each in enumerate(its_lines)])
