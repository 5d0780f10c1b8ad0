"""receipt, and receipt_counter."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from libs.common.ids import new_id
from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.payment import Payment
from services.payments.domain.receipt import Receipt

_SELECT = """
    SELECT r.id, r.sequence, r.payment_id, p.invoice_id, p.invoice_number, p.customer_id, r.attempt_number,
           r.manual_payment_id, r.minor_units, r.currency, r.create_time
    FROM receipt r
    JOIN payment p ON p.tenant_id = r.tenant_id AND p.id = r.payment_id
"""


def _receipt(row: asyncpg.Record) -> Receipt:
    fields = {name: value for name, value in row.items() if name in Receipt.__slots__}
    return Receipt(**fields, amount=Money(row["minor_units"], row["currency"]))


async def issue(
    conn: Conn,
    payment: Payment,
    minor_units: int,
    now: datetime,
    *,
    attempt_number: int | None = None,
    manual_payment_id: str | None = None,
) -> None:
    """For money that came of a locked payment. Locks the tenant's numbers, as the transaction's last lock."""
    sequence: int = await conn.fetchval(
        """
        INSERT INTO receipt_counter AS c (tenant_id, last) VALUES ($1, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET last = c.last + 1 RETURNING last
        """,
        payment.tenant_id,
    )
    await conn.execute(
        """
        INSERT INTO receipt (tenant_id, id, sequence, payment_id, attempt_number, manual_payment_id, minor_units,
                             currency, create_time)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        payment.tenant_id, new_id("rcp", now), sequence, payment.id, attempt_number, manual_payment_id, minor_units,
        payment.amount.currency, now,
    )  # fmt: skip


async def find(conn: Conn, tenant_id: str, receipt_id: str) -> Receipt | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE r.tenant_id = $1 AND r.id = $2", tenant_id, receipt_id)
    return None if row is None else _receipt(row)


async def list_page(conn: Conn, tenant_id: str, page: Page, invoice_id: str, customer_id: str) -> Sequence[Receipt]:
    """Up to one more than the page, newest first; of one invoice and one customer unless these are empty."""
    rows = await conn.fetch(
        f"""
        {_SELECT}
        WHERE r.tenant_id = $1 AND ($2::text IS NULL OR r.id < $2)
          AND ($3 = '' OR p.invoice_id = $3) AND ($4 = '' OR p.customer_id = $4)
        ORDER BY r.id DESC LIMIT $5
        """,
        tenant_id, page.after, invoice_id, customer_id, page.size + 1,
    )  # fmt: skip
    return [_receipt(row) for row in rows]
