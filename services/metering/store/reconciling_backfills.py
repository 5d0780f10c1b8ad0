"""Reconciliation of backfills: their events have no time of reception, so each is compared as a whole."""

from datetime import date, datetime

from libs.common.postgres import Conn
from services.metering.domain.archive import AWAY
from services.metering.domain.reconciliation import FIGURES, Difference, Kind

STATEMENT_SECONDS = 280


async def backfilled(conn: Conn, tenant_id: str, start: datetime, end: datetime) -> dict[date, int]:
    """Events received into backfills, by day of reception in [start, end)."""
    rows = await conn.fetch(
        """
        SELECT day, sum(event_count)::bigint FROM backfill_intake
        WHERE tenant_id = $1 AND day >= $2 AND day < $3 GROUP BY day
        """,
        tenant_id, start.date(), end.date(),
    )  # fmt: skip
    return {row[0]: row[1] for row in rows}


async def compare_backfills(
    conn: Conn, tenant_id: str, tenant_no: int, start: datetime, end: datetime
) -> list[Difference]:
    """Of the backfills into which events were received in [start, end): all that were, and those that are there, among
    those that count no more and in files as well. The events of a backfill that was reverted before it counted go.
    """
    rows = await conn.fetch(
        """
        WITH asked AS MATERIALIZED (
            SELECT backfill_no, backfill_id FROM backfill
            WHERE tenant_id = $1 AND (state <> 'REVERTED' OR close_sequence IS NOT NULL) AND backfill_no IN (
                SELECT backfill_no FROM backfill_intake WHERE tenant_id = $1 AND day >= $3 AND day < $4
            )
        ), standing AS (
            SELECT backfill_no, count(*) AS event_count
            FROM asked JOIN backfill_series USING (backfill_no)
            JOIN event ON event.tenant_no = $2 AND event.series_no = backfill_series.series_no
                AND event_time >= since AND event_time <= until AND sequence = -backfill_no
            GROUP BY backfill_no
        ), withdrawn AS (
            SELECT backfill_no, count(*) AS event_count
            FROM asked JOIN withdrawn_event ON tenant_no = $2 AND sequence = -backfill_no
            GROUP BY backfill_no
        ), archived AS (
            SELECT backfill_no, event_count
            FROM asked JOIN archived_backfill USING (backfill_no) JOIN archived_month USING (month)
            WHERE archived_month.state = ANY($5)
        ), found AS (
            SELECT backfill_no, sum(event_count)::bigint AS there FROM (
                SELECT * FROM standing UNION ALL SELECT * FROM withdrawn UNION ALL SELECT * FROM archived
            ) AS counted GROUP BY backfill_no
        )
        SELECT backfill_id, received, coalesce(there, 0) AS there
        FROM asked
        JOIN (
            SELECT backfill_no, sum(event_count)::bigint AS received FROM backfill_intake GROUP BY backfill_no
        ) AS intake USING (backfill_no)
        LEFT JOIN found USING (backfill_no)
        WHERE received <> coalesce(there, 0)
        ORDER BY backfill_no
        """,
        tenant_id, tenant_no, start.date(), end.date(), list(AWAY), timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    return [
        Difference(Kind.BACKFILLED, None, FIGURES[0], row["received"], row["there"], backfill_id=row["backfill_id"])
        for row in rows
    ]
