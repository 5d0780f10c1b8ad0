"""How far books are closed."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.ledger.closing import Closing


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[Closing, bytes] | None:
    """What a request closed, and its hash."""
    row = await conn.fetchrow(
        "SELECT legal_entity, closed_through, create_time, request_hash FROM ledger_closing"
        " WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    if row is None:
        return None
    return Closing(row["legal_entity"], row["closed_through"], row["create_time"]), row["request_hash"]


async def lock(conn: Conn, tenant_id: str, legal_entity: str) -> date:
    """How far the books are closed; nobody else books in them until the transaction ends."""
    await conn.execute(
        "INSERT INTO ledger_book (tenant_id, legal_entity) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        tenant_id,
        legal_entity,
    )
    closed: date = await conn.fetchval(
        "SELECT closed_through FROM ledger_book WHERE tenant_id = $1 AND legal_entity = $2 FOR UPDATE",
        tenant_id,
        legal_entity,
    )
    return closed


async def insert(conn: Conn, tenant_id: str, closing: Closing, request_id: UUID, request_hash: bytes) -> None:
    """Of locked books."""
    await conn.execute(
        "UPDATE ledger_book SET closed_through = $3 WHERE tenant_id = $1 AND legal_entity = $2",
        tenant_id,
        closing.legal_entity,
        closing.closed_through,
    )
    await conn.execute(
        "INSERT INTO ledger_closing (tenant_id, request_id, request_hash, legal_entity, closed_through, create_time)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        tenant_id,
        request_id,
        request_hash,
        closing.legal_entity,
        closing.closed_through,
        closing.create_time,
    )


async def page(conn: Conn, tenant_id: str, page: Page) -> Sequence[tuple[str, Closing]]:
    """Each with its key, newest first; one more than the page has, if there is one."""
    rows = await conn.fetch(
        "SELECT request_id::text AS key, legal_entity, closed_through, create_time FROM ledger_closing"
        " WHERE tenant_id = $1 AND ($2::text IS NULL OR (create_time, request_id) <"
        "  (SELECT create_time, request_id FROM ledger_closing WHERE tenant_id = $1 AND request_id::text = $2))"
        " ORDER BY create_time DESC, request_id DESC LIMIT $3",
        tenant_id,
        page.after,
        page.size + 1,
    )
    return [(row["key"], Closing(row["legal_entity"], row["closed_through"], row["create_time"])) for row in rows]
