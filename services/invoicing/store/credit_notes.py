"""Credit notes."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.credit_note import Credited, CreditNote, Kind, Reason, RefundState
from services.invoicing.domain.tax import InvoiceTax
from services.invoicing.store import paid_units, refunds

_NOTE = (
    "SELECT id, sequence, number, invoice_id, customer_id, kind, reason, description, currency, subtotal_minor,"
    " tax_minor, discount_minor, balance_minor, voided_minor, create_time, refund_state, refund_failure"
    " FROM credit_note"
)


async def insert(
    conn: Conn, tenant_id: str, note: CreditNote, request_id: UUID, request_hash: bytes, refund_due_time: datetime
) -> bool:
    """False when the request_id is taken. The invoice is locked. Payments is asked for a refund at its due time."""
    made = await conn.fetchval(
        "INSERT INTO credit_note (tenant_id, id, invoice_id, sequence, number, customer_id, kind, reason, description,"
        " currency, subtotal_minor, tax_minor, total_minor, balance_minor, create_time, request_id, request_hash,"
        " refund_state, refund_due_time, discount_minor)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
        " ON CONFLICT (tenant_id, request_id) DO NOTHING RETURNING true",
        tenant_id,
        note.id,
        note.invoice_id,
        note.sequence,
        note.number,
        note.customer_id,
        note.kind,
        note.reason,
        note.description,
        note.total.currency,
        note.subtotal.minor_units,
        note.tax.minor_units,
        note.total.minor_units,
        note.balance.minor_units,
        note.create_time,
        request_id,
        request_hash,
        note.refund,
        refund_due_time if note.refund else None,
        note.discount.minor_units,
    )
    if made is None:
        return False
    await conn.executemany(
        "INSERT INTO credit_note_item (tenant_id, credit_note_id, invoice_id, line_position, amount_minor)"
        " VALUES ($1, $2, $3, $4, $5)",
        [(tenant_id, note.id, note.invoice_id, position, amount.minor_units) for position, amount in note.items],
    )
    await conn.executemany(
        "INSERT INTO credit_note_tax (tenant_id, credit_note_id, invoice_id, code, taxable_minor, amount_minor,"
        " unrounded_amount, is_included) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (
                tenant_id,
                note.id,
                note.invoice_id,
                tax.code,
                tax.taxable.minor_units,
                tax.amount.minor_units,
                tax.unrounded_amount,
                tax.is_included,
            )
            for tax in note.taxes
        ],
    )
    return True


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[CreditNote, bytes] | None:
    """The note that a request made, and that request's hash."""
    row = await conn.fetchrow(
        "SELECT id, request_hash FROM credit_note WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    if row is None:
        return None
    note = await get(conn, tenant_id, row["id"])
    assert note is not None, "notes are never deleted"
    return note, row["request_hash"]


async def credited(conn: Conn, tenant_id: str, invoice_id: str) -> Credited:
    """By the notes of a locked invoice."""
    counting = "WHERE n.tenant_id = $1 AND n.invoice_id = $2 AND n.voided_minor < n.total_minor "
    lines = await conn.fetch(
        "SELECT i.line_position, sum(i.amount_minor)::bigint AS amount FROM credit_note n"
        f" JOIN credit_note_item i ON i.tenant_id = n.tenant_id AND i.credit_note_id = n.id {counting} GROUP BY 1",
        tenant_id,
        invoice_id,
    )
    taxes = await conn.fetch(
        "SELECT t.code, t.is_included, sum(t.amount_minor)::bigint AS amount FROM credit_note n"
        f" JOIN credit_note_tax t ON t.tenant_id = n.tenant_id AND t.credit_note_id = n.id {counting} GROUP BY 1, 2",
        tenant_id,
        invoice_id,
    )
    discount: int = await conn.fetchval(
        f"SELECT coalesce(sum(n.discount_minor), 0)::bigint FROM credit_note n {counting}", tenant_id, invoice_id
    )
    count: int = await conn.fetchval(
        "SELECT count(*) FROM credit_note WHERE tenant_id = $1 AND invoice_id = $2", tenant_id, invoice_id
    )
    return Credited(
        {row["line_position"]: row["amount"] for row in lines},
        {(row["code"], row["is_included"]): row["amount"] for row in taxes},
        discount,
        count,
        await refunds.refunded(conn, tenant_id, invoice_id),
        await paid_units.deducted(conn, tenant_id, invoice_id),
    )


async def get(conn: Conn, tenant_id: str, note_id: str) -> CreditNote | None:
    row = await conn.fetchrow(f"{_NOTE} WHERE tenant_id = $1 AND id = $2", tenant_id, note_id)
    if row is None:
        return None
    [found] = await _notes(conn, tenant_id, [row])
    return found


async def lock(conn: Conn, tenant_id: str, note_id: str) -> CreditNote | None:
    """The note, for this transaction alone to use or void."""
    await conn.execute("SELECT FROM credit_note WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant_id, note_id)
    return await get(conn, tenant_id, note_id)


async def set_balance(conn: Conn, tenant_id: str, note: CreditNote) -> None:
    """Of a locked note."""
    await conn.execute(
        "UPDATE credit_note SET balance_minor = $3, voided_minor = $4 WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        note.id,
        note.balance.minor_units,
        note.voided.minor_units,
    )


async def of_invoice(conn: Conn, tenant_id: str, invoice_id: str) -> Sequence[CreditNote]:
    """In the order they were made."""
    rows = await conn.fetch(
        f"{_NOTE} WHERE tenant_id = $1 AND invoice_id = $2 ORDER BY sequence", tenant_id, invoice_id
    )
    return await _notes(conn, tenant_id, rows)


async def page(
    conn: Conn, tenant_id: str, customer_id: str | None, invoice_id: str | None, number: str | None, page: Page
) -> Sequence[CreditNote]:
    """Newest first; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"{_NOTE} WHERE tenant_id = $1 AND ($2::text IS NULL OR customer_id = $2)"
        " AND ($3::text IS NULL OR invoice_id = $3) AND ($4::text IS NULL OR number = $4)"
        " AND ($5::text IS NULL OR id < $5) ORDER BY id DESC LIMIT $6",
        tenant_id,
        customer_id,
        invoice_id,
        number,
        page.after,
        page.size + 1,
    )
    return await _notes(conn, tenant_id, rows)


async def _notes(conn: Conn, tenant_id: str, rows: Sequence[asyncpg.Record]) -> list[CreditNote]:
    """`rows` of _NOTE with their items and taxes."""
    currencies = {row["id"]: row["currency"] for row in rows}
    items: dict[str, list[tuple[int, Money]]] = {note_id: [] for note_id in currencies}
    taxes: dict[str, list[InvoiceTax]] = {note_id: [] for note_id in currencies}
    for row in await conn.fetch(
        "SELECT credit_note_id, line_position, amount_minor FROM credit_note_item"
        " WHERE tenant_id = $1 AND credit_note_id = ANY($2::text[]) ORDER BY credit_note_id, line_position",
        tenant_id,
        list(currencies),
    ):
        amount = Money(row["amount_minor"], currencies[row["credit_note_id"]])
        items[row["credit_note_id"]].append((row["line_position"], amount))
    for row in await conn.fetch(
        "SELECT t.credit_note_id, t.code, i.name, i.rate_percent, t.taxable_minor, t.amount_minor,"
        " t.unrounded_amount, t.is_included"
        " FROM credit_note_tax t"
        " JOIN invoice_tax i ON i.tenant_id = t.tenant_id AND i.invoice_id = t.invoice_id AND i.code = t.code"
        "  AND i.is_included = t.is_included"
        " WHERE t.tenant_id = $1 AND t.credit_note_id = ANY($2::text[]) ORDER BY t.credit_note_id, i.position",
        tenant_id,
        list(currencies),
    ):
        taxes[row["credit_note_id"]].append(_tax(row, currencies[row["credit_note_id"]]))
    return [_note(row, items[row["id"]], taxes[row["id"]]) for row in rows]


def _note(row: asyncpg.Record, items: Sequence[tuple[int, Money]], taxes: Sequence[InvoiceTax]) -> CreditNote:
    currency = row["currency"]
    return CreditNote(
        id=row["id"],
        sequence=row["sequence"],
        number=row["number"],
        invoice_id=row["invoice_id"],
        customer_id=row["customer_id"],
        kind=Kind(row["kind"]),
        reason=Reason(row["reason"]),
        description=row["description"],
        items=tuple(items),
        taxes=tuple(taxes),
        subtotal=Money(row["subtotal_minor"], currency),
        tax=Money(row["tax_minor"], currency),
        discount=Money(row["discount_minor"], currency),
        balance=Money(row["balance_minor"], currency),
        voided=Money(row["voided_minor"], currency),
        create_time=row["create_time"],
        refund=RefundState(row["refund_state"]) if row["refund_state"] else None,
        refund_failure=row["refund_failure"],
    )


def _tax(row: asyncpg.Record, currency: str) -> InvoiceTax:
    return InvoiceTax(
        code=row["code"],
        name=row["name"],
        rate_percent=row["rate_percent"],
        taxable=Money(row["taxable_minor"], currency),
        amount=Money(row["amount_minor"], currency),
        unrounded_amount=row["unrounded_amount"],
        is_included=row["is_included"],
    )
