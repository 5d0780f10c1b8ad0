"""Subscriptions, and the claims that workers have on them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.period import Period
from services.invoicing.domain.phase import Phase, UnitChange
from services.invoicing.domain.run import BillingFailure, OpenRun
from services.invoicing.domain.schedule import BillingTime
from services.invoicing.domain.subscription import Subscription
from services.invoicing.store import activations, phases, units

_COLUMNS = (
    "s.id, s.customer_id, c.time_zone, s.billing_time, s.start_time, s.phase_number, s.period_start, s.period_end,"
    " s.opening_time, s.create_time, s.fee_paid_until, s.end_time, s.is_closed, s.revision, s.failure_count,"
    " s.invoiced_alone, s.billed_watermark, s.late_check_time, s.has_last_invoice, s.activation, s.payment_timeout,"
    " s.expire_time, s.cancel_reason, s.addition_time, s.past_zones, s.past_zone_ends"
)
_FROM = "FROM subscription s JOIN customer c ON c.tenant_id = s.tenant_id AND c.id = s.customer_id"


async def insert(conn: Conn, tenant_id: str, made: Subscription, request_id: UUID, request_hash: bytes) -> bool:
    """False when the id or the request_id is taken. The caller has a transaction."""
    inserted = await conn.fetchval(
        "WITH counted AS (UPDATE customer SET subscription_count = subscription_count + 1"
        "  WHERE tenant_id = $1 AND id = $3 RETURNING subscription_count)"
        " INSERT INTO subscription (tenant_id, id, customer_id, billing_time,"
        " start_time, phase_number, period_start, period_end, opening_time, create_time, request_id, request_hash,"
        " invoiced_alone, addition_time, turn)"
        " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
        " floor(log(2, subscription_count)) FROM counted"
        " ON CONFLICT DO NOTHING RETURNING true",
        tenant_id,
        made.id,
        made.customer_id,
        made.billing_time,
        made.start_time,
        made.phase_number,
        made.current_period.start,
        made.current_period.end,
        made.opening_time,
        made.create_time,
        request_id,
        request_hash,
        made.invoiced_alone,
        made.addition_time,
    )
    if inserted:
        await phases.replace(conn, tenant_id, made.id, made.phases)
        await activations.save(conn, tenant_id, made)
    return inserted is not None


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[Subscription, bytes] | None:
    """The subscription that a request made, and that request's hash."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS}, s.request_hash {_FROM} WHERE s.tenant_id = $1 AND s.request_id = $2",
        tenant_id,
        request_id,
    )
    if row is None:
        return None
    [found] = await _subscriptions(conn, tenant_id, [row])
    return found, row["request_hash"]


async def get(conn: Conn, tenant_id: str, subscription_id: str) -> Subscription | None:
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} {_FROM} WHERE s.tenant_id = $1 AND s.id = $2",
        tenant_id,
        subscription_id,
    )
    return next(iter(await _subscriptions(conn, tenant_id, rows)), None)


async def by_ids(conn: Conn, tenant_id: str, ids: Iterable[str]) -> dict[str, Subscription]:
    """Those of `ids` that there are."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} {_FROM} WHERE s.tenant_id = $1 AND s.id = ANY($2::text[])", tenant_id, list(ids)
    )
    return {each.id: each for each in await _subscriptions(conn, tenant_id, rows)}


async def due_with(conn: Conn, tenant_id: str, due: Subscription) -> Sequence[Subscription]:
    """Those that are on one invoice with what is `due`, by id: itself and the customer's others that are due then."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} {_FROM} WHERE s.tenant_id = $1 AND s.customer_id = $2 AND s.due_time = $3"
        " AND NOT s.invoiced_alone ORDER BY s.id",
        tenant_id,
        due.customer_id,
        due.due_time,
    )
    return await _subscriptions(conn, tenant_id, rows)


