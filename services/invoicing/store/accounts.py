"""What the ledger says of a customer."""

# ruff: noqa: S608 what is interpolated is the condition below

import json
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.account import ACCOUNTS, Booked, Payment
from services.invoicing.domain.customer import Address
from services.invoicing.domain.document import Buyer
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.period import zone

_ACCOUNT = (
    "i.tenant_id = $1 AND i.customer_id = $2 AND coalesce(i.legal_entity_code,"
    " (SELECT o.code FROM customer_issuer o WHERE o.tenant_id = $1 AND o.customer_id = $2)) = $3"
)
"""Invoices of a customer that a legal entity has issued; who bills it now has those that nobody did."""


class Paid(NamedTuple):
    """What was received for an invoice, and the last source of it in the ledger."""

    payments: Sequence[Payment]
    last_source: str


async def currencies(conn: Conn, tenant_id: str, customer_id: str, legal_entity: str) -> list[str]:
    """Those that the customer has invoices in."""
    rows = await conn.fetch(
        f"SELECT DISTINCT i.currency FROM invoice i WHERE {_ACCOUNT} AND i.number IS NOT NULL ORDER BY i.currency",
        tenant_id,
        customer_id,
        legal_entity,
    )
    return [row["currency"] for row in rows]


async def opening(conn: Conn, tenant_id: str, customer_id: str, legal_entity: str, currency: str, day: date) -> Money:
    """What the customer owed before `day`, less what it was owed."""
    amount: int = await conn.fetchval(
        "SELECT coalesce(sum(p.amount_minor), 0)::bigint FROM ledger_posting p"
        " JOIN invoice i ON i.tenant_id = p.tenant_id AND i.id = p.invoice_id"
        f" WHERE p.tenant_id = $1 AND {_ACCOUNT} AND p.currency = $4 AND p.account = ANY($5::text[])"
        " AND p.effective_date < $6",
        tenant_id,
        customer_id,
        legal_entity,
        currency,
        [*ACCOUNTS],
        day,
    )
    return Money(amount, currency)


async def booked(
    conn: Conn,
    tenant_id: str,
    customer_id: str,
    legal_entity: str,
    currency: str,
    first_day: date,
    last_day: date,
) -> Sequence[Booked]:
    """In the order of the days, and else of the books."""
    rows = await conn.fetch(
        "SELECT p.source, i.number, coalesce(n.number, '') AS note_number, p.effective_date,"
        " sum(p.amount_minor)::bigint AS amount FROM ledger_posting p"
        " JOIN invoice i ON i.tenant_id = p.tenant_id AND i.id = p.invoice_id"
        " LEFT JOIN credit_note n ON p.source LIKE 'note/%' AND n.tenant_id = p.tenant_id"
        "  AND n.id = split_part(p.source, '/', 2)"
        f" WHERE p.tenant_id = $1 AND {_ACCOUNT} AND p.currency = $4 AND p.account = ANY($5::text[])"
        " AND p.effective_date BETWEEN $6 AND $7"
        " GROUP BY p.invoice_id, p.source, i.number, i.sequence, n.number, p.effective_date"
        " HAVING sum(p.amount_minor) <> 0 ORDER BY p.effective_date, min(p.recorded_time), i.sequence, p.source",
        tenant_id,
        customer_id,
        legal_entity,
        currency,
        [*ACCOUNTS],
        first_day,
        last_day,
    )
    return [
        Booked(row["source"], row["number"], row["note_number"], row["effective_date"], Money(row["amount"], currency))
        for row in rows
    ]


async def paid(conn: Conn, tenant_id: str, invoice_id: str) -> Paid:
    """In the order that it was booked."""
    rows = await conn.fetch(
        "SELECT source, effective_date, currency, amount_minor FROM ledger_posting"
        " WHERE tenant_id = $1 AND invoice_id = $2 AND source LIKE 'payment/%' AND account = $3"
        " ORDER BY recorded_time, source",
        tenant_id,
        invoice_id,
        Account.CASH,
    )
    payments = [
        Payment(row["source"].split("/")[1], row["effective_date"], Money(row["amount_minor"], row["currency"]))
        for row in rows
    ]
    return Paid(payments, rows[-1]["source"] if rows else "")


async def holder(conn: Conn, tenant_id: str, customer_id: str) -> Buyer | None:
    """The customer as it is now."""
    row = await conn.fetchrow(
        "SELECT id, name, locale, time_zone, address, tax_ids FROM customer WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        customer_id,
    )
    if row is None:
        return None
    return Buyer(
        id=row["id"],
        name=row["name"],
        locale=row["locale"],
        tz=zone(row["time_zone"]),
        address=Address(**json.loads(row["address"])),
        tax_ids=json.loads(row["tax_ids"]),
    )
