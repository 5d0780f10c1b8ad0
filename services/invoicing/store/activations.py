"""Subscriptions that wait for their first payment, and what becomes of it."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from libs.common.postgres import Conn
from services.invoicing.domain.activation import Activation, ActivationState, CancelReason, Overdue
from services.invoicing.domain.subscription import Subscription

_OPENING = (
    "SELECT i.id, i.state, i.payment_status FROM invoice_settlement l JOIN invoice i"
    " ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id"
    " WHERE l.tenant_id = s.tenant_id AND l.subscription_id = s.id AND l.phase_number = 1 AND l.is_opening"
)


async def save(conn: Conn, tenant_id: str, changed: Subscription) -> None:
    if (its := changed.activation) is None:
        return
    await conn.execute(
        "UPDATE subscription SET activation = $3, payment_timeout = $4, expire_time = $5, cancel_reason = $6"
        " WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        changed.id,
        its.state,
        its.payment_timeout,
        its.expire_time,
        its.cancel_reason,
    )


async def activate_paid(conn: Conn) -> Sequence[str]:
    """Those whose opening invoice is paid are active. Returns their ids."""
    rows = await conn.fetch(
        "UPDATE subscription s SET activation = 'active', revision = revision + 1 WHERE s.activation = 'incomplete'"  # noqa: S608
        f" AND EXISTS ({_OPENING} AND i.payment_status = 'succeeded' AND i.state <> 'voided') RETURNING s.id"
    )
    return [row["id"] for row in rows]


async def claim_overdue(conn: Conn, now: datetime, leased_until: datetime, limit: int) -> Sequence[Overdue]:
    """Lease up to `limit` of those whose time is up by their tenants' clocks, and that nobody is at."""
    rows = await conn.fetch(
        "WITH overdue AS MATERIALIZED (SELECT s.tenant_id, s.id FROM subscription s"  # noqa: S608
        "  JOIN billing_clock c ON c.tenant_id = s.tenant_id"
        "  WHERE s.activation = 'incomplete' AND s.expire_time <= coalesce(c.now, $1) AND s.available_time <= $1"
        "  ORDER BY s.expire_time LIMIT $3 FOR UPDATE OF s SKIP LOCKED),"
        " leased AS (UPDATE subscription s SET available_time = $2 FROM overdue o"
        "  WHERE s.tenant_id = o.tenant_id AND s.id = o.id RETURNING s.tenant_id, s.id)"
        " SELECT s.tenant_id, s.id, o.id AS invoice_id, o.payment_status FROM leased s"
        f" LEFT JOIN LATERAL ({_OPENING}) o ON true",
        now,
        leased_until,
        limit,
    )
    return [
        Overdue(
            row["tenant_id"],
            row["id"],
            row["invoice_id"],
            CancelReason.PAYMENT_FAILED if row["payment_status"] == "failed" else CancelReason.TIMEOUT,
        )
        for row in rows
    ]


def read(row: asyncpg.Record) -> Activation | None:
    if row["activation"] is None:
        return None
    return Activation(
        ActivationState(row["activation"]),
        row["payment_timeout"],
        row["expire_time"],
        CancelReason(row["cancel_reason"]) if row["cancel_reason"] else None,
    )
