"""Refunds: which of credit notes payments is to be asked for, and how payments says that they stand."""

from collections.abc import Sequence
from datetime import datetime

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.credit_note import RefundRequest, RefundState


async def claim(conn: Conn, now: datetime, leased_until: datetime, limit: int) -> Sequence[RefundRequest]:
    rows = await conn.fetch(
        "UPDATE credit_note n SET refund_due_time = $2"
        " FROM (SELECT tenant_id, id FROM credit_note WHERE refund_due_time <= $1"
        "  ORDER BY refund_due_time LIMIT $3 FOR UPDATE SKIP LOCKED) due"
        " WHERE n.tenant_id = due.tenant_id AND n.id = due.id"
        " RETURNING n.tenant_id, n.id, n.invoice_id, n.total_minor, n.currency",
        now,
        leased_until,
        limit,
    )
    return [
        RefundRequest(row["tenant_id"], row["id"], row["invoice_id"], Money(row["total_minor"], row["currency"]))
        for row in rows
    ]


async def hand_over(conn: Conn, refund: RefundRequest) -> None:
    """Payments has it, and will tell."""
    await conn.execute(
        "UPDATE credit_note SET refund_due_time = NULL WHERE tenant_id = $1 AND id = $2",
        refund.tenant_id,
        refund.credit_note_id,
    )


async def postpone(conn: Conn, refund: RefundRequest, due_time: datetime) -> None:
    await conn.execute(
        "UPDATE credit_note SET refund_due_time = $3 WHERE tenant_id = $1 AND id = $2 AND refund_due_time IS NOT NULL",
        refund.tenant_id,
        refund.credit_note_id,
        due_time,
    )


async def refuse(conn: Conn, refund: RefundRequest, reason: str) -> None:
    """Payments will never make it."""
    await conn.execute(
        "UPDATE credit_note SET refund_due_time = NULL, refund_state = 'failed', refund_failure = $3"
        " WHERE tenant_id = $1 AND id = $2 AND refund_state = 'pending'",
        refund.tenant_id,
        refund.credit_note_id,
        reason,
    )


async def record(
    conn: Conn,
    tenant_id: str,
    refund_id: str,
    revision: int,
    invoice_id: str,
    credit_note_id: str,
    amount: Money,
    state: RefundState,
    failure: str,
) -> None:
    """How payments says that it stands, and the invoice's note with it; nothing unless `revision` is newer."""
    newer = await conn.fetchval(
        "INSERT INTO refund AS r (tenant_id, id, revision, invoice_id, credit_note_id, amount_minor, currency, state,"
        " failure) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (tenant_id, id) DO UPDATE SET revision = $3, state = $8, failure = $9"
        " WHERE r.revision < $3 AND r.invoice_id = $4"
        " RETURNING true",
        tenant_id,
        refund_id,
        revision,
        invoice_id,
        credit_note_id,
        amount.minor_units,
        amount.currency,
        state,
        failure,
    )
    if newer:
        await conn.execute(
            "UPDATE credit_note SET refund_state = $4, refund_failure = $5, refund_due_time = NULL"
            " WHERE tenant_id = $1 AND id = $2 AND invoice_id = $3 AND kind = 'refund'",
            tenant_id,
            credit_note_id,
            invoice_id,
            state,
            failure,
        )


async def given_back(conn: Conn, tenant_id: str, invoice_id: str) -> int:
    """Minor units of an invoice that are given back."""
    amount: int = await conn.fetchval(
        "SELECT coalesce(sum(amount_minor), 0)::bigint FROM refund"
        " WHERE tenant_id = $1 AND invoice_id = $2 AND state = 'succeeded'",
        tenant_id,
        invoice_id,
    )
    return amount


async def refunded(conn: Conn, tenant_id: str, invoice_id: str) -> int:
    """Minor units that are given back of an invoice, or are to be: of its notes, and asked for in payments."""
    amount: int = await conn.fetchval(
        "SELECT (SELECT coalesce(sum(total_minor), 0) FROM credit_note"
        "  WHERE tenant_id = $1 AND invoice_id = $2 AND refund_state <> 'failed')::bigint"
        " + (SELECT coalesce(sum(amount_minor), 0) FROM refund"
        "  WHERE tenant_id = $1 AND invoice_id = $2 AND state <> 'failed' AND credit_note_id = '')::bigint",
        tenant_id,
        invoice_id,
    )
    return amount
