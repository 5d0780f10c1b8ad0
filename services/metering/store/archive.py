"""Archived months: which questions still have what they need, and how a month is asked for."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import asyncpg

from libs.common.errors import FailedPrecondition, NotFound
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.metering.domain.archive import AWAY, ArchivedMonth, Gap, Obstacle, State, bounds
from services.metering.domain.buckets import MONTH, OLDEST, Cover
from services.metering.domain.events import EventKey


class Need(NamedTuple):
    """What a question reads of a series' rollup."""

    position: int
    series_no: int
    rollup_no: int
    cover: Cover


async def find_gaps(conn: Conn) -> list[Gap]:
    """Every month that has been archived at least once."""
    rows = await conn.fetch("SELECT month, state, last_rollup_no FROM archived_month WHERE archive_time IS NOT NULL")
    return [Gap(*bounds(row[0]), row[2], row[1] in AWAY) for row in rows]


async def lacking(conn: Conn, tenant_no: int, needs: Sequence[Need], gaps: Sequence[Gap]) -> set[int]:
    """Positions of those that buckets can't answer: what they would read was added up while the events were away, or
    would have to be read from events that are.
    """
    found: set[int] = set()
    partial: list[tuple[int, int, datetime, datetime, int]] = []
    for need in needs:
        for gap in gaps:
            widths = {span.width for span in need.cover.spans if span.start < gap.end and span.end > gap.start}
            has_edge = any(start < gap.end and end > gap.start for start, end in need.cover.edges)
            if (widths and need.rollup_no > gap.last_rollup_no) or (has_edge and gap.away):
                found.add(need.position)
            partial += [
                (need.position, need.series_no, gap.start, gap.end, width) for width in widths if width != MONTH
            ]
    if partial:
        rows = await conn.fetch(
            """
            SELECT DISTINCT position
            FROM unnest($2::int[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::int[])
                AS need (position, series_no, since, until, width)
            WHERE (
                SELECT coalesce(sum(event_count), 0) FROM bucket
                WHERE tenant_no = $1 AND bucket.series_no = need.series_no AND rollup_no = 0 AND bucket.width = 0
                    AND start_time = since
            ) <> (
                SELECT coalesce(sum(event_count), 0) FROM bucket
                WHERE tenant_no = $1 AND bucket.series_no = need.series_no AND rollup_no = 0
                    AND bucket.width = need.width AND start_time >= since AND start_time < until
            )
            """,
            tenant_no, *([row[i] for row in partial] for i in range(5)),
        )  # fmt: skip
        found |= {row[0] for row in rows}
    return found


async def require_events(
    conn: Conn,
    tenant_id: str,
    asked: Collection[tuple[str, str, datetime, datetime]],
    gaps: Sequence[Gap],
) -> None:
    """That no event of (subscription, event code or "" for any, start, end) is away; raises FailedPrecondition
    USAGE_ARCHIVED.
    """
    away = [gap for gap in gaps if gap.away]
    pieces = [(*each, gap.start) for each in asked for gap in away if each[2] < gap.end and each[3] > gap.start]
    if not pieces:
        return
    month = await conn.fetchval(
        """
        SELECT min(month) FROM unnest($2::text[], $3::text[], $4::timestamptz[]) AS asked (subscription_id, code, month)
        JOIN series USING (subscription_id) JOIN tenant USING (tenant_id)
        JOIN bucket ON bucket.tenant_no = tenant.tenant_no AND bucket.series_no = series.series_no
            AND rollup_no = 0 AND width = 0 AND start_time = month
        WHERE series.tenant_id = $1 AND (code = '' OR series.event_code = code)
        """,
        tenant_id, *([piece[i] for piece in pieces] for i in (0, 1, 4)),
    )  # fmt: skip
    if month is not None:
        raise FailedPrecondition(
            "USAGE_ARCHIVED",
            f"this needs single events of {month:%Y-%m}, which are archived; restore the month and ask again",
            month=f"{month:%Y-%m}",
        )


async def require_listable(
    conn: Conn,
    tenant_id: str,
    subscription_id: str,
    code: str,
    period: tuple[datetime | None, datetime | None],
    after: EventKey | None,
) -> None:
    """That no event of a listing is away, after the one it goes on from. Raises as `require_events` does."""
    start = max(period[0] or OLDEST, after.event_time if after else OLDEST)
    end = period[1] or datetime.max.replace(tzinfo=UTC)
    await require_events(conn, tenant_id, [(subscription_id, code, start, end)], await find_gaps(conn))


async def list_months(conn: Conn, tenant_id: str, page: Page) -> list[ArchivedMonth]:
    """One more than the page's size, if there are as many."""
    return await _months(conn, tenant_id, "to_char(month, 'YYYY-MM') > $2", page.after or "", page.size + 1)


async def request_restore(conn: Conn, tenant_id: str, month: date, hold_end: datetime) -> ArchivedMonth:
    """Raises NotFound MONTH_NOT_ARCHIVED."""
    found = await conn.fetchval(
        """
        UPDATE archived_month SET state = CASE state WHEN $3 THEN $4 ELSE state END,
            hold_end_time = greatest(hold_end_time, $2)
        WHERE month = $1 AND state = ANY($5) RETURNING month
        """,
        month, hold_end, State.ARCHIVED, State.RESTORING, [State.ARCHIVED, State.RESTORING, State.RESTORED],
    )  # fmt: skip
    if found is None:
        raise NotFound("MONTH_NOT_ARCHIVED", f"{month:%Y-%m} is not archived", month=f"{month:%Y-%m}")
    return (await _months(conn, tenant_id, "to_char(month, 'YYYY-MM') = $2", f"{month:%Y-%m}", 1))[0]


async def set_billed(conn: Conn, tenant_id: str, until: datetime) -> datetime:
    """The time as it is now."""
    billed: datetime = await conn.fetchval(
        """
        INSERT INTO billed AS old (tenant_id, billed_end_time) VALUES ($1, $2)
        ON CONFLICT (tenant_id) DO UPDATE SET billed_end_time = greatest(old.billed_end_time, excluded.billed_end_time)
        RETURNING billed_end_time
        """,
        tenant_id, until,
    )  # fmt: skip
    return billed


async def find_billed(conn: Conn, tenant_id: str) -> datetime | None:
    found: datetime | None = await conn.fetchval("SELECT billed_end_time FROM billed WHERE tenant_id = $1", tenant_id)
    return found


async def _months(conn: Conn, tenant_id: str, condition: str, value: str, most: int) -> list[ArchivedMonth]:
    rows = await conn.fetch(
        f"""
        SELECT month, state, obstacles, archive_time, hold_end_time, event_count, locations
        FROM archived_month CROSS JOIN LATERAL (
            SELECT coalesce(sum(event_count), 0)::bigint AS event_count,
                coalesce(array_agg(location ORDER BY file_no), '{{}}') AS locations
            FROM archive_file JOIN tenant USING (tenant_no)
            WHERE archive_file.month = archived_month.month AND tenant_id = $1
        ) AS files
        WHERE {condition} ORDER BY month LIMIT $3
        """,  # noqa: S608 one of two constants
        tenant_id, value, most,
    )  # fmt: skip
    return [_month(row) for row in rows]


def _month(row: asyncpg.Record) -> ArchivedMonth:
    return ArchivedMonth(
        month=row["month"],
        state=State(row["state"]),
        obstacles=[Obstacle(each) for each in row["obstacles"]],
        event_count=row["event_count"],
        locations=row["locations"],
        archive_time=row["archive_time"],
        hold_end_time=row["hold_end_time"],
    )