async def due_by_customer(
    conn: Conn, tenant_id: str, until: datetime, customer_id: str | None, after: tuple[str, str], limit: int
) -> Sequence[Subscription]:
    """The first that are due by then, by customer and id, after a customer's subscription."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} {_FROM} WHERE s.tenant_id = $1 AND s.due_time <= $2"
        " AND ($3::text IS NULL OR s.customer_id = $3) AND (s.customer_id, s.id) > ($4, $5)"
        " ORDER BY s.customer_id, s.id LIMIT $6",
        tenant_id,
        until,
        customer_id,
        *after,
        limit,
    )
    return await _subscriptions(conn, tenant_id, rows)


async def page(
    conn: Conn, tenant_id: str, customer_id: str | None, plan_code: str | None, page: Page
) -> Sequence[Subscription]:
    """By id, those that a plan bills next if one is named; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} {_FROM}"  # noqa: S608
        " WHERE s.tenant_id = $1 AND ($2::text IS NULL OR s.customer_id = $2) AND ($3::text IS NULL OR EXISTS ("
        "  SELECT FROM subscription_phase p WHERE p.tenant_id = $1 AND p.subscription_id = s.id"
        "  AND p.number = s.phase_number AND p.plan_code = $3))"
        " AND s.id > coalesce($4, '') ORDER BY s.id LIMIT $5",
        tenant_id,
        customer_id,
        plan_code,
        page.after,
        page.size + 1,
    )
    return await _subscriptions(conn, tenant_id, rows)


async def exist(conn: Conn, tenant_id: str) -> bool:
    """Whether the tenant has any."""
    found: bool = await conn.fetchval("SELECT EXISTS (SELECT FROM subscription WHERE tenant_id = $1)", tenant_id)
    return found


async def claim_due(
    conn: Conn, run: OpenRun, now: datetime, leased_until: datetime, limit: int
) -> Sequence[Subscription]:
    """Lease up to `limit` of those that the run has to bill and that nobody is at: each customer's first subscription
    before the next two of each, the next four, and so on; of those of one turn, the longest due first.

    Of one that waits for its first payment, only the opening invoice. What is changed by request meanwhile may be
    claimed with phases of another revision: `advance` refuses it.
    """
    rows = await conn.fetch(
        "WITH due AS MATERIALIZED (SELECT id FROM generate_series(0, 31) AS turns (turn), LATERAL ("  # noqa: S608
        "  SELECT t.id FROM subscription t WHERE t.tenant_id = $1 AND t.turn = turns.turn AND t.due_time <= $2"
        "  AND t.due_time > coalesce($3, '-infinity'::timestamptz) AND t.available_time <= $4"
        "  AND (t.activation IS DISTINCT FROM 'incomplete' OR t.opening_time IS NOT NULL)"
        "  ORDER BY t.due_time LIMIT $6 FOR UPDATE SKIP LOCKED) its_turn LIMIT $6)"
        " UPDATE subscription s SET available_time = $5 FROM due, customer c"
        " WHERE s.tenant_id = $1 AND s.id = due.id AND c.tenant_id = $1 AND c.id = s.customer_id"
        f" RETURNING {_COLUMNS}",
        run.tenant_id,
        run.until,
        run.after,
        now,
        leased_until,
        limit,
    )
    return await _subscriptions(conn, run.tenant_id, rows)


async def advance(conn: Conn, tenant_id: str, billed: Sequence[Subscription], watermarks: Sequence[int]) -> set[str]:
    """Move each to where it is once it is billed with all usage recorded up to its watermark; 0 is for one that was
    billed without usage. Returns the ids of those that still stood where they were billed.
    """
    after = [each.billed() for each in billed]
    rows = await conn.fetch(
        "UPDATE subscription s SET phase_number = b.next_phase, period_start = b.next_start, period_end = b.next_end,"
        " opening_time = b.next_opening, fee_paid_until = b.fee_paid_until, is_closed = b.next_closed,"
        " late_check_time = b.next_check, addition_time = b.next_addition,"
        " billed_watermark = greatest(s.billed_watermark, b.watermark),"
        " available_time = '-infinity', failure_count = 0, failure_reason = NULL, failure_message = NULL"
        " FROM unnest($2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::integer[], $7::timestamptz[],"
        "  $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::boolean[], $12::bigint[],"
        "  $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[])"
        "  AS b (id, revision, period_start, opening_time, next_phase, next_start, next_end, next_opening,"
        "  fee_paid_until, next_closed, watermark, check_time, next_check, addition_time, next_addition)"
        " WHERE s.tenant_id = $1 AND s.id = b.id AND s.revision = b.revision AND s.period_start = b.period_start"
        " AND s.opening_time IS NOT DISTINCT FROM b.opening_time AND s.due_time IS NOT NULL"
        " AND s.late_check_time IS NOT DISTINCT FROM b.check_time"
        " AND s.addition_time IS NOT DISTINCT FROM b.addition_time RETURNING s.id",
        tenant_id,
        [each.id for each in billed],
        [each.revision for each in billed],
        [each.current_period.start for each in billed],
        [each.opening_time for each in billed],
        [each.phase_number for each in after],
        [each.current_period.start for each in after],
        [each.current_period.end for each in after],
        [each.opening_time for each in after],
        [each.fee_paid_until for each in after],
        [each.is_closed for each in after],
        watermarks,
        [each.late_check_time for each in billed],
        [each.late_check_time for each in after],
        [each.addition_time for each in billed],
        [each.addition_time for each in after],
    )
    return {row["id"] for row in rows}


