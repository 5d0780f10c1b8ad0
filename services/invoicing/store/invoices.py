"""Invoices, from draft to paid."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.invoice import (
    AppliedCredit,
    Bill,
    Invoice,
    InvoiceTax,
    Line,
    PaymentStatus,
    State,
)
from services.invoicing.domain.period import Period
from services.invoicing.domain.proration import Proration
from services.invoicing.store import balances

_INVOICE = (
    "SELECT tenant_id, id, number, customer_id, subscription_id, plan_code, plan_version, phase_number, period_start,"
    " period_end, currency, state, payment_status, amount_paid_minor, due_time, is_opening, issue_date,"
    " create_time, finalize_time, offset_minor, is_with_payments FROM invoice"
)


async def insert_drafts(conn: Conn, tenant_id: str, run_id: str, drafts: Sequence[Invoice]) -> None:
    """Raises UniqueViolationError when a period has its invoice already; `subscriptions.advance` rules that out."""
    await _copy(
        conn,
        "invoice",
        "tenant_id, id, customer_id, subscription_id, plan_code, plan_version, phase_number, billing_run_id,"
        " period_start, period_end, currency, subtotal_minor, tax_minor, total_minor, due_time, is_opening, issue_date,"
        " create_time",
        (
            (
                tenant_id,
                each.id,
                each.customer_id,
                each.subscription_id,
                each.plan_code,
                each.plan_version,
                each.phase_number,
                run_id,
                each.period.start,
                each.period.end,
                each.bill.currency,
                each.bill.subtotal.minor_units,
                each.bill.tax.minor_units,
                each.bill.total.minor_units,
                each.due_time,
                each.is_opening,
                each.issue_date,
                each.create_time,
            )
            for each in drafts
        ),
    )
    await _copy(
        conn,
        "invoice_line",
        "tenant_id, invoice_id, position, code, description, period_start, period_end, amount_minor, unrounded_amount,"
        " tax_codes, fee_minor, days, period_days, rating, watermark",
        (
            (tenant_id, each.id, position, *_line_values(line))
            for each in drafts
            for position, line in enumerate(each.bill.lines)
        ),
    )
    await _copy(
        conn,
        "invoice_tax",
        "tenant_id, invoice_id, position, code, name, rate_percent, taxable_minor, amount_minor, unrounded_amount",
        (
            (
                tenant_id,
                each.id,
                position,
                tax.code,
                tax.name,
                tax.rate_percent,
                tax.taxable.minor_units,
                tax.amount.minor_units,
                tax.unrounded_amount,
            )
            for each in drafts
            for position, tax in enumerate(each.bill.taxes)
        ),
    )


async def tenants_with_drafts(conn: Conn) -> Sequence[str]:
    return [
        row["tenant_id"] for row in await conn.fetch("SELECT DISTINCT tenant_id FROM invoice WHERE state = 'draft'")
    ]


async def take_drafts(conn: Conn, tenant_id: str, limit: int) -> Sequence[tuple[str, str, date]]:
    """Lock up to `limit` drafts that nobody else is finalizing, by period: (id, billing run's id, issue date)."""
    rows = await conn.fetch(
        "SELECT id, billing_run_id, issue_date FROM invoice WHERE tenant_id = $1 AND state = 'draft'"
        " ORDER BY period_end, id LIMIT $2 FOR UPDATE SKIP LOCKED",
        tenant_id,
        limit,
    )
    return [(row["id"], row["billing_run_id"], row["issue_date"]) for row in rows]


async def take_sequences(conn: Conn, tenant_id: str, count: int) -> range:
    """The next `count` sequences of the tenant. Nobody else gets any until the transaction ends; if it fails, the next
    one gets these: there are no gaps.
    """
    last: int = await conn.fetchval(
        "INSERT INTO invoice_counter (tenant_id, last_sequence) VALUES ($1, $2) ON CONFLICT (tenant_id)"
        " DO UPDATE SET last_sequence = invoice_counter.last_sequence + $2 RETURNING last_sequence",
        tenant_id,
        count,
    )
    return range(last - count + 1, last + 1)


async def finalize(
    conn: Conn, tenant_id: str, numbered: Sequence[tuple[str, int, str]], finalize_time: datetime, now: datetime
) -> None:
    """Finalize the locked drafts (id, sequence, number). With nothing due they are paid; payments is told of the
    others.
    """
    await conn.execute(
        "UPDATE invoice i SET state = 'finalized', sequence = n.sequence, number = n.number, finalize_time = $5,"
        " payment_status = CASE WHEN amount_due_minor = 0 THEN 'succeeded' ELSE 'pending' END,"
        " hand_over_time = CASE WHEN amount_due_minor > 0 THEN $6::timestamptz END"
        " FROM unnest($2::text[], $3::bigint[], $4::text[]) AS n (id, sequence, number)"
        " WHERE i.tenant_id = $1 AND i.id = n.id AND i.state = 'draft'",
        tenant_id,
        [invoice_id for invoice_id, _, _ in numbered],
        [sequence for _, sequence, _ in numbered],
        [number for _, _, number in numbered],
        finalize_time,
        now,
    )


async def record_payment(
    conn: Conn,
    tenant_id: str,
    invoice_id: str,
    payment_id: str,
    revision: int,
    status: PaymentStatus,
    paid: Money,
) -> None:
    """Does nothing unless `revision` is newer than what the finalized invoice has, and something is due of it."""
    await conn.execute(
        "UPDATE invoice SET payment_status = $5, amount_paid_minor = $6, payment_id = $3, payment_revision = $4"
        " WHERE tenant_id = $1 AND id = $2 AND state = 'finalized' AND payment_revision < $4"
        " AND amount_due_minor > 0",
        tenant_id,
        invoice_id,
        payment_id,
        revision,
        status,
        paid.minor_units,
    )


async def offset(conn: Conn, tenant_id: str, invoice_id: str, amount: Money, now: datetime) -> None:
    """Take `amount` off what is due of a locked, finalized invoice; with nothing left it is paid, otherwise payments is
    to be asked for the rest.
    """
    await conn.execute(
        "UPDATE invoice SET offset_minor = offset_minor + $3,"
        " hand_over_time = CASE WHEN amount_due_minor > $3 THEN $4::timestamptz END,"
        " payment_status = CASE WHEN amount_due_minor > $3 THEN payment_status ELSE 'succeeded' END"
        " WHERE tenant_id = $1 AND id = $2 AND state = 'finalized'",
        tenant_id,
        invoice_id,
        amount.minor_units,
        now,
    )


async def void(conn: Conn, tenant_id: str, invoice_id: str) -> None:
    """Void a locked, finalized invoice. Nobody collects it any more."""
    await conn.execute(
        "UPDATE invoice SET state = 'voided', hand_over_time = NULL"
        " WHERE tenant_id = $1 AND id = $2 AND state = 'finalized'",
        tenant_id,
        invoice_id,
    )


async def get(conn: Conn, tenant_id: str, invoice_id: str) -> Invoice | None:
    row = await conn.fetchrow(f"{_INVOICE} WHERE tenant_id = $1 AND id = $2", tenant_id, invoice_id)
    if row is None:
        return None
    [found] = await _invoices(conn, tenant_id, [row])
    return found


async def lock(conn: Conn, tenant_id: str, invoice_id: str) -> Invoice | None:
    """The invoice, for this transaction alone to change, credit or collect."""
    await conn.execute("SELECT FROM invoice WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant_id, invoice_id)
    return await get(conn, tenant_id, invoice_id)


async def page(
    conn: Conn,
    tenant_id: str,
    customer_id: str | None,
    subscription_id: str | None,
    number: str | None,
    page: Page,
) -> Sequence[Invoice]:
    """Newest first; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"{_INVOICE} WHERE tenant_id = $1 AND ($2::text IS NULL OR customer_id = $2)"
        " AND ($3::text IS NULL OR subscription_id = $3) AND ($4::text IS NULL OR number = $4)"
        " AND ($5::text IS NULL OR id < $5) ORDER BY id DESC LIMIT $6",
        tenant_id,
        customer_id,
        subscription_id,
        number,
        page.after,
        page.size + 1,
    )
    return await _invoices(conn, tenant_id, rows)


async def _copy(conn: Conn, table: str, columns: str, records: Iterable[tuple[Any, ...]]) -> None:
    await conn.copy_records_to_table(table, records=records, columns=columns.split(", "))


def _line_values(line: Line) -> tuple[Any, ...]:
    part = line.proration
    return (
        line.code,
        line.description,
        line.period.start,
        line.period.end,
        line.amount.minor_units,
        line.unrounded_amount,
        line.tax_codes,
        part.fee.minor_units if part else None,
        part.days if part else None,
        part.period_days if part else None,
        line.rating,
        line.watermark,
    )


async def _invoices(conn: Conn, tenant_id: str, rows: Sequence[asyncpg.Record]) -> list[Invoice]:
    """`rows` of _INVOICE with their lines and taxes."""
    currencies = {row["id"]: row["currency"] for row in rows}
    lines: dict[str, list[Line]] = {invoice_id: [] for invoice_id in currencies}
    taxes: dict[str, list[InvoiceTax]] = {invoice_id: [] for invoice_id in currencies}
    for row in await conn.fetch(
        "SELECT invoice_id, code, description, period_start, period_end, amount_minor, unrounded_amount, tax_codes,"
        " fee_minor, days, period_days, rating, watermark FROM invoice_line"
        " WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) ORDER BY invoice_id, position",
        tenant_id,
        list(currencies),
    ):
        lines[row["invoice_id"]].append(_line(row, currencies[row["invoice_id"]]))
    for row in await conn.fetch(
        "SELECT invoice_id, code, name, rate_percent, taxable_minor, amount_minor, unrounded_amount FROM invoice_tax"
        " WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) ORDER BY invoice_id, position",
        tenant_id,
        list(currencies),
    ):
        taxes[row["invoice_id"]].append(_tax(row, currencies[row["invoice_id"]]))
    used = await balances.of_invoices(conn, tenant_id, currencies)
    return [
        _invoice(row, Bill(row["currency"], tuple(lines[row["id"]]), tuple(taxes[row["id"]])), used[row["id"]])
        for row in rows
    ]


def _invoice(row: asyncpg.Record, bill: Bill, used: Sequence[AppliedCredit]) -> Invoice:
    return Invoice(
        id=row["id"],
        number=row["number"],
        customer_id=row["customer_id"],
        subscription_id=row["subscription_id"],
        plan_code=row["plan_code"],
        plan_version=row["plan_version"],
        phase_number=row["phase_number"],
        period=Period(row["period_start"], row["period_end"]),
        bill=bill,
        state=State(row["state"]),
        payment_status=PaymentStatus(row["payment_status"]),
        amount_paid=Money(row["amount_paid_minor"], row["currency"]),
        due_time=row["due_time"],
        is_opening=row["is_opening"],
        issue_date=row["issue_date"],
        create_time=row["create_time"],
        finalize_time=row["finalize_time"],
        offset=Money(row["offset_minor"], row["currency"]),
        credits=tuple(used),
        is_with_payments=row["is_with_payments"],
    )


def _line(row: asyncpg.Record, currency: str) -> Line:
    fee = row["fee_minor"]
    return Line(
        code=row["code"],
        description=row["description"],
        period=Period(row["period_start"], row["period_end"]),
        amount=Money(row["amount_minor"], currency),
        unrounded_amount=row["unrounded_amount"],
        tax_codes=tuple(row["tax_codes"]),
        proration=None if fee is None else Proration(Money(fee, currency), row["days"], row["period_days"]),
        rating=row["rating"],
        watermark=row["watermark"],
    )


def _tax(row: asyncpg.Record, currency: str) -> InvoiceTax:
    return InvoiceTax(
        code=row["code"],
        name=row["name"],
        rate_percent=row["rate_percent"],
        taxable=Money(row["taxable_minor"], currency),
        amount=Money(row["amount_minor"], currency),
        unrounded_amount=row["unrounded_amount"],
    )
