"""Invoices, from draft to paid."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.bill import Bill
from services.invoicing.domain.invoice import AppliedCredit, Invoice, InvoiceKind, PaymentStatus, State
from services.invoicing.domain.line import bearing
from services.invoicing.domain.settlement import Settlement
from services.invoicing.store import balances, discounts, hand_overs, lines, settlements

_INVOICE = (
    "SELECT tenant_id, id, number, customer_id, currency, state, payment_status, amount_paid_minor, due_time,"  # noqa: S608
    " issue_date, create_time, finalize_time, offset_minor, default_tax_codes,"
    " draft_until, regenerated_from, prepaid_minor, kind, due_date, payment_overdue, overdue_time, legal_entity_code,"
    " (SELECT max(f.done_time) FROM final_action f WHERE f.tenant_id = i.tenant_id AND f.invoice_id = i.id"
    "  AND f.action = 'write_off' AND f.note = '') AS write_off_time,"
    " (SELECT coalesce(sum(d.amount_minor), 0)::bigint FROM dispute d WHERE d.tenant_id = i.tenant_id"
    "  AND d.invoice_id = i.id AND d.state = 'lost') AS disputed_minor,"
    f" {hand_overs.IS_WITH_PAYMENTS} AS is_with_payments FROM invoice i"
)


@dataclass(frozen=True, slots=True)
class Head:
    """An invoice without its lines; `tax_codes` are the taxes on lines without any of their own, once it is final."""

    customer_id: str
    currency: str
    state: State
    tax_codes: tuple[str, ...]


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
        "UPDATE invoice SET payment_status = $5, amount_paid_minor = $6, payment_id = $3, payment_revision = $4,"
        " payment_overdue = payment_overdue AND $5 <> 'succeeded'"
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
        " payment_status = CASE WHEN amount_due_minor > $3 THEN payment_status ELSE 'succeeded' END,"
        " payment_overdue = payment_overdue AND amount_due_minor > $3"
        " WHERE tenant_id = $1 AND id = $2 AND state = 'finalized'",
        tenant_id,
        invoice_id,
        amount.minor_units,
    )
    await hand_overs.renew(conn, tenant_id, invoice_id, now)


async def void(conn: Conn, tenant_id: str, invoice_id: str) -> None:
    """Void a locked, finalized invoice. Nobody collects it any more."""
    await conn.execute(
        "UPDATE invoice SET state = 'voided', payment_overdue = false"
        " WHERE tenant_id = $1 AND id = $2 AND state = 'finalized'",
        tenant_id,
        invoice_id,
    )
    await conn.execute("DELETE FROM hand_over WHERE tenant_id = $1 AND invoice_id = $2", tenant_id, invoice_id)


async def get(conn: Conn, tenant_id: str, invoice_id: str) -> Invoice | None:
    row = await conn.fetchrow(f"{_INVOICE} WHERE tenant_id = $1 AND id = $2", tenant_id, invoice_id)
    if row is None:
        return None
    [found] = await _invoices(conn, tenant_id, [row])
    return found


async def head(conn: Conn, tenant_id: str, invoice_id: str) -> Head | None:
    row = await conn.fetchrow(
        "SELECT customer_id, currency, state, default_tax_codes FROM invoice WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        invoice_id,
    )
    if row is None:
        return None
    return Head(row["customer_id"], row["currency"], State(row["state"]), tuple(row["default_tax_codes"]))


async def lock(conn: Conn, tenant_id: str, invoice_id: str) -> Invoice | None:
    """The invoice, for this transaction alone to change, credit or collect."""
    await conn.execute("SELECT FROM invoice WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant_id, invoice_id)
    await hand_overs.lock(conn, tenant_id, invoice_id)
    return await get(conn, tenant_id, invoice_id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which invoices are listed; what is None does not matter."""

    customer_id: str | None
    subscription_id: str | None
    number: str | None
    state: State | None
    payment_status: PaymentStatus | None
    only_overdue: bool


async def page(conn: Conn, tenant_id: str, wanted: Wanted, page: Page) -> Sequence[Invoice]:
    """Newest first; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"{_INVOICE} WHERE tenant_id = $1 AND ($2::text IS NULL OR customer_id = $2)"
        " AND ($3::text IS NULL OR EXISTS (SELECT FROM invoice_settlement s"
        "  WHERE s.tenant_id = $1 AND s.subscription_id = $3 AND s.invoice_id = i.id)"
        "  OR i.kind IN ('advance_usage', 'progressive', 'advance_fees') AND i.alone_subscription_id = $3)"
        " AND ($4::text IS NULL OR number = $4)"
        " AND (payment_overdue OR NOT $7)"
        " AND ($8::text IS NULL OR state = $8) AND ($9::text IS NULL OR payment_status = $9)"
        " AND ($5::text IS NULL OR id < $5) ORDER BY id DESC LIMIT $6",
        tenant_id,
        wanted.customer_id,
        wanted.subscription_id,
        wanted.number,
        page.after,
        page.size + 1,
        wanted.only_overdue,
        wanted.state,
        wanted.payment_status,
    )
    return await _invoices(conn, tenant_id, rows)


async def _invoices(conn: Conn, tenant_id: str, rows: Sequence[asyncpg.Record]) -> list[Invoice]:
    """`rows` of _INVOICE with their lines and taxes."""
    currencies = {row["id"]: row["currency"] for row in rows}
    its_lines = await lines.of_invoices(conn, tenant_id, currencies)
    taxes = await lines.taxes(conn, tenant_id, currencies)
    settled = await settlements.of_invoices(conn, tenant_id, currencies)
    used = await balances.of_invoices(conn, tenant_id, currencies)
    taken_off = await discounts.of_invoices(conn, tenant_id, currencies)
    return [
        _invoice(
            row,
            Bill(
                row["currency"],
                tuple(bearing(its_lines[row["id"]], tuple(row["default_tax_codes"]))),
                tuple(taxes[row["id"]]),
                tuple(taken_off[row["id"]]),
            ),
            settled[row["id"]],
            used[row["id"]],
        )
        for row in rows
    ]


def _invoice(row: asyncpg.Record, bill: Bill, settled: Sequence[Settlement], used: Sequence[AppliedCredit]) -> Invoice:
    return Invoice(
        id=row["id"],
        number=row["number"],
        customer_id=row["customer_id"],
        settlements=tuple(settled),
        bill=bill,
        state=State(row["state"]),
        payment_status=PaymentStatus(row["payment_status"]),
        amount_paid=Money(row["amount_paid_minor"], row["currency"]),
        due_time=row["due_time"],
        issue_date=row["issue_date"],
        create_time=row["create_time"],
        finalize_time=row["finalize_time"],
        offset=Money(row["offset_minor"], row["currency"]),
        credits=tuple(used),
        is_with_payments=row["is_with_payments"],
        draft_until=row["draft_until"],
        prepaid=Money(row["prepaid_minor"], row["currency"]),
        regenerated_from=row["regenerated_from"],
        kind=InvoiceKind(row["kind"]),
        due_date=row["due_date"],
        is_overdue=row["payment_overdue"],
        overdue_time=row["overdue_time"],
        legal_entity_code=row["legal_entity_code"] or "" if row["number"] else "",
        write_off_time=row["write_off_time"],
        disputed=Money(row["disputed_minor"], row["currency"]),
    )
