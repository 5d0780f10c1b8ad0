"""Which invoices payments is to be told of, may have or gives back. Who also changes the invoice locks that first."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.invoice import HandOver

_COLUMNS = "tenant_id, id, number, customer_id, amount_due_minor, currency, payment_version"

IS_WITH_PAYMENTS = (
    "i.state = 'finalized' AND i.amount_due_minor > 0 AND NOT EXISTS (SELECT FROM hand_over h"
    " WHERE h.tenant_id = i.tenant_id AND h.invoice_id = i.id AND NOT h.is_asked)"
)
"""Whether payments was asked to collect the invoice `i`, and may have it."""


_TRIED = (
    "unnest($1::text[], $2::text[], $3::bigint[]) AS t (tenant_id, invoice_id, version)"
    " WHERE h.tenant_id = t.tenant_id AND h.invoice_id = t.invoice_id AND h.version = t.version"
)


async def claim(conn: Conn, now: datetime, leased_until: datetime, limit: int) -> Sequence[HandOver]:
    """Lease up to `limit` finalized invoices that payments does not have yet. From now on, it may.

    Rows are found by where they lie: a plan that joins the table with itself is made while it is all but empty, and
    kept while a run fills it.
    """
    rows = await conn.fetch(
        "WITH leased AS (UPDATE hand_over SET due_time = $2, is_asked = true"
        "  WHERE ctid = ANY (ARRAY(SELECT ctid FROM hand_over WHERE due_time <= $1"
        "   ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED))"
        "  RETURNING tenant_id, invoice_id, version)"
        " SELECT i.*, l.version AS payment_version FROM leased l, LATERAL"
        "  (SELECT i.tenant_id, i.id, i.number, i.customer_id, i.amount_due_minor, i.currency,"
        "    c.address ->> 'country_code' AS country_code, c.metadata ->> 'segment' AS segment"
        "   FROM invoice i JOIN customer c ON c.tenant_id = i.tenant_id AND c.id = i.customer_id"
        "   WHERE i.tenant_id = l.tenant_id AND i.id = l.invoice_id AND i.state = 'finalized' OFFSET 0) i",
        now,
        leased_until,
        limit,
    )
    return [
        replace(_hand_over(row), country_code=row["country_code"] or "", segment=row["segment"] or "") for row in rows
    ]


async def end(conn: Conn, had: Sequence[HandOver]) -> None:
    """Payments has them; not those that were taken back meanwhile."""
    await conn.execute(
        f"DELETE FROM hand_over h USING {_TRIED}",
        [each.tenant_id for each in had],
        [each.invoice_id for each in had],
        [each.version for each in had],
    )


async def postpone(conn: Conn, tried: Sequence[HandOver], again: datetime) -> None:
    """Payments is to be asked again; not for those that were taken back meanwhile."""
    await conn.execute(
        f"UPDATE hand_over h SET due_time = $4 FROM {_TRIED}",
        [each.tenant_id for each in tried],
        [each.invoice_id for each in tried],
        [each.version for each in tried],
        again,
    )


async def renew(conn: Conn, tenant_id: str, invoice_id: str, now: datetime) -> None:
    """Payments, which does not have the locked invoice, is to collect what is due of it now, if anything is."""
    await conn.execute("DELETE FROM hand_over WHERE tenant_id = $1 AND invoice_id = $2", tenant_id, invoice_id)
    await conn.execute(
        "INSERT INTO hand_over (tenant_id, invoice_id, version, due_time)"
        " SELECT tenant_id, id, payment_version, $3 FROM invoice"
        " WHERE tenant_id = $1 AND id = $2 AND state = 'finalized' AND amount_due_minor > 0",
        tenant_id,
        invoice_id,
        now,
    )


async def lock(conn: Conn, tenant_id: str, invoice_id: str) -> None:
    """Of a locked invoice: until the transaction ends, payments is not asked for the first time."""
    await conn.execute(
        "SELECT FROM hand_over WHERE tenant_id = $1 AND invoice_id = $2 FOR UPDATE", tenant_id, invoice_id
    )


async def take_back(conn: Conn, tenant_id: str, invoice_id: str, leased_until: datetime) -> HandOver | None:
    """Lease a finalized invoice that payments may have, to have it given back; when the lease ends, payments is asked
    to collect what is still due. None if there is nothing to take back.
    """
    row = await conn.fetchrow(
        f"WITH taken AS (UPDATE invoice i SET payment_version = payment_version + 1"
        f"  WHERE tenant_id = $1 AND id = $2 AND payment_status <> 'succeeded' AND {IS_WITH_PAYMENTS}"
        f"  RETURNING {_COLUMNS}),"
        " leased AS (INSERT INTO hand_over (tenant_id, invoice_id, version, is_asked, due_time)"
        "  SELECT tenant_id, id, payment_version, true, $3 FROM taken ON CONFLICT (tenant_id, invoice_id)"
        "  DO UPDATE SET version = excluded.version, is_asked = true, due_time = excluded.due_time)"
        " SELECT * FROM taken",
        tenant_id,
        invoice_id,
        leased_until,
    )
    return _hand_over(row) if row else None


async def given_back(conn: Conn, invoice: HandOver, leased_until: datetime) -> None:
    """Payments has the invoice no more, unless somebody has asked it again meanwhile."""
    await conn.execute(
        "UPDATE hand_over SET is_asked = false"
        " WHERE tenant_id = $1 AND invoice_id = $2 AND version = $3 AND due_time = $4",
        invoice.tenant_id,
        invoice.invoice_id,
        invoice.version,
        leased_until,
    )


def _hand_over(row: asyncpg.Record) -> HandOver:
    return HandOver(
        row["tenant_id"],
        row["id"],
        row["number"],
        row["customer_id"],
        Money(row["amount_due_minor"], row["currency"]),
        row["payment_version"],
    )
