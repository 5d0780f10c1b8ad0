"""What was booked, by day, invoice, source and leg."""

from collections.abc import Sequence
from datetime import date

from libs.common.postgres import Conn
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.journal import Asked, Entry

Key = tuple[date, str, str, int]
"""Day, invoice, source and leg of an entry."""


async def entries(conn: Conn, tenant_id: str, asked: Asked, after: Key | None, limit: int) -> Sequence[Entry]:
    """Up to `limit` of those after a key."""
    day, invoice_id, source, leg = after or (asked.first, "", "", -1)
    rows = await conn.fetch(
        "SELECT p.effective_date, p.invoice_id, p.source, p.leg, p.legal_entity, p.currency, p.account, p.amount_minor,"
        " p.recorded_time, i.number, i.customer_id FROM ledger_posting p"
        " LEFT JOIN invoice i ON i.tenant_id = p.tenant_id AND i.id = p.invoice_id"
        " WHERE p.tenant_id = $1 AND (p.effective_date, p.invoice_id, p.source, p.leg) > ($2, $3, $4, $5)"
        " AND p.effective_date <= $6 AND p.recorded_time <= coalesce($7::timestamptz, 'infinity')"
        " AND ($8::text IS NULL OR p.legal_entity = $8) AND ($9::text IS NULL OR p.currency = $9)"
        " AND ($10::text IS NULL OR p.account = $10)"
        " ORDER BY p.effective_date, p.invoice_id, p.source, p.leg LIMIT $11",
        tenant_id,
        day,
        invoice_id,
        source,
        leg,
        asked.last,
        asked.known_time,
        asked.legal_entity,
        asked.currency,
        asked.account,
        limit,
    )
    return [
        Entry(
            row["effective_date"],
            row["invoice_id"],
            row["source"],
            row["leg"],
            row["legal_entity"],
            row["currency"],
            Account(row["account"]),
            row["amount_minor"],
            row["recorded_time"],
            row["number"] or "",
            row["customer_id"] or "",
        )
        for row in rows
    ]
