"""payment_attempt."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from libs.common.money import Money
from libs.common.postgres import Conn
from services.payments.domain.attempt import Attempt, AttemptState
from services.payments.domain.payment import Payment
from services.payments.providers import Charge
from services.payments.store.routing import decision_json, decision_of

_COLUMNS = (
    "tenant_id, payment_id, number, payment_method_id, processor_account_id, state, idempotency_key, reference,"
    " decline_code, decline_message, tries, create_time, minor_units, refunded_minor, decision,"
    " advice_code"
)


def _attempt(row: asyncpg.Record) -> Attempt:
    known = {"state": AttemptState(row["state"]), "decision": decision_of(row["decision"])}
    return Attempt(**{**row, **known, "payment_method_id": row["payment_method_id"] or ""})


async def insert(conn: Conn, attempt: Attempt, lease_end: datetime) -> None:
    await conn.execute(
        """
        INSERT INTO payment_attempt (tenant_id, payment_id, number, payment_method_id, processor_account_id, state,
                                     idempotency_key, due_time, create_time, minor_units, decision, decline_code,
                                     decline_message)
        VALUES ($1, $2, $3, nullif($4, ''), $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """,
        attempt.tenant_id, attempt.payment_id, attempt.number, attempt.payment_method_id,
        attempt.processor_account_id, attempt.state, attempt.idempotency_key, lease_end, attempt.create_time,
        attempt.minor_units, None if attempt.decision is None else decision_json(attempt.decision),
        attempt.decline_code, attempt.decline_message,
    )  # fmt: skip


async def find_charge(conn: Conn, tenant_id: str, payment_id: str, number: int) -> Charge:
    """What an attempt asks of its processor account; for attempts that exist."""
    row = await conn.fetchrow(
        """
        SELECT a.idempotency_key, a.create_time, p.invoice_id, p.invoice_number, a.minor_units, p.currency,
               c.reference AS customer_reference, coalesce(m.reference, '') AS method_reference
        FROM payment_attempt a
        JOIN payment p ON p.tenant_id = a.tenant_id AND p.id = a.payment_id
        JOIN processor_customer c ON c.tenant_id = a.tenant_id AND c.processor_account_id = a.processor_account_id
             AND c.customer_id = p.customer_id
        LEFT JOIN payment_method m ON m.tenant_id = a.tenant_id AND m.id = a.payment_method_id
        WHERE a.tenant_id = $1 AND a.payment_id = $2 AND a.number = $3
        """,
        tenant_id, payment_id, number,
    )  # fmt: skip
    assert row is not None, "attempts are never deleted"
    return Charge(
        tenant_id=tenant_id,
        payment_id=payment_id,
        number=number,
        idempotency_key=row["idempotency_key"],
        invoice_id=row["invoice_id"],
        invoice_number=row["invoice_number"],
        customer_reference=row["customer_reference"],
        method_reference=row["method_reference"],
        amount=Money(row["minor_units"], row["currency"]),
        create_time=row["create_time"],
    )


async def list_of(conn: Conn, tenant_id: str, payment_ids: Sequence[str]) -> Sequence[Attempt]:
    """Every attempt of these payments, oldest first."""
    rows = await conn.fetch(
        f"""
        SELECT {_COLUMNS} FROM payment_attempt
        WHERE tenant_id = $1 AND payment_id = ANY($2::text[])
        ORDER BY payment_id, number
        """,
        tenant_id, payment_ids,
    )  # fmt: skip
    return [_attempt(row) for row in rows]


async def find(conn: Conn, tenant_id: str, payment_id: str, number: int) -> Attempt | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM payment_attempt WHERE tenant_id = $1 AND payment_id = $2 AND number = $3",
        tenant_id,
        payment_id,
        number,
    )
    return None if row is None else _attempt(row)


async def lock(conn: Conn, tenant_id: str, payment_id: str, number: int) -> Attempt | None:
    """The attempt, for this transaction alone to change; its payment is locked before it."""
    row = await conn.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM payment_attempt
        WHERE tenant_id = $1 AND payment_id = $2 AND number = $3 FOR UPDATE
        """,
        tenant_id, payment_id, number,
    )  # fmt: skip
    return None if row is None else _attempt(row)


