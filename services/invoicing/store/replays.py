"""The daily replays and their results."""

from collections.abc import Sequence
from datetime import date, datetime

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.replay import MAX_LINES, DailyReplay, Difference, Outcome, Replayed

MAX_DIFFERENCES_LISTED = 100


async def tenants_to_replay(conn: Conn, day: date, now: datetime) -> Sequence[str]:
    """Those with invoices whose replays of the day have not begun; a run that was made just now comes first."""
    rows = await conn.fetch(
        "SELECT tenant_id FROM invoice_counter n"
        " WHERE NOT EXISTS (SELECT FROM replay r WHERE r.tenant_id = n.tenant_id AND r.day = $1)"
        " AND NOT EXISTS (SELECT FROM billing_run b WHERE b.tenant_id = n.tenant_id AND b.state = 'running'"
        "  AND b.create_time > $2::timestamptz - interval '1 hour')",
        day,
        now,
    )
    return [row["tenant_id"] for row in rows]


async def begin(conn: Conn, tenant_id: str, day: date, sample_size: int, now: datetime) -> None:
    """Draw the day's sample, once: by the tenant's sequences, which have no gaps. The caller has a transaction."""
    begun = await conn.fetchval(
        "INSERT INTO replay (tenant_id, day, create_time) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true",
        tenant_id,
        day,
        now,
    )
    if begun is None:
        return
    await conn.execute(
        "WITH counter AS MATERIALIZED (SELECT last_sequence FROM invoice_counter WHERE tenant_id = $1),"
        " drawn AS MATERIALIZED (SELECT DISTINCT CASE WHEN last_sequence <= $3 THEN n"
        "   ELSE 1 + floor(random() * last_sequence)::bigint END AS sequence"
        "  FROM counter, generate_series(1, 2 * $3::bigint) AS n)"
        " INSERT INTO replayed_invoice (tenant_id, day, invoice_id, available_time)"
        " SELECT $1, $2, i.id, $4 FROM drawn d JOIN invoice i ON i.tenant_id = $1 AND i.sequence = d.sequence"
        " WHERE i.line_count <= $5 LIMIT $3",
        tenant_id,
        day,
        sample_size,
        now,
        MAX_LINES,
    )


async def claim(conn: Conn, now: datetime, leased_until: datetime, limit: int) -> Sequence[tuple[str, date, str]]:
    """Lease some (tenant, day, invoice) to be replayed."""
    rows = await conn.fetch(
        "WITH due AS MATERIALIZED (SELECT tenant_id, day, invoice_id FROM replayed_invoice WHERE available_time <= $1"
        "  ORDER BY available_time LIMIT $3 FOR UPDATE SKIP LOCKED)"
        " UPDATE replayed_invoice r SET available_time = $2 FROM due"
        " WHERE r.tenant_id = due.tenant_id AND r.day = due.day AND r.invoice_id = due.invoice_id"
        " RETURNING r.tenant_id, r.day, r.invoice_id",
        now,
        leased_until,
        limit,
    )
    return [(row["tenant_id"], row["day"], row["invoice_id"]) for row in rows]


async def record(conn: Conn, result: Replayed) -> None:
    """The first result counts."""
    await conn.execute(
        "UPDATE replayed_invoice SET available_time = NULL, outcome = $4, recomputed_total_minor = $5,"
        " line_numbers = $6, failure_reason = $7, failure_message = $8"
        " WHERE tenant_id = $1 AND day = $2 AND invoice_id = $3 AND outcome IS NULL",
        result.tenant_id,
        result.day,
        result.invoice_id,
        result.outcome,
        result.recomputed_total.minor_units if result.recomputed_total else None,
        result.line_numbers,
        result.failure_reason,
        result.failure_message,
    )


async def release(conn: Conn, tenant_id: str, day: date, leased_until: datetime, retry_time: datetime) -> None:
    """Give back leases, for anybody to take from `retry_time` on."""
    await conn.execute(
        "UPDATE replayed_invoice SET available_time = $4 WHERE tenant_id = $1 AND day = $2 AND available_time = $3",
        tenant_id,
        day,
        leased_until,
        retry_time,
    )


async def page(conn: Conn, tenant_id: str, page: Page) -> Sequence[DailyReplay]:
    """Newest first; one more than the page has, if there is one."""
    rows = await conn.fetch(
        "SELECT r.day, r.create_time, count(i.invoice_id) AS sample_count,"
        " count(*) FILTER (WHERE i.available_time IS NOT NULL) AS waiting_count,"
        " count(*) FILTER (WHERE i.outcome = 'reproduced') AS reproduced_count"
        " FROM replay r LEFT JOIN replayed_invoice i USING (tenant_id, day)"
        " WHERE r.tenant_id = $1 AND ($2::text IS NULL OR r.day < $2::text::date)"
        " GROUP BY r.day, r.create_time ORDER BY r.day DESC LIMIT $3",
        tenant_id,
        page.after,
        page.size + 1,
    )
    return [
        DailyReplay(
            row["day"],
            row["create_time"],
            row["sample_count"],
            row["waiting_count"],
            row["reproduced_count"],
            await _differences(conn, tenant_id, row["day"]),
        )
        for row in rows
    ]


async def _differences(conn: Conn, tenant_id: str, day: date) -> tuple[Difference, ...]:
    rows = await conn.fetch(
        "SELECT r.tenant_id, r.day, r.invoice_id, r.outcome, r.recomputed_total_minor, r.line_numbers,"
        " r.failure_reason, r.failure_message, i.number, i.total_minor, i.currency FROM replayed_invoice r"
        " JOIN invoice i ON i.tenant_id = r.tenant_id AND i.id = r.invoice_id"
        " WHERE r.tenant_id = $1 AND r.day = $2 AND r.outcome <> 'reproduced' ORDER BY i.sequence LIMIT $3",
        tenant_id,
        day,
        MAX_DIFFERENCES_LISTED,
    )
    return tuple(_difference(row) for row in rows)


def _difference(row: asyncpg.Record) -> Difference:
    again = row["recomputed_total_minor"]
    result = Replayed(
        row["tenant_id"],
        row["day"],
        row["invoice_id"],
        Outcome(row["outcome"]),
        None if again is None else Money(again, row["currency"]),
        tuple(row["line_numbers"]),
        row["failure_reason"],
        row["failure_message"],
    )
    return Difference(result, row["number"], Money(row["total_minor"], row["currency"]))
