"""The balances of credit notes, and what invoices have used of them."""

# ruff: noqa: S608 what is interpolated is the query below

from collections.abc import Mapping, Sequence

import asyncpg

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.balance import Application, Balance, Owed
from services.invoicing.domain.invoice import AppliedCredit

_BALANCE = (
    "SELECT n.id, n.number, n.customer_id, n.balance_minor, n.currency FROM credit_note n"
    " JOIN invoice o ON o.tenant_id = n.tenant_id AND o.id = n.invoice_id"
    " WHERE n.tenant_id = $1 AND n.balance_minor > 0"
)


async def lock_balances(conn: Conn, tenant_id: str, invoice_ids: Sequence[str]) -> Sequence[Balance]:
    """What is left of the notes that these totalled invoices may use, in the order it is used; nobody else may use it.
    Those of a customer are issued by one legal entity.
    """
    rows = await conn.fetch(
        f"{_BALANCE} AND EXISTS (SELECT FROM invoice i WHERE i.tenant_id = $1 AND i.id = ANY($2::text[])"
        "  AND i.customer_id = n.customer_id"
        "  AND (o.legal_entity_code IS NULL OR o.legal_entity_code = i.legal_entity_code))"
        " ORDER BY n.serial FOR UPDATE OF n",
        tenant_id,
        invoice_ids,
    )
    return [_balance(row) for row in rows]


async def of_customer(conn: Conn, tenant_id: str, customer_id: str) -> Sequence[Balance]:
    """What is left of the notes that a customer's next invoices may use, in the order it is used."""
    rows = await conn.fetch(
        f"{_BALANCE} AND n.customer_id = $2 AND (o.legal_entity_code IS NULL OR o.legal_entity_code ="
        "  (SELECT e.code FROM customer_issuer e WHERE e.tenant_id = $1 AND e.customer_id = $2)) ORDER BY n.serial",
        tenant_id,
        customer_id,
    )
    return [_balance(row) for row in rows]


async def owed(conn: Conn, tenant_id: str, invoice_ids: Sequence[str]) -> Sequence[Owed]:
    """In the order of `invoice_ids`."""
    rows = await conn.fetch(
        "SELECT i.id, i.customer_id, i.total_minor, i.currency FROM invoice i"
        " JOIN unnest($2::text[]) WITH ORDINALITY AS n (id, place) ON i.id = n.id"
        " WHERE i.tenant_id = $1 ORDER BY n.place",
        tenant_id,
        invoice_ids,
    )
    return [Owed(row["id"], row["customer_id"], Money(row["total_minor"], row["currency"])) for row in rows]


async def insert(conn: Conn, tenant_id: str, applications: Sequence[Application]) -> None:
    """On drafts. Raises CheckViolationError when a note has less, or an invoice comes to less."""
    invoice_ids = [each.invoice_id for each in applications]
    note_ids = [each.credit_note_id for each in applications]
    amounts = [each.amount.minor_units for each in applications]
    await conn.execute(
        "INSERT INTO credit_application (tenant_id, invoice_id, credit_note_id, amount_minor)"
        " SELECT $1, a.* FROM unnest($2::text[], $3::text[], $4::bigint[]) AS a",
        tenant_id,
        invoice_ids,
        note_ids,
        amounts,
    )
    await conn.execute(
        "UPDATE credit_note n SET balance_minor = balance_minor - a.amount"
        " FROM (SELECT id, sum(amount)::bigint AS amount FROM unnest($2::text[], $3::bigint[]) AS u (id, amount)"
        "  GROUP BY id) a"
        " WHERE n.tenant_id = $1 AND n.id = a.id",
        tenant_id,
        note_ids,
        amounts,
    )
    await conn.execute(
        "UPDATE invoice i SET credits_minor = a.amount"
        " FROM (SELECT id, sum(amount)::bigint AS amount FROM unnest($2::text[], $3::bigint[]) AS u (id, amount)"
        "  GROUP BY id) a"
        " WHERE i.tenant_id = $1 AND i.id = a.id AND i.state = 'draft'",
        tenant_id,
        invoice_ids,
        amounts,
    )


async def give_back(conn: Conn, tenant_id: str, invoice_id: str) -> None:
    """Return what a locked invoice has used to its notes, once."""
    await conn.execute(
        "SELECT FROM credit_note n WHERE tenant_id = $1 AND id IN (SELECT credit_note_id FROM credit_application"
        "  WHERE tenant_id = $1 AND invoice_id = $2) ORDER BY serial FOR UPDATE",
        tenant_id,
        invoice_id,
    )
    await conn.execute(
        "WITH returned AS (UPDATE credit_application SET is_returned = true"
        "  WHERE tenant_id = $1 AND invoice_id = $2 AND NOT is_returned RETURNING credit_note_id, amount_minor)"
        " UPDATE credit_note n SET balance_minor = balance_minor + r.amount_minor"
        " FROM returned r WHERE n.tenant_id = $1 AND n.id = r.credit_note_id",
        tenant_id,
        invoice_id,
    )


async def of_invoices(
    conn: Conn, tenant_id: str, currencies: Mapping[str, str]
) -> Mapping[str, Sequence[AppliedCredit]]:
    """By the ids of `currencies`, in the order they were used."""
    found: dict[str, list[AppliedCredit]] = {invoice_id: [] for invoice_id in currencies}
    for row in await conn.fetch(
        "SELECT a.invoice_id, a.credit_note_id, n.number, a.amount_minor FROM credit_application a"
        " JOIN credit_note n ON n.tenant_id = a.tenant_id AND n.id = a.credit_note_id"
        " WHERE a.tenant_id = $1 AND a.invoice_id = ANY($2::text[]) ORDER BY a.invoice_id, n.serial",
        tenant_id,
        list(currencies),
    ):
        amount = Money(row["amount_minor"], currencies[row["invoice_id"]])
        found[row["invoice_id"]].append(AppliedCredit(row["credit_note_id"], row["number"], amount))
    return found


def _balance(row: asyncpg.Record) -> Balance:
    return Balance(row["id"], row["number"], row["customer_id"], Money(row["balance_minor"], row["currency"]))
