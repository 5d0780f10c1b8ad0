"""Subscriptions, and the claims that workers have on them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.customer import DueSubscription, Subscription
from services.invoicing.domain.period import Period
from services.invoicing.domain.run import BillingFailure, OpenRun
from services.invoicing.domain.schedule import BillingInterval, BillingTime

_COLUMNS = (
    "id, customer_id, plan_code, plan_version, billing_interval, billing_time, start_time, period_start, period_end,"
    " is_opening, create_time, end_time, is_closed,"
    " (SELECT time_zone FROM customer c WHERE c.tenant_id = subscription.tenant_id AND c.id = customer_id) AS time_zone"
)


async def insert(conn: Conn, tenant_id: str, made: Subscription, request_id: UUID, request_hash: bytes) -> bool:
    """False when the id or the request_id is taken."""
    inserted = await conn.fetchval(
        "INSERT INTO subscription (tenant_id, id, customer_id, plan_code, plan_version, billing_interval, billing_time,"
        " start_time, period_start, period_end, is_opening, create_time, request_id, request_hash)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING RETURNING true",
        tenant_id,
        made.id,
        made.customer_id,
        made.plan_code,
        made.plan_version,
        made.billing_interval,
        made.billing_time,
        made.start_time,
        made.current_period.start,
        made.current_period.end,
        made.is_opening,
        made.create_time,
        request_id,
        request_hash,
    )
    return inserted is not None


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[Subscription, bytes] | None:
    """The subscription that a request made, and that request's hash."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS}, request_hash FROM subscription WHERE tenant_id = $1 AND request_id = $2",  # noqa: S608
        tenant_id,
        request_id,
    )
    return (_subscription(row), row["request_hash"]) if row else None


async def get(conn: Conn, tenant_id: str, subscription_id: str) -> Subscription | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM subscription WHERE tenant_id = $1 AND id = $2",  # noqa: S608
        tenant_id,
        subscription_id,
    )
    return _subscription(row) if row else None


async def page(
    conn: Conn, tenant_id: str, customer_id: str | None, plan_code: str | None, page: Page
) -> Sequence[Subscription]:
    """By id; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM subscription"  # noqa: S608
        " WHERE tenant_id = $1 AND ($2::text IS NULL OR customer_id = $2) AND ($3::text IS NULL OR plan_code = $3)"
        " AND id > coalesce($4, '') ORDER BY id LIMIT $5",
        tenant_id,
        customer_id,
        plan_code,
        page.after,
        page.size + 1,
    )
    return [_subscription(row) for row in rows]


async def exist(conn: Conn, tenant_id: str) -> bool:
    """Whether the tenant has any."""
    found: bool = await conn.fetchval("SELECT EXISTS (SELECT FROM subscription WHERE tenant_id = $1)", tenant_id)
    return found


async def claim_due(
    conn: Conn, run: OpenRun, now: datetime, leased_until: datetime, limit: int
) -> Sequence[DueSubscription]:
    """Lease up to `limit` of those that the run has to bill and that nobody is at, the longest due first."""
    rows = await conn.fetch(
        "UPDATE subscription s SET available_time = $5"
        " FROM (SELECT id FROM subscription WHERE tenant_id = $1 AND due_time <= $2"
        "  AND due_time > coalesce($3, '-infinity'::timestamptz) AND available_time <= $4"
        "  ORDER BY due_time, id LIMIT $6 FOR UPDATE SKIP LOCKED) due, customer c"
        " WHERE s.tenant_id = $1 AND s.id = due.id AND c.tenant_id = $1 AND c.id = s.customer_id"
        " RETURNING s.id, s.customer_id, s.plan_code, s.plan_version, s.billing_interval, s.billing_time,"
        " s.start_time, s.period_start, s.period_end, s.is_opening, s.end_time, c.time_zone,"
        " s.failure_count",
        run.tenant_id,
        run.as_of,
        run.after,
        now,
        leased_until,
        limit,
    )
    return [
        DueSubscription(
            row["id"],
            row["customer_id"],
            row["plan_code"],
            row["plan_version"],
            BillingInterval(row["billing_interval"]),
            BillingTime(row["billing_time"]),
            row["start_time"],
            Period(row["period_start"], row["period_end"]),
            row["is_opening"],
            row["end_time"],
            row["time_zone"],
            row["failure_count"],
        )
        for row in rows
    ]


async def advance(conn: Conn, tenant_id: str, billed: Sequence[tuple[DueSubscription, Period | None]]) -> set[str]:
    """Move each to the period that it is in now, or close it. Returns the ids of those that still stood where they were
    billed.
    """
    rows = await conn.fetch(
        "UPDATE subscription s SET period_start = coalesce(b.next_start, s.period_start),"
        " period_end = coalesce(b.next_end, s.period_end), is_closed = b.next_start IS NULL, is_opening = false,"
        " available_time = '-infinity', failure_count = 0, failure_reason = NULL, failure_message = NULL"
        " FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::boolean[], $6::timestamptz[],"
        "  $7::timestamptz[]) AS b (id, period_start, period_end, is_opening, next_start, next_end)"
        " WHERE s.tenant_id = $1 AND s.id = b.id AND s.period_start = b.period_start AND s.period_end = b.period_end"
        " AND s.is_opening = b.is_opening AND NOT s.is_closed"
        " AND (b.next_end IS NULL OR s.end_time IS NULL OR b.next_end <= s.end_time)"
        " RETURNING s.id",
        tenant_id,
        [due.id for due, _ in billed],
        [due.period.start for due, _ in billed],
        [due.period.end for due, _ in billed],
        [due.is_opening for due, _ in billed],
        [period and period.start for _, period in billed],
        [period and period.end for _, period in billed],
    )
    return {row["id"] for row in rows}


async def lock(conn: Conn, tenant_id: str, subscription_id: str) -> Subscription | None:
    """The subscription, which nobody else changes until the transaction ends."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM subscription WHERE tenant_id = $1 AND id = $2 FOR UPDATE",  # noqa: S608
        tenant_id,
        subscription_id,
    )
    return _subscription(row) if row else None


