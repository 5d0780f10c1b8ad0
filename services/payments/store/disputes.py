"""dispute."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.dispute import Dispute, Stage

_COLUMNS = (
    "d.tenant_id, d.id, d.payment_id, d.attempt_number, d.minor_units, d.currency, d.stage, d.code, d.revision,"
    " d.create_time"
)
_SELECT = f"""
    SELECT {_COLUMNS}, p.invoice_id FROM dispute d
    JOIN payment p ON p.tenant_id = d.tenant_id AND p.id = d.payment_id
"""


@dataclass(frozen=True, slots=True)
class DisputeReport:
    """A dispute that invoicing has not heard the latest of; `tries` counts how often it was told in vain."""

    dispute: Dispute
    tries: int


def _dispute(row: asyncpg.Record) -> Dispute:
    fields = {name: value for name, value in row.items() if name in Dispute.__slots__}
    return Dispute(**fields | {"stage": Stage(row["stage"]), "amount": Money(row["minor_units"], row["currency"])})


async def insert(conn: Conn, dispute: Dispute) -> None:
    """Of a locked payment's charge that has none."""
    await conn.execute(
        """
        INSERT INTO dispute (tenant_id, id, payment_id, attempt_number, minor_units, currency, state, code,
                             report_due_time, create_time, stage)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)
        """,
        dispute.tenant_id, dispute.id, dispute.payment_id, dispute.attempt_number, dispute.amount.minor_units,
        dispute.amount.currency, dispute.state, dispute.code, dispute.create_time, dispute.stage,
    )  # fmt: skip


async def move(conn: Conn, dispute: Dispute, moved: Dispute, now: datetime) -> None:
    """Of a locked payment's charge; has it reported."""
    await conn.execute(
        """
        UPDATE dispute SET stage = $4, state = $5, revision = revision + 1, report_due_time = $6, report_tries = 0
        WHERE tenant_id = $1 AND id = $2 AND stage = $3
        """,
        dispute.tenant_id, dispute.id, dispute.stage, moved.stage, moved.state, now,
    )  # fmt: skip


async def find_of_charge(conn: Conn, tenant_id: str, payment_id: str, number: int) -> Dispute | None:
    row = await conn.fetchrow(
        f"{_SELECT} WHERE d.tenant_id = $1 AND d.payment_id = $2 AND d.attempt_number = $3",
        tenant_id,
        payment_id,
        number,
    )
    return None if row is None else _dispute(row)


async def find(conn: Conn, tenant_id: str, dispute_id: str) -> Dispute | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE d.tenant_id = $1 AND d.id = $2", tenant_id, dispute_id)
    return None if row is None else _dispute(row)


async def list_page(conn: Conn, tenant_id: str, page: Page, invoice_id: str) -> Sequence[Dispute]:
    """Up to one more than the page, newest first; of one invoice unless that is empty."""
    rows = await conn.fetch(
        f"""
        {_SELECT}
        WHERE d.tenant_id = $1 AND ($2::text IS NULL OR d.id < $2) AND ($3 = '' OR p.invoice_id = $3)
        ORDER BY d.id DESC LIMIT $4
        """,
        tenant_id, page.after, invoice_id, page.size + 1,
    )  # fmt: skip
    return [_dispute(row) for row in rows]


async def claim_reports(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[DisputeReport]:
    rows = await conn.fetch(
        f"""
        UPDATE dispute d SET report_due_time = $1 + $2::interval, report_tries = d.report_tries + 1
        FROM (
            SELECT d.tenant_id, d.id, p.invoice_id FROM dispute d
            JOIN payment p ON p.tenant_id = d.tenant_id AND p.id = d.payment_id
            WHERE d.reported_revision < d.revision AND d.report_due_time <= $1
            ORDER BY d.report_due_time LIMIT $3 FOR UPDATE OF d SKIP LOCKED
        ) p
        WHERE p.tenant_id = d.tenant_id AND p.id = d.id
        RETURNING {_COLUMNS}, p.invoice_id, d.report_tries - 1 AS report_tries
        """,
        now, lease, limit,
    )  # fmt: skip
    return [DisputeReport(_dispute(row), row["report_tries"]) for row in rows]


async def mark_reported(conn: Conn, dispute: Dispute) -> None:
    await conn.execute(
        """
        UPDATE dispute SET reported_revision = greatest(reported_revision, $3), report_tries = 0
        WHERE tenant_id = $1 AND id = $2
        """,
        dispute.tenant_id, dispute.id, dispute.revision,
    )  # fmt: skip


async def postpone_report(conn: Conn, dispute: Dispute, due_time: datetime) -> None:
    """Unless the dispute has changed since: then there is something new to tell, at once."""
    await conn.execute(
        "UPDATE dispute SET report_due_time = $4 WHERE tenant_id = $1 AND id = $2 AND revision = $3",
        dispute.tenant_id, dispute.id, dispute.revision, due_time,
    )  # fmt: skip
