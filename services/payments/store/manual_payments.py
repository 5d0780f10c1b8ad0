"""manual_payment."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.receipt import ManualPayment

_SELECT = """
    SELECT m.tenant_id, m.id, m.payment_id, p.invoice_id, m.minor_units, m.currency, m.reference, m.receive_date,
           m.create_time, m.request_hash
    FROM manual_payment m
    JOIN payment p ON p.tenant_id = m.tenant_id AND p.id = m.payment_id
"""


def _manual_payment(row: asyncpg.Record) -> ManualPayment:
    return ManualPayment(
        tenant_id=row["tenant_id"],
        id=row["id"],
        payment_id=row["payment_id"],
        invoice_id=row["invoice_id"],
        amount=Money(row["minor_units"], row["currency"]),
        reference=row["reference"],
        receive_date=row["receive_date"],
        create_time=row["create_time"],
    )


async def insert(conn: Conn, manual: ManualPayment, request_id: UUID, request_hash: bytes) -> None:
    """The payment is locked, and no money was recorded by the request."""
    await conn.execute(
        """
        INSERT INTO manual_payment (tenant_id, id, payment_id, minor_units, currency, reference, receive_date,
                                    create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        manual.tenant_id, manual.id, manual.payment_id, manual.amount.minor_units, manual.amount.currency,
        manual.reference, manual.receive_date, manual.create_time, request_id, request_hash,
    )  # fmt: skip


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[ManualPayment, bytes] | None:
    """The money recorded by the request, and the request's hash."""
    row = await conn.fetchrow(f"{_SELECT} WHERE m.tenant_id = $1 AND m.request_id = $2", tenant_id, request_id)
    return None if row is None else (_manual_payment(row), row["request_hash"])


async def list_page(conn: Conn, tenant_id: str, page: Page, invoice_id: str) -> Sequence[ManualPayment]:
    """Up to one more than the page, newest first; of one invoice unless that is empty."""
    rows = await conn.fetch(
        f"""
        {_SELECT}
        WHERE m.tenant_id = $1 AND ($2::text IS NULL OR m.id < $2) AND ($3 = '' OR p.invoice_id = $3)
        ORDER BY m.id DESC LIMIT $4
        """,
        tenant_id, page.after, invoice_id, page.size + 1,
    )  # fmt: skip
    return [_manual_payment(row) for row in rows]
