"""Which invoices payments is to be told of, has, or is to give back."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.invoice import HandOver

_COLUMNS = "i.tenant_id, i.id, i.number, i.customer_id, i.amount_due_minor, i.currency, i.payment_version"


async def claim(conn: Conn, now: datetime, leased_until: datetime, limit: int) -> Sequence[HandOver]:
    """Lease up to `limit` finalized invoices that payments does not have yet."""
    rows = await conn.fetch(
        "WITH due AS MATERIALIZED (SELECT tenant_id, id, customer_id FROM invoice WHERE hand_over_time <= $1"
        "  ORDER BY hand_over_time LIMIT $3 FOR UPDATE SKIP LOCKED)"
        " UPDATE invoice i SET hand_over_time = $2, is_with_payments = true"
        " FROM due JOIN customer c ON c.tenant_id = due.tenant_id AND c.id = due.customer_id"
        " WHERE i.tenant_id = due.tenant_id AND i.id = due.id"
        f" RETURNING {_COLUMNS}, c.address ->> 'country_code' AS country_code, c.metadata ->> 'segment' AS segment",
        now,
        leased_until,
        limit,
    )
    return [
        replace(_hand_over(row), country_code=row["country_code"] or "", segment=row["segment"] or "") for row in rows
    ]


async def set_time(conn: Conn, tried: Iterable[HandOver], again: datetime | None) -> None:
    """Payments has them (None), or is to be asked again at `again`; not those that were taken back meanwhile."""
    keys = [(each.tenant_id, each.invoice_id, each.version) for each in tried]
    await conn.execute(
        "UPDATE invoice i SET hand_over_time = $4"
        " FROM unnest($1::text[], $2::text[], $3::bigint[]) AS t (tenant_id, id, version)"
        " WHERE i.tenant_id = t.tenant_id AND i.id = t.id AND i.payment_version = t.version"
        " AND i.hand_over_time IS NOT NULL",
        [tenant_id for tenant_id, _, _ in keys],
        [invoice_id for _, invoice_id, _ in keys],
        [version for _, _, version in keys],
        again,
    )


async def take_back(conn: Conn, tenant_id: str, invoice_id: str, leased_until: datetime) -> HandOver | None:
    """Lease a finalized invoice that payments may have, to have it given back; when the lease ends, payments is asked
    to collect what is still due. None if there is nothing to take back.
    """
    row = await conn.fetchrow(
        "UPDATE invoice i SET hand_over_time = $3, payment_version = payment_version + 1"
        " WHERE tenant_id = $1 AND id = $2 AND state = 'finalized' AND is_with_payments AND amount_due_minor > 0"
        f" AND payment_status <> 'succeeded' RETURNING {_COLUMNS}",
        tenant_id,
        invoice_id,
        leased_until,
    )
    return _hand_over(row) if row else None


async def given_back(conn: Conn, invoice: HandOver, leased_until: datetime) -> None:
    """Payments has the invoice no more, unless somebody has asked it again meanwhile."""
    await conn.execute(
        "UPDATE invoice SET is_with_payments = false"
        " WHERE tenant_id = $1 AND id = $2 AND payment_version = $3 AND hand_over_time = $4",
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
