"""Which windows of which alerts are to be evaluated, and what came of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from libs.common.postgres import Conn
from services.metering.domain.alerts import Alert, AlertWindow, Evaluation, Period, Trigger
from services.metering.store.alerts import alert_in

STATEMENT_SECONDS = 280

WindowKey = tuple[str, Period]
"""Of a tenant: the alert's code, and the window."""


@dataclass(frozen=True, slots=True)
class Touched:
    """An alert whose subscription has new events, and the quarters of hours in which they happened.

    Of a meter that carries on, an event counts in all windows from its own on.
    """

    tenant_id: str
    code: str
    window: AlertWindow
    zone: ZoneInfo
    carries_on: bool
    quarters: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Watched:
    """An alert, and up to which sequence events were older than it; where windows of it were purged, up to which all
    were evaluated, and where the last of those ended.
    """

    alert: Alert
    since: int
    settled: int | None
    settled_end_time: datetime | None

    def begins_at(self, end_time: datetime) -> int | None:
        """At which sequence a window that ends then begins, if it is not known; None where it begins with 0."""
        if self.settled_end_time is not None and end_time <= self.settled_end_time:
            return self.settled
        return self.since if end_time <= self.alert.create_time else None


async def claim_span(conn: Conn, most: int) -> tuple[int, int, int] | None:
    """What to look through: sequences in (sought, until], and how far the log goes; None when there is nothing.

    Until the transaction ends, nobody else looks, and no alert is made.
    """
    head = await conn.fetchval("SELECT max(sequence) FROM event_batch")
    if not await conn.fetchval("SELECT sought < $1 FROM alert_progress", head or 0):
        return None
    sought = await conn.fetchval("SELECT sought FROM alert_progress FOR UPDATE")
    return (sought, min(head, sought + most), head) if sought < head else None


async def move_sought(conn: Conn, until: int) -> None:
    await conn.execute("UPDATE alert_progress SET sought = $1", until)