async def declines(
    conn: Conn, tenant_id: str, account_id: str, method_reference: str, since: datetime, limit: int
) -> Sequence[tuple[datetime, str]]:
    """When what the processor knows as `method_reference` was tried and not charged, newest first, for any payment, and
    what the network advised then.
    """
    rows = await conn.fetch(
        """
        SELECT a.create_time, a.advice_code FROM payment_method m
        JOIN payment_attempt a ON a.tenant_id = m.tenant_id AND a.payment_method_id = m.id
        WHERE m.tenant_id = $1 AND m.processor_account_id = $2 AND m.reference = $3
          AND a.create_time > $4 AND a.state NOT IN ('SUCCEEDED')
        ORDER BY a.create_time DESC LIMIT $5
        """,
        tenant_id, account_id, method_reference, since, limit,
    )  # fmt: skip
    return [(row["create_time"], row["advice_code"]) for row in rows]


async def declined_times_of(conn: Conn, payment: Payment, method_id: str, limit: int) -> Sequence[datetime]:
    """When the payment's method was charged in vain for it, newest first."""
    rows = await conn.fetch(
        """
        SELECT create_time FROM payment_attempt
        WHERE tenant_id = $1 AND payment_id = $2 AND payment_method_id = $3 AND state = 'DECLINED'
        ORDER BY number DESC LIMIT $4
        """,
        payment.tenant_id, payment.id, method_id, limit,
    )  # fmt: skip
    return [row["create_time"] for row in rows]


async def find_last(conn: Conn, tenant_id: str, payment_id: str) -> Attempt | None:
    row = await conn.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM payment_attempt
        WHERE tenant_id = $1 AND payment_id = $2 ORDER BY number DESC LIMIT 1
        """,
        tenant_id, payment_id,
    )  # fmt: skip
    return None if row is None else _attempt(row)


async def find_by_reference(conn: Conn, tenant_id: str, account_id: str, reference: str) -> Attempt | None:
    row = await conn.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM payment_attempt
        WHERE tenant_id = $1 AND processor_account_id = $2 AND reference = $3 AND reference <> ''
        """,
        tenant_id, account_id, reference,
    )  # fmt: skip
    return None if row is None else _attempt(row)


async def claim_open(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[Attempt]:
    """Attempts whose outcome must be asked for; nobody else gets them before the lease ends.

    One that is still SUBMITTING was abandoned by whoever submitted it: from here on its outcome is unknown.
    """
    rows = await conn.fetch(
        f"""
        UPDATE payment_attempt SET due_time = $1 + $2::interval, tries = tries + 1,
               state = CASE state WHEN 'SUBMITTING' THEN 'UNKNOWN' ELSE state END
        WHERE (tenant_id, payment_id, number) IN (
            SELECT tenant_id, payment_id, number FROM payment_attempt
            WHERE due_time <= $1
            ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}
        """,
        now, lease, limit,
    )  # fmt: skip
    return [_attempt(row) for row in rows]


async def save(conn: Conn, before: Attempt, after: Attempt, due_time: datetime | None) -> None:
    """Write what has become of a locked attempt."""
    await conn.execute(
        """
        UPDATE payment_attempt SET state = $5, reference = $6, decline_code = $7, decline_message = $8, due_time = $9,
               advice_code = $10
        WHERE tenant_id = $1 AND payment_id = $2 AND number = $3 AND state = $4
        """,
        before.tenant_id, before.payment_id, before.number, before.state,
        after.state, after.reference, after.decline_code, after.decline_message, due_time,
        after.advice_code,
    )  # fmt: skip
