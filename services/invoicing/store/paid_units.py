"""What was charged in advance for units of fixed charges, and what of it later invoices have deducted."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import asyncpg

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.deduction import PaidUnits
from services.invoicing.domain.invoice import State
from services.invoicing.domain.line import Line, LineReference
from services.invoicing.domain.period import Period
from services.invoicing.store import invoices, refreshes

_PAID = (
    "SELECT l.invoice_id, l.position, l.code, l.period_start, l.period_end, i.currency, l.amount_minor"
    "  - coalesce((SELECT sum(c.amount_minor) FROM credit_note n"
    "     JOIN credit_note_item c ON c.tenant_id = n.tenant_id AND c.credit_note_id = n.id"
    "     WHERE n.tenant_id = l.tenant_id AND n.invoice_id = l.invoice_id AND n.voided_minor < n.total_minor"
    "     AND c.line_position = l.position), 0)"
    "  + coalesce((SELECT sum(d.amount_minor) FROM invoice_line d"
    "     JOIN invoice o ON o.tenant_id = d.tenant_id AND o.id = d.invoice_id AND o.state <> 'voided'"
    "     WHERE d.tenant_id = l.tenant_id AND d.deducted_invoice_id = l.invoice_id"
    "     AND d.deducted_position = l.position), 0) AS left_minor"
    " FROM invoice_line l JOIN invoice i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id"
    " WHERE l.tenant_id = $1 AND l.kind = 'fixed_charge' AND i.state <> 'voided'"
)
"""Lines with what no note has given back of them, nor a deduction taken."""


async def of_phases(
    conn: Conn, tenant_id: str, subscription_id: str, phase_numbers: Sequence[int], after: datetime
) -> Sequence[PaidUnits]:
    """Lines for the time `after` an instant, in the order of their periods; none of a void invoice."""
    rows = await conn.fetch(
        f"{_PAID} AND l.subscription_id = $2 AND l.phase_number = ANY($3::integer[]) AND l.period_end > $4"
        " ORDER BY l.period_start, l.invoice_id, l.position",
        tenant_id,
        subscription_id,
        phase_numbers,
        after,
    )
    return [_paid(row) for row in rows]


async def deducted(conn: Conn, tenant_id: str, invoice_id: str) -> Mapping[int, int]:
    """What invoices that are not void deduct of an invoice's lines: minor units by position."""
    rows = await conn.fetch(
        "SELECT d.deducted_position, -sum(d.amount_minor)::bigint AS amount FROM invoice_line d"
        " JOIN invoice o ON o.tenant_id = d.tenant_id AND o.id = d.invoice_id AND o.state <> 'voided'"
        " WHERE d.tenant_id = $1 AND d.deducted_invoice_id = $2 GROUP BY 1",
        tenant_id,
        invoice_id,
    )
    return {row["deducted_position"]: row["amount"] for row in rows}


async def are_as_read(conn: Conn, tenant_id: str, lines: Iterable[Line]) -> bool:
    """Whether the deductions among `lines` may be saved: what they are of is final, and as it was when they were made.
    Its invoices are locked; the grace period of a draft ends.
    """
    made = [(line.deducts, line.proration.fee) for line in lines if line.deducts and line.proration]
    for invoice_id in sorted({of.invoice_id for of, _ in made}):
        invoice = await invoices.lock(conn, tenant_id, invoice_id)
        assert invoice is not None, "invoices are never deleted"
        if invoice.state is State.DRAFT:
            await refreshes.end_grace(conn, tenant_id, invoice_id, invoice.due_time)
            return False
    found = [(await of_line(conn, tenant_id, of), left) for of, left in made]
    return all(paid is not None and paid.left == left for paid, left in found)


async def of_line(conn: Conn, tenant_id: str, line: LineReference) -> PaidUnits | None:
    """As it is now; None of a void invoice."""
    row = await conn.fetchrow(
        f"{_PAID} AND l.invoice_id = $2 AND l.position = $3", tenant_id, line.invoice_id, line.position
    )
    return None if row is None else _paid(row)


def _paid(row: asyncpg.Record) -> PaidUnits:
    return PaidUnits(
        LineReference(row["invoice_id"], row["position"]),
        row["code"],
        Period(row["period_start"], row["period_end"]),
        Money(int(row["left_minor"]), row["currency"]),
    )