async def touched_alerts(conn: Conn, sought: int, until: int) -> list[Touched]:
    """Alerts of the events in (sought, until], which are found by the index of sequences, and read once, and of what
    corrections changed.

    Every window of every time zone begins at a quarter of an hour in UTC.
    """
    if not await conn.fetchval("SELECT EXISTS (SELECT FROM alert WHERE delete_time IS NULL)"):
        return []
    await conn.execute("SET LOCAL enable_seqscan = off; SET LOCAL jit = off")
    rows = await conn.fetch(
        """
        WITH changed AS (
            SELECT series_no, date_bin('15 minutes', event_time, '2000-01-01Z') AS quarter
            FROM event WHERE sequence > $1 AND sequence <= $2
            UNION ALL
            SELECT series_no, generate_series(date_bin('15 minutes', since, '2000-01-01Z'), until, '15 minutes')
            FROM correction JOIN corrected_series USING (correction_no) JOIN series USING (tenant_id, series_no)
            WHERE sequence > $1 AND sequence <= $2 AND EXISTS (
                SELECT FROM alert
                WHERE alert.tenant_id = series.tenant_id AND alert.subscription_id = series.subscription_id
            )
        ), touched AS MATERIALIZED (
            SELECT series_no, array_agg(DISTINCT quarter) AS quarters FROM changed GROUP BY series_no
        )
        SELECT alert.tenant_id, alert.code, window_kind, time_zone, meter.recurring, quarters
        FROM touched JOIN series USING (series_no)
        JOIN alert USING (tenant_id, subscription_id)
        JOIN meter ON meter.tenant_id = alert.tenant_id AND meter.code = meter_code
        WHERE delete_time IS NULL AND (meter.event_code = series.event_code OR EXISTS (
            SELECT FROM meter_version AS version
            WHERE version.tenant_id = alert.tenant_id AND version.code = meter_code
                AND version.event_code = series.event_code
        ))
        """,
        sought, until, timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    return [Touched(row[0], row[1], AlertWindow(row[2]), ZoneInfo(row[3]), row[4], row[5]) for row in rows]


async def make_due(conn: Conn, windows: Collection[tuple[str, str, Period]], due: int) -> None:
    """Have windows, by tenant_id and alert code, evaluated at `due` or later."""
    await conn.execute(
        """
        INSERT INTO alert_due (tenant_id, alert_code, start_time, end_time, due)
        SELECT *, $5 FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
        ON CONFLICT DO NOTHING
        """,
        [each[0] for each in windows], [each[1] for each in windows], [each[2][0] for each in windows],
        [each[2][1] for each in windows], due,
    )  # fmt: skip


async def make_later_due(conn: Conn, tenant_id: str, code: str, start: datetime, due: int) -> None:
    """Have the windows that were evaluated before and start after `start` evaluated again."""
    await conn.execute(
        """
        INSERT INTO alert_due (tenant_id, alert_code, start_time, end_time, due)
        SELECT tenant_id, alert_code, start_time, end_time, $4 FROM alert_window
        WHERE tenant_id = $1 AND alert_code = $2 AND start_time > $3
        ON CONFLICT DO NOTHING
        """,
        tenant_id, code, start, due,
    )  # fmt: skip


async def due_tenants(conn: Conn) -> list[str]:
    """Those with windows to be evaluated, found by jumps through the key: as many steps as tenants."""
    rows = await conn.fetch(
        """
        WITH RECURSIVE found (tenant_id) AS (
            SELECT min(tenant_id) FROM alert_due
            UNION ALL
            SELECT (SELECT min(tenant_id) FROM alert_due WHERE alert_due.tenant_id > found.tenant_id)
            FROM found WHERE tenant_id IS NOT NULL
        )
        SELECT tenant_id FROM found WHERE tenant_id IS NOT NULL
        """
    )
    return [row[0] for row in rows]


async def claim_due(conn: Conn, tenant_id: str, most: int) -> list[tuple[WindowKey, int]]:
    """At most `most` jobs of a tenant that nobody else has claimed: window, and since when it is due."""
    rows = await conn.fetch(
        """
        SELECT alert_code, start_time, end_time, due FROM alert_due WHERE tenant_id = $1
        ORDER BY alert_code, start_time, due LIMIT $2 FOR UPDATE SKIP LOCKED
        """,
        tenant_id, most,
    )  # fmt: skip
    return [((row[0], (row[1], row[2])), row[3]) for row in rows]


async def finish_due(conn: Conn, tenant_id: str, jobs: Sequence[tuple[WindowKey, int]]) -> None:
    await conn.execute(
        """
        DELETE FROM alert_due USING unnest($2::text[], $3::timestamptz[], $4::bigint[])
            AS job (alert_code, start_time, due)
        WHERE alert_due.tenant_id = $1 AND alert_due.alert_code = job.alert_code
            AND alert_due.start_time = job.start_time AND alert_due.due = job.due
        """,
        tenant_id, [key[0] for key, _ in jobs], [key[1][0] for key, _ in jobs], [due for _, due in jobs],
    )  # fmt: skip


async def watched_alerts(conn: Conn, tenant_id: str, codes: Collection[str], *, hold: bool = False) -> list[Watched]:
    """Active alerts; with `hold`, nobody changes or deletes one until the transaction ends."""
    rows = await conn.fetch(
        f"""
        SELECT code, name, subscription_id, meter_code, filters, direction, thresholds, recurring_step, window_kind,
            time_zone, create_time, delete_time, since, settled, settled_end_time, NULL AS watermark
        FROM alert WHERE tenant_id = $1 AND code = ANY($2) AND delete_time IS NULL
        ORDER BY code {"FOR SHARE" if hold else ""}
        """,  # noqa: S608 constants only
        tenant_id, list(codes),
    )  # fmt: skip
    return [Watched(alert_in(row), row["since"], row["settled"], row["settled_end_time"]) for row in rows]


async def evaluations(
    conn: Conn, tenant_id: str, windows: Collection[WindowKey], *, hold: bool = False
) -> dict[WindowKey, tuple[Decimal, int]]:
    """Quantity and watermark of those windows that have been evaluated."""
    rows = await conn.fetch(
        f"""
        SELECT alert_code, start_time, end_time, quantity, watermark
        FROM alert_window JOIN unnest($2::text[], $3::timestamptz[]) AS asked (alert_code, start_time)
            USING (alert_code, start_time)
        WHERE tenant_id = $1 ORDER BY alert_code, start_time {"FOR UPDATE OF alert_window" if hold else ""}
        """,  # noqa: S608 constants only
        tenant_id, [code for code, _ in windows], [period[0] for _, period in windows],
    )  # fmt: skip
    return {(row[0], (row[1], row[2])): (row[3], row[4]) for row in rows}


async def begin_windows(
    conn: Conn, tenant_id: str, baselines: Sequence[tuple[WindowKey, Decimal, int]], now: datetime
) -> None:
    """Give windows that have not been evaluated their first quantity and watermark."""
    ordered = sorted(baselines)
    await conn.execute(
        """
        INSERT INTO alert_window (tenant_id, alert_code, start_time, end_time, quantity, watermark, evaluate_time)
        SELECT $1, begun.*, $7
        FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::numeric[], $6::bigint[]) AS begun
        ON CONFLICT DO NOTHING
        """,
        tenant_id, [key[0] for key, _, _ in ordered], [key[1][0] for key, _, _ in ordered],
        [key[1][1] for key, _, _ in ordered], [quantity for _, quantity, _ in ordered], [at for _, _, at in ordered],
        now,
    )  # fmt: skip


async def save_evaluations(conn: Conn, tenant_id: str, found: Sequence[tuple[str, Evaluation]], now: datetime) -> None:
    """Each alert's, unless one at the same watermark or later is there."""
    await conn.execute(
        """
        UPDATE alert_window SET quantity = new.quantity, watermark = new.watermark, evaluate_time = $6
        FROM unnest($2::text[], $3::timestamptz[], $4::numeric[], $5::bigint[])
            AS new (alert_code, start_time, quantity, watermark)
        WHERE alert_window.tenant_id = $1 AND alert_window.alert_code = new.alert_code
            AND alert_window.start_time = new.start_time AND alert_window.watermark < new.watermark
        """,
        tenant_id, [code for code, _ in found], [each.period[0] for _, each in found],
        [each.quantity for _, each in found], [each.watermark for _, each in found], now,
    )  # fmt: skip


async def insert_triggers(conn: Conn, tenant_id: str, triggers: Sequence[Trigger]) -> set[str]:
    """Ids of those that are new: a threshold that is not recurring triggers once in a window."""
    rows = await conn.fetch(
        """
        INSERT INTO alert_trigger (tenant_id, trigger_id, alert_code, start_time, end_time, threshold_code, threshold,
            recurring, previous_quantity, quantity, watermark, create_time)
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[],
            $7::numeric[], $8::boolean[], $9::numeric[], $10::numeric[], $11::bigint[], $12::timestamptz[])
        ON CONFLICT DO NOTHING RETURNING trigger_id
        """,
        tenant_id, *map(list, zip(*map(_columns, triggers), strict=True)),
    )  # fmt: skip
    return {row[0] for row in rows}


def _columns(trigger: Trigger) -> tuple[object, ...]:
    threshold, evaluation = trigger.crossing.threshold, trigger.evaluation
    return (
        trigger.id, trigger.alert_code, *evaluation.period, threshold.code, threshold.value,
        trigger.crossing.recurring, trigger.previous, evaluation.quantity, evaluation.watermark, trigger.create_time,
    )  # fmt: skip


async def insert_outbox(
    conn: Conn, tenant_id: str, kind: str, messages: Sequence[tuple[str, str]], now: datetime
) -> None:
    """Ids, and payloads as JSON."""
    await conn.execute(
        """
        INSERT INTO outbox (id, tenant_id, type, payload, create_time)
        SELECT id, $1, $2, payload::jsonb, $3 FROM unnest($4::text[], $5::text[]) AS message (id, payload)
        """,
        tenant_id, kind, now, [each[0] for each in messages], [each[1] for each in messages],
    )  # fmt: skip
