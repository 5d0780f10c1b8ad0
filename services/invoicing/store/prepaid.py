"""What invoices draw of their customers' prepaid credit."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.prepaid import Draw


async def seal(conn: Conn, tenant_id: str, ids: Sequence[str], now: datetime) -> set[str]:
    """Seal those of the locked, totalled drafts that something is due of, and record what is asked for them."""
    rows = await conn.fetch(
        "WITH sealed AS (UPDATE invoice SET is_sealed = true"
        "  WHERE tenant_id = $1 AND id = ANY($2::text[]) AND state = 'draft' AND amount_due_minor > 0"
        "  RETURNING id, amount_due_minor)"
        " INSERT INTO prepaid_draw (tenant_id, invoice_id, asked_minor, ask_time)"
        " SELECT $1, id, amount_due_minor, $3 FROM sealed RETURNING invoice_id",
        tenant_id,
        ids,
        now,
    )
    return {row["invoice_id"] for row in rows}


async def asked(conn: Conn, tenant_id: str, now: datetime, limit: int) -> Sequence[Draw]:
    """Of the sealed drafts that it is time to ask for, those that fell due first."""
    rows = await conn.fetch(
        "SELECT i.tenant_id, i.id, i.customer_id, d.asked_minor AS amount, i.currency FROM invoice i"
        " JOIN prepaid_draw d ON d.tenant_id = i.tenant_id AND d.invoice_id = i.id"
        " WHERE i.tenant_id = $1 AND i.state = 'draft' AND i.is_sealed AND d.ask_time <= $3"
        " ORDER BY i.due_time, i.id LIMIT $2",
        tenant_id,
        limit,
        now,
    )
    return [_draw(row) for row in rows]


async def ask_again(conn: Conn, tenant_id: str, ids: Sequence[str], ask_time: datetime) -> None:
    """Of sealed drafts, by id: not before then."""
    await conn.execute(
        "UPDATE prepaid_draw SET ask_time = $3 WHERE tenant_id = $1 AND invoice_id = ANY($2::text[])",
        tenant_id,
        ids,
        ask_time,
    )


async def record(conn: Conn, tenant_id: str, drawn: Mapping[str, Money]) -> None:
    """What locked, sealed drafts have drawn, by id."""
    ids, amounts = list(drawn), [each.minor_units for each in drawn.values()]
    await conn.execute(
        "UPDATE prepaid_draw d SET drawn_minor = u.amount FROM unnest($2::text[], $3::bigint[]) AS u (id, amount)"
        " WHERE d.tenant_id = $1 AND d.invoice_id = u.id",
        tenant_id,
        ids,
        amounts,
    )
    await conn.execute(
        "UPDATE invoice i SET prepaid_minor = u.amount FROM unnest($2::text[], $3::bigint[]) AS u (id, amount)"
        " WHERE i.tenant_id = $1 AND i.id = u.id AND i.state = 'draft'",
        tenant_id,
        ids,
        amounts,
    )


async def ask_back(conn: Conn, tenant_id: str, invoice_id: str, now: datetime) -> None:
    """What a locked invoice has drawn is to be given back."""
    await conn.execute(
        "UPDATE prepaid_draw SET return_time = $3 WHERE tenant_id = $1 AND invoice_id = $2 AND drawn_minor > 0"
        " AND NOT is_returned",
        tenant_id,
        invoice_id,
        now,
    )


async def claim_returns(conn: Conn, now: datetime, leased_until: datetime, limit: int) -> Sequence[Draw]:
    """Lease up to `limit` draws that are to be given back."""
    rows = await conn.fetch(
        "WITH due AS MATERIALIZED (SELECT tenant_id, invoice_id FROM prepaid_draw WHERE return_time <= $1"
        "  ORDER BY return_time LIMIT $3 FOR UPDATE SKIP LOCKED)"
        " UPDATE prepaid_draw d SET return_time = $2 FROM due, invoice i"
        " WHERE d.tenant_id = due.tenant_id AND d.invoice_id = due.invoice_id"
        " AND i.tenant_id = d.tenant_id AND i.id = d.invoice_id"
        " RETURNING i.tenant_id, i.id, i.customer_id, d.drawn_minor AS amount, i.currency",
        now,
        leased_until,
        limit,
    )
    return [_draw(row) for row in rows]


async def returned(conn: Conn, drawn: Draw) -> None:
    await conn.execute(
        "UPDATE prepaid_draw SET is_returned = true, return_time = NULL WHERE tenant_id = $1 AND invoice_id = $2",
        drawn.tenant_id,
        drawn.invoice_id,
    )


def _draw(row: asyncpg.Record) -> Draw:
    return Draw(row["tenant_id"], row["id"], row["customer_id"], Money(row["amount"], row["currency"]))
