"""payment_request, its items, and what was asked to be done about it."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.payment import Payment
from services.payments.domain.payment_request import OVERDUE, PaymentRequest, RequestItem
from services.payments.store import payments

_SELECT = "SELECT tenant_id, id, customer_id, currency, is_canceled, create_time FROM payment_request"


async def overdue(
    conn: Conn, tenant_id: str, customer_id: str, currency: str, invoice_ids: Sequence[str], limit: int
) -> Sequence[Payment]:
    """The customer's overdue payments, oldest first; of these invoices unless there are none."""
    return await payments.select(
        conn,
        """
        WHERE tenant_id = $1 AND customer_id = $2 AND currency = $3 AND state = ANY($4::text[])
          AND minor_units > charged_minor + manual_minor
          AND ($5::text[] = '{}' OR invoice_id = ANY($5::text[]))
        ORDER BY id LIMIT $6
        """,
        tenant_id, customer_id, currency, sorted(OVERDUE), list(invoice_ids), limit,
    )  # fmt: skip


async def insert(conn: Conn, request: PaymentRequest, request_id: UUID, request_hash: bytes) -> bool:
    made = await conn.fetchval(
        """
        INSERT INTO payment_request (tenant_id, id, customer_id, currency, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        request.tenant_id, request.id, request.customer_id, request.currency, request.create_time, request_id,
        request_hash,
    )  # fmt: skip
    if made is None:
        return False
    await conn.executemany(
        """
        INSERT INTO payment_request_item (tenant_id, payment_request_id, payment_id, asked_minor)
        VALUES ($1, $2, $3, $4)
        """,
        [(request.tenant_id, request.id, item.payment.id, item.asked_minor) for item in request.items],
    )
    return True


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[PaymentRequest, bytes] | None:
    """The request made by the caller's request, and that one's hash."""
    row = await conn.fetchrow(
        "SELECT id, request_hash FROM payment_request WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    if row is None:
        return None
    found = await find(conn, tenant_id, row["id"])
    assert found is not None, "requests are never deleted"
    return found, row["request_hash"]


async def find(conn: Conn, tenant_id: str, payment_request_id: str) -> PaymentRequest | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE tenant_id = $1 AND id = $2", tenant_id, payment_request_id)
    return None if row is None else (await _with_items(conn, tenant_id, [row]))[0]


async def lock(conn: Conn, tenant_id: str, payment_request_id: str) -> PaymentRequest | None:
    """The request and then its payments, oldest first, for this transaction alone to change."""
    await conn.execute(
        "SELECT FROM payment_request WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant_id, payment_request_id
    )
    await conn.execute(
        """
        SELECT FROM payment WHERE tenant_id = $1 AND id IN (
            SELECT payment_id FROM payment_request_item WHERE tenant_id = $1 AND payment_request_id = $2
        ) ORDER BY id FOR UPDATE
        """,
        tenant_id, payment_request_id,
    )  # fmt: skip
    return await find(conn, tenant_id, payment_request_id)


async def list_page(conn: Conn, tenant_id: str, page: Page, customer_id: str) -> Sequence[PaymentRequest]:
    """Up to one more than the page, newest first; of one customer unless that is empty."""
    rows = await conn.fetch(
        f"""
        {_SELECT} WHERE tenant_id = $1 AND ($2::text IS NULL OR id < $2) AND ($3 = '' OR customer_id = $3)
        ORDER BY id DESC LIMIT $4
        """,
        tenant_id, page.after, customer_id, page.size + 1,
    )  # fmt: skip
    return await _with_items(conn, tenant_id, rows)


async def cancel(conn: Conn, request: PaymentRequest) -> None:
    await conn.execute(
        "UPDATE payment_request SET is_canceled = true WHERE tenant_id = $1 AND id = $2", request.tenant_id, request.id
    )


async def record_call(
    conn: Conn, request: PaymentRequest, request_id: UUID, request_hash: bytes, now: datetime
) -> bytes | None:
    """None when the caller's request is new; otherwise the hash that it was recorded with. The request is locked."""
    made = await conn.fetchval(
        """
        INSERT INTO payment_request_call (tenant_id, request_id, request_hash, payment_request_id, create_time)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        request.tenant_id, request_id, request_hash, request.id, now,
    )  # fmt: skip
    return None if made else await find_call(conn, request.tenant_id, request_id)


async def find_call(conn: Conn, tenant_id: str, request_id: UUID) -> bytes | None:
    """The hash of a caller's request that has been recorded."""
    request_hash: bytes | None = await conn.fetchval(
        "SELECT request_hash FROM payment_request_call WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return request_hash


async def _with_items(conn: Conn, tenant_id: str, rows: Sequence[asyncpg.Record]) -> list[PaymentRequest]:
    items = await conn.fetch(
        """
        SELECT payment_request_id, payment_id, asked_minor FROM payment_request_item
        WHERE tenant_id = $1 AND payment_request_id = ANY($2::text[]) ORDER BY payment_id
        """,
        tenant_id, [row["id"] for row in rows],
    )  # fmt: skip
    found = await payments.select(
        conn, "WHERE tenant_id = $1 AND id = ANY($2::text[])", tenant_id, [item["payment_id"] for item in items]
    )
    by_id = {payment.id: payment for payment in found}
    of_request: dict[str, list[RequestItem]] = defaultdict(list)
    for item in items:
        of_request[item["payment_request_id"]].append(RequestItem(by_id[item["payment_id"]], item["asked_minor"]))
    return [PaymentRequest(**row, items=tuple(of_request[row["id"]])) for row in rows]
