"""Offsets that wait for payments to give their invoices back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.credit_note import Item, Kind, NoteRequest, Reason


@dataclass(frozen=True, slots=True)
class WaitingOffset:
    tenant_id: str
    request_id: UUID
    asked: NoteRequest


async def insert(conn: Conn, tenant_id: str, request_id: UUID, asked: NoteRequest) -> None:
    """Its items have amounts."""
    items = [(each.position, each.amount) for each in asked.items if each.amount is not None]
    await conn.execute(
        "INSERT INTO waiting_offset (tenant_id, request_id, invoice_id, description, line_positions, amounts_minor)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        tenant_id,
        request_id,
        asked.invoice_id,
        asked.description,
        [position for position, _ in items],
        [amount.minor_units for _, amount in items],
    )


async def claim(conn: Conn, now: datetime, leased_until: datetime, limit: int) -> Sequence[WaitingOffset]:
    rows = await conn.fetch(
        "WITH due AS MATERIALIZED (SELECT tenant_id, request_id FROM waiting_offset WHERE available_time <= $1"
        "  ORDER BY available_time LIMIT $3 FOR UPDATE SKIP LOCKED)"
        " UPDATE waiting_offset w SET available_time = $2 FROM due, invoice i"
        " WHERE w.tenant_id = due.tenant_id AND w.request_id = due.request_id"
        " AND i.tenant_id = w.tenant_id AND i.id = w.invoice_id"
        " RETURNING w.tenant_id, w.request_id, w.invoice_id, w.description, w.line_positions, w.amounts_minor,"
        " i.currency",
        now,
        leased_until,
        limit,
    )
    return [
        WaitingOffset(
            row["tenant_id"],
            row["request_id"],
            NoteRequest(
                row["invoice_id"],
                Kind.OFFSET,
                Reason.ORDER_CHANGE,
                row["description"],
                tuple(
                    Item(position, Money(amount, row["currency"]))
                    for position, amount in zip(row["line_positions"], row["amounts_minor"], strict=True)
                ),
            ),
        )
        for row in rows
    ]


async def delete(conn: Conn, tenant_id: str, request_id: UUID) -> bool:
    """False when somebody else has."""
    gone = await conn.fetchval(
        "DELETE FROM waiting_offset WHERE tenant_id = $1 AND request_id = $2 RETURNING true", tenant_id, request_id
    )
    return gone is not None