async def lock(conn: Conn, tenant_id: str, subscription_id: str) -> Subscription | None:
    """The subscription, which nobody else changes until the transaction ends."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} {_FROM} WHERE s.tenant_id = $1 AND s.id = $2 FOR UPDATE OF s",
        tenant_id,
        subscription_id,
    )
    return next(iter(await _subscriptions(conn, tenant_id, rows)), None)


async def save(conn: Conn, tenant_id: str, changed: Subscription) -> None:
    """What a request has changed of the locked subscription. What is due is due at once, however long it failed."""
    await conn.execute(
        "UPDATE subscription SET phase_number = $3, period_start = $4, period_end = $5, opening_time = $6,"
        " fee_paid_until = $7, end_time = $8, is_closed = $9, revision = $10, late_check_time = $11,"
        " has_last_invoice = $12, addition_time = $13, available_time = '-infinity'"
        " WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        changed.id,
        changed.phase_number,
        changed.current_period.start,
        changed.current_period.end,
        changed.opening_time,
        changed.fee_paid_until,
        changed.end_time,
        changed.is_closed,
        changed.revision,
        changed.late_check_time,
        changed.has_last_invoice,
        changed.addition_time,
    )
    await phases.replace(conn, tenant_id, changed.id, changed.phases)
    await units.replace(conn, tenant_id, changed.id, changed.units)


async def request_of_change(conn: Conn, tenant_id: str, request_id: UUID) -> bytes | None:
    """The hash of the request that had this request_id, if there is one."""
    recorded: bytes | None = await conn.fetchval(
        "SELECT request_hash FROM subscription_change WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return recorded


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
    return await request_of_change(conn, tenant_id, request_id)


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


async def _subscriptions(conn: Conn, tenant_id: str, rows: Sequence[asyncpg.Record]) -> Sequence[Subscription]:
    """`rows` of _COLUMNS with their phases and units."""
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    found, changed = await phases.of(conn, tenant_id, ids), await units.of(conn, tenant_id, ids)
    return [_subscription(row, tuple(found[row["id"]]), tuple(changed[row["id"]])) for row in rows]


def _subscription(
    row: asyncpg.Record, its_phases: tuple[Phase, ...], its_units: tuple[UnitChange, ...]
) -> Subscription:
    return Subscription(
        id=row["id"],
        customer_id=row["customer_id"],
        time_zone=row["time_zone"],
        billing_time=BillingTime(row["billing_time"]),
        start_time=row["start_time"],
        phases=its_phases,
        phase_number=row["phase_number"],
        current_period=Period(row["period_start"], row["period_end"]),
        is_opening=row["opening_time"] is not None,
        create_time=row["create_time"],
        fee_paid_until=row["fee_paid_until"],
        end_time=row["end_time"],
        is_closed=row["is_closed"],
        revision=row["revision"],
        failures=row["failure_count"],
        invoiced_alone=row["invoiced_alone"],
        billed_watermark=row["billed_watermark"],
        late_check_time=row["late_check_time"],
        has_last_invoice=row["has_last_invoice"],
        activation=activations.read(row),
        units=its_units,
        addition_time=row["addition_time"],
        past_zones=tuple(zip(row["past_zones"], row["past_zone_ends"], strict=True)),
    )
