"""refund, and refund_retry."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments import providers
from services.payments.domain.refund import Refund, RefundState

_COLUMNS = (
    "r.tenant_id, r.id, r.payment_id, r.attempt_number, r.credit_note_id, r.reason, r.manual_reference, r.minor_units,"
    " r.currency, r.state, r.key_generation, r.submit_time, r.reference, r.failure_code, r.failure_message, r.tries,"
    " r.revision, r.create_time"
)
_SELECT = f"""
    SELECT {_COLUMNS}, p.invoice_id FROM refund r
    JOIN payment p ON p.tenant_id = r.tenant_id AND p.id = r.payment_id
"""


@dataclass(frozen=True, slots=True)
class RefundReport:
    """A refund that invoicing has not heard the latest of; `tries` counts how often it was told in vain."""

    refund: Refund
    tries: int


def _refund(row: asyncpg.Record) -> Refund:
    fields = {name: value for name, value in row.items() if name in Refund.__slots__}
    return Refund(**fields | {"state": RefundState(row["state"]), "amount": Money(row["minor_units"], row["currency"])})


async def insert(conn: Conn, refund: Refund, due_time: datetime | None, request_id: UUID, request_hash: bytes) -> None:
    """The payment is locked, and neither the request nor the credit note has a refund."""
    await conn.execute(
        """
        INSERT INTO refund (tenant_id, id, payment_id, attempt_number, credit_note_id, reason, manual_reference,
                            minor_units, currency, state, due_time, report_due_time, create_time, request_id,
                            request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14)
        """,
        refund.tenant_id, refund.id, refund.payment_id, refund.attempt_number, refund.credit_note_id, refund.reason,
        refund.manual_reference, refund.amount.minor_units, refund.amount.currency, refund.state, due_time,
        refund.create_time, request_id, request_hash,
    )  # fmt: skip


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[Refund, bytes] | None:
    """The refund made by the request, and the request's hash."""
    row = await conn.fetchrow(
        f"""
        SELECT {_COLUMNS}, p.invoice_id, r.request_hash FROM refund r
        JOIN payment p ON p.tenant_id = r.tenant_id AND p.id = r.payment_id
        WHERE r.tenant_id = $1 AND r.request_id = $2
        """,
        tenant_id, request_id,
    )  # fmt: skip
    return None if row is None else (_refund(row), row["request_hash"])


async def find(conn: Conn, tenant_id: str, refund_id: str) -> Refund | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE r.tenant_id = $1 AND r.id = $2", tenant_id, refund_id)
    return None if row is None else _refund(row)


async def find_of_note(conn: Conn, tenant_id: str, credit_note_id: str) -> Refund | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE r.tenant_id = $1 AND r.credit_note_id = $2", tenant_id, credit_note_id)
    return None if row is None else _refund(row)


async def lock(conn: Conn, tenant_id: str, refund_id: str) -> Refund | None:
    """The refund, for this transaction alone to change; its payment is locked before it."""
    row = await conn.fetchrow(f"{_SELECT} WHERE r.tenant_id = $1 AND r.id = $2 FOR UPDATE OF r", tenant_id, refund_id)
    return None if row is None else _refund(row)


async def list_page(conn: Conn, tenant_id: str, page: Page, invoice_id: str, payment_id: str) -> Sequence[Refund]:
    """Up to one more than the page, newest first; of one invoice and one payment unless these are empty."""
    rows = await conn.fetch(
        f"""
        {_SELECT}
        WHERE r.tenant_id = $1 AND ($2::text IS NULL OR r.id < $2)
          AND ($3 = '' OR p.invoice_id = $3) AND ($4 = '' OR r.payment_id = $4)
        ORDER BY r.id DESC LIMIT $5
        """,
        tenant_id, page.after, invoice_id, payment_id, page.size + 1,
    )  # fmt: skip
    return [_refund(row) for row in rows]


async def find_order(conn: Conn, refund: Refund) -> tuple[str, providers.Refund]:
    """The processor account, and what the refund asks of it; for refunds of charges."""
    row = await conn.fetchrow(
        """
        SELECT processor_account_id, reference FROM payment_attempt
        WHERE tenant_id = $1 AND payment_id = $2 AND number = $3
        """,
        refund.tenant_id, refund.payment_id, refund.attempt_number,
    )  # fmt: skip
    assert row is not None, "attempts are never deleted"
    order = providers.Refund(
        tenant_id=refund.tenant_id,
        refund_id=refund.name,
        idempotency_key=refund.idempotency_key,
        charge_reference=row["reference"],
        amount=refund.amount,
        create_time=refund.create_time,
    )
    return row["processor_account_id"], order