async def end(conn: Conn, tenant_id: str, changed: Subscription) -> None:
    """Set where the locked subscription ends. What is due is due at once, however long it failed before."""
    await conn.execute(
        "UPDATE subscription SET end_time = $3, period_end = $4, is_closed = $5, available_time = '-infinity'"
        " WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        changed.id,
        changed.end_time,
        changed.current_period.end,
        changed.is_closed,
    )


async def record_change(
    conn: Conn, tenant_id: str, subscription_id: str, request_id: UUID, request_hash: bytes, now: datetime
) -> bytes | None:
    """The hash of the request that had this request_id before, if there is one."""
    recorded = await conn.fetchval(
        "INSERT INTO subscription_change (tenant_id, request_id, request_hash, subscription_id, create_time)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING request_hash",
        tenant_id,
        request_id,
        request_hash,
        subscription_id,
        now,
    )
    if recorded is not None:
        return None
    before: bytes = await conn.fetchval(
        "SELECT request_hash FROM subscription_change WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return before


async def release(conn: Conn, tenant_id: str, ids: Sequence[str], leased_until: datetime, retry_time: datetime) -> None:
    """Give back leases for anybody to take from `retry_time` on."""
    await conn.execute(
        "UPDATE subscription SET available_time = $4"
        " WHERE tenant_id = $1 AND id = ANY($2::text[]) AND available_time = $3",
        tenant_id,
        ids,
        leased_until,
        retry_time,
    )


async def record_failures(
    conn: Conn, tenant_id: str, failures: Sequence[BillingFailure], leased_until: datetime
) -> None:
    """Give back leases on what could not be billed, with the reasons."""
    await conn.execute(
        "UPDATE subscription s SET available_time = f.retry_time, failure_count = failure_count + 1,"
        " failure_reason = f.reason, failure_message = f.message"
        " FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS f (id, reason, message, retry_time)"
        " WHERE s.tenant_id = $1 AND s.id = f.id AND s.available_time = $6",
        tenant_id,
        [failure.subscription_id for failure in failures],
        [failure.reason for failure in failures],
        [failure.message for failure in failures],
        [failure.retry_time for failure in failures],
        leased_until,
    )


def _subscription(row: asyncpg.Record) -> Subscription:
    return Subscription(
        row["id"],
        row["customer_id"],
        row["plan_code"],
        row["plan_version"],
        BillingInterval(row["billing_interval"]),
        BillingTime(row["billing_time"]),
        row["start_time"],
        Period(row["period_start"], row["period_end"]),
        row["is_opening"],
        row["create_time"],
        row["time_zone"],
        row["end_time"],
        row["is_closed"],
    )
