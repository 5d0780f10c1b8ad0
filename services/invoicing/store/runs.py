"""Billing runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.run import BillingFailure, BillingRun, OpenRun, Step

MAX_FAILURES_LISTED = 100
MAX_STEPS_LISTED = 500

_PROGRESS = (
    "SELECT r.tenant_id, r.id, r.as_of, r.create_time, r.complete_time, r.finalized_count,"
    " (SELECT count(*) FROM subscription s WHERE r.state = 'running'"
    "  AND s.tenant_id = r.tenant_id AND s.due_time <= r.as_of) AS due_count,"
    " r.state = 'completed' OR coalesce(c.now >= r.as_of, true)"
    "  AND coalesce((SELECT min(s.due_time) FROM subscription s WHERE s.tenant_id = r.tenant_id"
    "   AND s.failure_count = 0) > r.as_of, true)"
    "  AND NOT EXISTS (SELECT FROM invoice i WHERE i.tenant_id = r.tenant_id AND i.state = 'draft'"
    "   AND i.billing_run_id = r.id) AS is_drained"
    " FROM billing_run r JOIN billing_clock c USING (tenant_id)"
)

_UNCOVERED = (
    "(SELECT min(s.due_time) FROM subscription s WHERE s.tenant_id = c.tenant_id"
    " AND s.due_time > coalesce((SELECT max(r.as_of) FROM billing_run r"
    "  WHERE r.tenant_id = c.tenant_id AND r.state = 'running'), '-infinity')) <= coalesce(c.now, $1)"
)
"""Whether something is due that no open run reaches. It looks for the earliest, which is at hand in an index, where the
planner would scan the table for any.
"""


async def insert(
    conn: Conn, tenant_id: str, run_id: str, as_of: datetime, now: datetime, request_id: UUID, request_hash: bytes
) -> None:
    await conn.execute(
        "INSERT INTO billing_run (tenant_id, id, as_of, create_time, request_id, request_hash)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        tenant_id,
        run_id,
        as_of,
        now,
        request_id,
        request_hash,
    )


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[str, bytes] | None:
    """The id of the run that a request made, and that request's hash."""
    row = await conn.fetchrow(
        "SELECT id, request_hash FROM billing_run WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return (row["id"], row["request_hash"]) if row else None


async def get(conn: Conn, tenant_id: str, run_id: str) -> BillingRun | None:
    row = await conn.fetchrow(f"{_PROGRESS} WHERE r.tenant_id = $1 AND r.id = $2", tenant_id, run_id)
    return await _run(conn, row) if row else None


async def page(conn: Conn, tenant_id: str, page: Page) -> Sequence[BillingRun]:
    """Newest first; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"{_PROGRESS} WHERE r.tenant_id = $1 AND ($2::text IS NULL OR r.id < $2) ORDER BY r.id DESC LIMIT $3",
        tenant_id,
        page.after,
        page.size + 1,
    )
    return [await _run(conn, row) for row in rows]


async def tenants_to_run(conn: Conn, now: datetime) -> Sequence[str]:
    """Tenants with something due that no open run reaches."""
    rows = await conn.fetch(f"SELECT tenant_id FROM billing_clock c WHERE {_UNCOVERED}", now)  # noqa: S608
    return [row["tenant_id"] for row in rows]


async def start(conn: Conn, tenant_id: str, run_id: str, as_of: datetime, now: datetime) -> None:
    """Start a run if it is still needed. The caller has locked the tenant's clock."""
    await conn.execute(
        "INSERT INTO billing_run (tenant_id, id, as_of, create_time)"  # noqa: S608
        f" SELECT c.tenant_id, $3, $4, $1 FROM billing_clock c WHERE c.tenant_id = $2 AND {_UNCOVERED}",
        now,
        tenant_id,
        run_id,
        as_of,
    )


async def open_runs(conn: Conn) -> Sequence[OpenRun]:
    """Every tenant's runs under way, those that reach less far first; on a test clock, as far as it has come."""
    rows = await conn.fetch(
        "SELECT r.tenant_id, r.id, r.after, least(r.as_of, c.now) AS until FROM ("
        "  SELECT tenant_id, id, as_of, lag(as_of) OVER (PARTITION BY tenant_id ORDER BY as_of, id) AS after"
        "  FROM billing_run WHERE state = 'running') r"
        " JOIN billing_clock c USING (tenant_id) WHERE r.after IS NULL OR r.after < least(r.as_of, c.now)"
        " ORDER BY until, r.id"
    )
    return [OpenRun(row["tenant_id"], row["id"], row["after"], row["until"]) for row in rows]


async def count_billed(
    conn: Conn, tenant_id: str, run_id: str, step_time: datetime, made_count: int, failed_count: int
) -> None:
    """So many invoices made and subscriptions failed while the test clock stood at `step_time`."""
    await conn.execute(
        "INSERT INTO billing_run_step AS s (tenant_id, billing_run_id, step_time, made_count, failed_count)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, billing_run_id, step_time) DO UPDATE"
        " SET made_count = s.made_count + $4, failed_count = s.failed_count + $5",
        tenant_id,
        run_id,
        step_time,
        made_count,
        failed_count,
    )


async def count_finalized(conn: Conn, tenant_id: str, run_ids: Sequence[str], step_time: datetime | None) -> None:
    """One more finalized invoice for each mention of a run, with the test clock at `step_time` if there is one."""
    await conn.execute(
        "WITH mentioned AS (SELECT id, count(*) AS mentions FROM unnest($2::text[]) AS id GROUP BY id),"
        " stepped AS (INSERT INTO billing_run_step AS s (tenant_id, billing_run_id, step_time, finalized_count)"
        "  SELECT $1, id, $3, mentions FROM mentioned WHERE $3::timestamptz IS NOT NULL"
        "  ON CONFLICT (tenant_id, billing_run_id, step_time) DO UPDATE"
        "  SET finalized_count = s.finalized_count + excluded.finalized_count)"
        " UPDATE billing_run r SET finalized_count = finalized_count + m.mentions FROM mentioned m"
        " WHERE r.tenant_id = $1 AND r.id = m.id",
        tenant_id,
        run_ids,
        step_time,
    )


async def steps(conn: Conn, tenant_id: str, run_id: str, after: datetime | None) -> Sequence[Step]:
    """The first of a run's steps later than `after`, in order."""
    rows = await conn.fetch(
        "SELECT step_time, made_count, finalized_count, failed_count FROM billing_run_step"
        " WHERE tenant_id = $1 AND billing_run_id = $2 AND step_time > coalesce($3, '-infinity'::timestamptz)"
        " ORDER BY step_time LIMIT $4",
        tenant_id,
        run_id,
        after,
        MAX_STEPS_LISTED,
    )
    return [Step(*row.values()) for row in rows]


async def complete(conn: Conn, now: datetime) -> None:
    """Complete the runs that have nothing left: no way to go, no period to bill, no draft to finalize."""
    await conn.execute(
        "UPDATE billing_run r SET state = 'completed', complete_time = $1, tell_time = $1 WHERE state = 'running'"
        " AND NOT EXISTS (SELECT FROM billing_clock c WHERE c.tenant_id = r.tenant_id AND c.now < r.as_of)"
        " AND coalesce((SELECT min(due_time) FROM subscription s WHERE s.tenant_id = r.tenant_id) > r.as_of, true)"
        " AND NOT EXISTS (SELECT FROM invoice i"
        "  WHERE i.tenant_id = r.tenant_id AND i.billing_run_id = r.id AND i.state = 'draft')",
        now,
    )


async def claim_told(conn: Conn, now: datetime, leased_until: datetime) -> Mapping[str, datetime]:
    """Tenants of completed runs that metering has not been told of, and the instant before which their usage is billed:
    the earliest start of a period that is open or in draft; once all subscriptions are closed, the end of the last one.
    """
    rows = await conn.fetch(
        "WITH due AS (UPDATE billing_run SET tell_time = $2 WHERE tell_time <= $1 RETURNING tenant_id)"
        " SELECT tenant_id, least("
        "  (SELECT coalesce(min(period_start) FILTER (WHERE NOT is_closed), max(period_end))"
        "   FROM subscription s WHERE s.tenant_id = due.tenant_id),"
        "  (SELECT min(l.period_start) FROM invoice i JOIN invoice_settlement l"
        "   ON l.tenant_id = i.tenant_id AND l.invoice_id = i.id"
        "   WHERE i.tenant_id = due.tenant_id AND i.state = 'draft')"
        " ) AS billed_end FROM (SELECT DISTINCT tenant_id FROM due) AS due",
        now,
        leased_until,
    )
    return {row["tenant_id"]: row["billed_end"] for row in rows if row["billed_end"] is not None}


async def set_told(conn: Conn, tenant_ids: Sequence[str], leased_until: datetime) -> None:
    """Metering knows of what was claimed then."""
    await conn.execute(
        "UPDATE billing_run SET tell_time = NULL WHERE tenant_id = ANY($1) AND tell_time = $2", tenant_ids, leased_until
    )


async def _run(conn: Conn, row: asyncpg.Record) -> BillingRun:
    failures = []
    if row["complete_time"] is None:
        failures = await conn.fetch(
            "SELECT id, failure_reason, failure_message, available_time FROM subscription"
            " WHERE tenant_id = $1 AND due_time <= $2 AND failure_count > 0 ORDER BY id LIMIT $3",
            row["tenant_id"],
            row["as_of"],
            MAX_FAILURES_LISTED,
        )
    return BillingRun(
        row["id"],
        row["as_of"],
        row["create_time"],
        row["complete_time"],
        row["due_count"],
        row["finalized_count"],
        tuple(
            BillingFailure(each["id"], each["failure_reason"], each["failure_message"], each["available_time"])
            for each in failures
        ),
        row["is_drained"],
    )