async def claim(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[Refund]:
    """Refunds to be submitted or asked about; nobody else gets them before the lease ends.

    One that was claimed before and is still SUBMITTING was abandoned: from here on its outcome is unknown.
    """
    rows = await conn.fetch(
        f"""
        UPDATE refund r SET due_time = $1 + $2::interval, tries = r.tries + 1,
               submit_time = coalesce(r.submit_time, $1),
               state = CASE WHEN r.state = 'SUBMITTING' AND r.submit_time IS NOT NULL THEN 'UNKNOWN' ELSE r.state END
        FROM (
            SELECT r.tenant_id, r.id, p.invoice_id FROM refund r
            JOIN payment p ON p.tenant_id = r.tenant_id AND p.id = r.payment_id
            WHERE r.due_time <= $1
            ORDER BY r.due_time LIMIT $3 FOR UPDATE OF r SKIP LOCKED
        ) p
        WHERE p.tenant_id = r.tenant_id AND p.id = r.id
        RETURNING {_COLUMNS}, p.invoice_id
        """,
        now, lease, limit,
    )  # fmt: skip
    return [_refund(row) for row in rows]


async def save(conn: Conn, before: Refund, after: Refund, due_time: datetime | None, now: datetime) -> None:
    """Write what has become of a locked refund, and have a change of its state reported."""
    await conn.execute(
        """
        UPDATE refund SET state = $4, reference = $5, failure_code = $6, failure_message = $7, due_time = $8,
               revision = revision + $9, report_due_time = CASE $9::int WHEN 0 THEN report_due_time ELSE $10 END,
               report_tries = CASE $9 WHEN 0 THEN report_tries ELSE 0 END
        WHERE tenant_id = $1 AND id = $2 AND state = $3
        """,
        before.tenant_id, before.id, before.state, after.state, after.reference, after.failure_code,
        after.failure_message, due_time, int(after.state is not before.state), now,
    )  # fmt: skip


async def restart(conn: Conn, refund: Refund, attempt_number: int, due_time: datetime) -> None:
    """Ask again for a locked refund that has failed, under another key."""
    await conn.execute(
        """
        UPDATE refund SET state = 'SUBMITTING', attempt_number = $3, key_generation = key_generation + 1,
               submit_time = NULL, reference = '', failure_code = '', failure_message = '', due_time = $4, tries = 0,
               revision = revision + 1, report_due_time = $4, report_tries = 0
        WHERE tenant_id = $1 AND id = $2 AND state = 'FAILED'
        """,
        refund.tenant_id, refund.id, attempt_number, due_time,
    )  # fmt: skip


async def insert_retry(conn: Conn, refund: Refund, now: datetime, request_id: UUID, request_hash: bytes) -> bool:
    made = await conn.fetchval(
        """
        INSERT INTO refund_retry (tenant_id, request_id, request_hash, refund_id, create_time)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        refund.tenant_id, request_id, request_hash, refund.id, now,
    )  # fmt: skip
    return made is True


async def find_retry(conn: Conn, tenant_id: str, request_id: UUID) -> bytes:
    """The hash of a retry request that is known to have been recorded."""
    request_hash: bytes = await conn.fetchval(
        "SELECT request_hash FROM refund_retry WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return request_hash


async def claim_reports(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[RefundReport]:
    rows = await conn.fetch(
        f"""
        UPDATE refund r SET report_due_time = $1 + $2::interval, report_tries = r.report_tries + 1
        FROM (
            SELECT r.tenant_id, r.id, p.invoice_id FROM refund r
            JOIN payment p ON p.tenant_id = r.tenant_id AND p.id = r.payment_id
            WHERE r.reported_revision < r.revision AND r.report_due_time <= $1
            ORDER BY r.report_due_time LIMIT $3 FOR UPDATE OF r SKIP LOCKED
        ) p
        WHERE p.tenant_id = r.tenant_id AND p.id = r.id
        RETURNING {_COLUMNS}, p.invoice_id, r.report_tries - 1 AS report_tries
        """,
        now, lease, limit,
    )  # fmt: skip
    return [RefundReport(_refund(row), row["report_tries"]) for row in rows]


async def mark_reported(conn: Conn, refund: Refund) -> None:
    await conn.execute(
        """
        UPDATE refund SET reported_revision = greatest(reported_revision, $3), report_tries = 0
        WHERE tenant_id = $1 AND id = $2
        """,
        refund.tenant_id, refund.id, refund.revision,
    )  # fmt: skip


async def postpone_report(conn: Conn, refund: Refund, due_time: datetime) -> None:
    """Unless the refund has changed since: then there is something new to tell, at once."""
    await conn.execute(
        "UPDATE refund SET report_due_time = $4 WHERE tenant_id = $1 AND id = $2 AND revision = $3",
        refund.tenant_id, refund.id, refund.revision, due_time,
    )  # fmt: skip
