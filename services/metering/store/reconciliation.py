"""Reconciliation: figures that are kept apart, read in one snapshot, a day or some series of a month at a time."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.archive import AWAY, Gap
from services.metering.domain.asking import ALL
from services.metering.domain.events import identity
from services.metering.domain.intake import ACCEPTED
from services.metering.domain.reconciliation import (
    FIGURES,
    Day,
    Difference,
    Kind,
    Reconciliation,
    bucket_period,
    day_period,
    days_of,
    first_difference,
    month_period,
    reconciliation,
)
from services.metering.store.adding_up import PATTERN
from services.metering.store.archive import find_gaps
from services.metering.store.reconciling_backfills import backfilled, compare_backfills
from services.metering.store.snapshot import snapshot
from services.metering.store.usage import read_head
from services.metering.store.visibility import counts_at

SERIES_AT_ONCE = 1_000
KEYS_AT_ONCE = 5_000
STATEMENT_SECONDS = 280

# Said once more, and not as folding says it: what is compared must not share its mistakes.
_VALUE = f"""
    CASE WHEN value_property = '' THEN 1
        WHEN properties ->> value_property ~ '{PATTERN}' THEN (properties ->> value_property)::numeric END
"""
_ADMITTED = """
    NOT EXISTS (
        SELECT FROM jsonb_array_elements(filters) AS filter
        WHERE NOT coalesce(filter -> 'values' ? (properties ->> (filter ->> 'property')), false)
    )
"""
_BATCHES = """
    SELECT min(sequence), max(sequence) FROM event_batch WHERE record_time >= $1 AND record_time < $2
"""
_RECORDED = """
    SELECT count(*) FILTER (WHERE sequence <= $6) AS folded, count(*) FILTER (WHERE sequence > $6) AS waiting,
        array_agg(DISTINCT (date_trunc('month', event_time, 'UTC') AT TIME ZONE 'UTC')::date) AS months
    FROM (
        SELECT event_time, sequence, tenant_no FROM event
        UNION ALL
        SELECT event_time, sequence, tenant_no FROM withdrawn_event
    ) AS event JOIN (
        SELECT sequence FROM event_batch WHERE sequence BETWEEN $2 AND $3 AND record_time >= $4 AND record_time < $5
        EXCEPT SELECT sequence FROM correction
    ) AS batch USING (sequence)
    WHERE tenant_no = $1 AND sequence BETWEEN $2 AND $3
"""
_SUMS = """
    sum(event_count)::bigint AS event_count, sum(total) AS total, min(smallest) AS smallest, max(largest) AS largest,
    sum(amount) AS amount
"""
_DIFFERS = f"""
    ROW({", ".join(f"expected.{name}" for name in FIGURES)})
    IS DISTINCT FROM ROW({", ".join(f"actual.{name}" for name in FIGURES)})
"""
_BOTH = ", ".join(f"expected.{name} AS expected_{name}, actual.{name} AS actual_{name}" for name in FIGURES)
_NAMES = """
    JOIN series USING (series_no) LEFT JOIN rollup USING (rollup_no)
"""

# Buckets of some series in a month, of each width one for a series, rollup and time.
_BUCKETS = f"""
    buckets AS MATERIALIZED (
        SELECT series_no, rollup_no, width, start_time, {_SUMS}
        FROM bucket
        WHERE bucket.tenant_no = $1 AND series_no = ANY($2::int[]) AND start_time >= $3 AND start_time < $4
            AND rollup_no <= $5
        GROUP BY series_no, rollup_no, width, start_time
    )
"""  # noqa: S608 constants only
_ADDED_UP = f"""
    WITH rollups AS MATERIALIZED (
        SELECT series_no, rollup_no, value_property, filters
        FROM series JOIN rollup USING (tenant_id, event_code)
        WHERE series_no = ANY($2::int[]) AND series_no <= built_series_no AND rollup_no <= $5
        UNION ALL
        SELECT series_no, 0, '', '[]' FROM series WHERE series_no = ANY($2::int[])
    ), seen AS (
        SELECT series_no, rollup_no, {_VALUE} AS value, amount
        FROM event JOIN rollups USING (series_no)
        WHERE event.tenant_no = $1 AND event.series_no = ANY($2::int[])
            AND event_time >= $3 AND event_time < $4 AND {counts_at("$6", "backfill.tenant_no = $1")} AND {_ADMITTED}
    ), expected AS (
        SELECT series_no, rollup_no, count(*) AS event_count, sum(value) AS total, min(value) AS smallest,
            max(value) AS largest, sum(amount) AS amount
        FROM seen WHERE value IS NOT NULL
        GROUP BY series_no, rollup_no
    ), {_BUCKETS}, actual AS (SELECT * FROM buckets WHERE width = 0), different AS (
        SELECT series_no, rollup_no, {_BOTH}
        FROM expected FULL JOIN actual USING (series_no, rollup_no)
        WHERE {_DIFFERS}
    )
    SELECT subscription_id, series.event_code, coalesce(value_property, '') AS value_property,
        0 AS width, $3::timestamptz AS start_time, different.*
    FROM different {_NAMES}
    ORDER BY series_no, rollup_no
"""  # noqa: S608 constants only
_NESTED = f"""
    WITH {_BUCKETS}, actual AS (
        SELECT series_no, rollup_no, width - 1 AS width,
            date_trunc((ARRAY['month', 'day', 'hour', 'minute'])[width], start_time, 'UTC') AS start_time, {_SUMS}
        FROM buckets WHERE width > 0
        GROUP BY 1, 2, 3, 4
    ), expected AS (
        SELECT buckets.* FROM buckets JOIN series USING (series_no) WHERE width < depth
    ), different AS (
        SELECT series_no, rollup_no, width, start_time, {_BOTH}
        FROM expected FULL JOIN actual USING (series_no, rollup_no, width, start_time)
        WHERE {_DIFFERS}
    )
    SELECT subscription_id, series.event_code, coalesce(value_property, '') AS value_property, different.*
    FROM different {_NAMES}
    ORDER BY series_no, rollup_no, width, start_time
"""  # noqa: S608 constants only


@dataclass(frozen=True, slots=True)
class _Tenant:
    """Whose figures are compared, and how far they have been added up."""

    tenant_id: str
    tenant_no: int
    series_nos: Sequence[int]
    folded: int


async def reconcile(conn: Conn, tenant_id: str, start: datetime, end: datetime, *, check_keys: bool) -> Reconciliation:
    """Of the events received in [start, end), two midnights in UTC, and of their months."""
    async with snapshot(conn):
        watermark = await read_head(conn)
        tenant = await _tenant(conn, tenant_id)
        fates = await _intake(conn, tenant_id, start, end)
        into_backfills = await backfilled(conn, tenant_id, start, end)
        archived = await _archived(conn, tenant_id, start, end)
        gaps = {gap.start: gap for gap in await find_gaps(conn)}
        days, months = [], {month_period(day) for day in days_of(start, end)}
        for each in days_of(start, end):
            known = Day(each, fates.get(each, {}), into_backfills.get(each, 0), archived=archived.get(each, 0))
            day, touched = await _day(conn, tenant, known)
            days.append(day)
            months |= {month_period(month) for month in touched}
        differences = await compare_backfills(conn, tenant_id, tenant.tenant_no, start, end)
        differences += [
            difference
            for month in sorted(months)
            for series_nos in _chunks(tenant.series_nos, SERIES_AT_ONCE)
            for difference in await _compare(conn, tenant, series_nos, month, gaps.get(month[0]))
        ]
        if check_keys:
            missing = [each for month in sorted(months) async for each in _keyless(conn, tenant, month)]
            differences += missing + await _stray_keys(conn, len(missing))
    return reconciliation(watermark, days, differences)


async def _tenant(conn: Conn, tenant_id: str) -> _Tenant:
    tenant_no = await conn.fetchval("SELECT tenant_no FROM tenant WHERE tenant_id = $1", tenant_id)
    series = await conn.fetch(
        """
        SELECT series_no FROM series WHERE tenant_id = $1 AND series_no NOT IN (
            SELECT series_no FROM corrected_series WHERE NOT is_rebuilt
        ) ORDER BY series_no
        """,
        tenant_id,
    )
    folded = await conn.fetchval("SELECT folded FROM rollup_progress")
    return _Tenant(tenant_id, tenant_no or 0, [row[0] for row in series], folded)


async def _intake(conn: Conn, tenant_id: str, start: datetime, end: datetime) -> dict[date, dict[str, int]]:
    found: dict[date, dict[str, int]] = {}
    for day, fate, count in await conn.fetch(
        "SELECT day, fate, event_count FROM intake WHERE tenant_id = $1 AND day >= $2 AND day < $3 ORDER BY day, fate",
        tenant_id, start.date(), end.date(),
    ):  # fmt: skip
        found.setdefault(day, {})[fate] = count
    return found


async def _day(conn: Conn, tenant: _Tenant, day: Day) -> tuple[Day, Sequence[date]]:
    """With the events recorded on it; and the months of those."""
    start, end = day_period(day.day)
    first, last = await conn.fetchrow(_BATCHES, start, end) or (None, None)
    if first is None:
        return day, ()
    row = await conn.fetchrow(
        _RECORDED, tenant.tenant_no, first, last, start, end, tenant.folded, timeout=STATEMENT_SECONDS
    )
    assert row is not None
    return replace(day, folded=row["folded"], waiting=row["waiting"]), row["months"] or ()


async def _archived(conn: Conn, tenant_id: str, start: datetime, end: datetime) -> dict[date, int]:
    """Events in files only, by day of reception."""
    rows = await conn.fetch(
        """
        SELECT day, sum(event_count)::bigint FROM archived_intake JOIN archived_month USING (month)
        WHERE tenant_id = $1 AND day >= $2 AND day < $3 AND state = ANY($4)
        GROUP BY day
        """,
        tenant_id, start.date(), end.date(), list(AWAY),
    )  # fmt: skip
    return {row[0]: row[1] for row in rows}


async def _compare(
    conn: Conn, tenant: _Tenant, series_nos: Sequence[int], month: tuple[datetime, datetime], gap: Gap | None
) -> list[Difference]:
    """Of some series in a month: folded events and what has been added up, and wider buckets and narrower ones.

    A month that is away has no events to compare, and once it was it may lack what was made in the meantime.
    """
    if gap and gap.away:
        return []
    columns = (tenant.tenant_no, series_nos, *month, gap.last_rollup_no if gap else ALL)
    added_up = await conn.fetch(_ADDED_UP, *columns, tenant.folded, timeout=STATEMENT_SECONDS)
    nested = [] if gap else await conn.fetch(_NESTED, *columns, timeout=STATEMENT_SECONDS)
    return [_difference(Kind.ADDED_UP, row) for row in added_up] + [_difference(Kind.NESTED, row) for row in nested]


def _difference(kind: Kind, row: asyncpg.Record) -> Difference:
    figure, expected, actual = first_difference(
        tuple(row[f"expected_{name}"] for name in FIGURES), tuple(row[f"actual_{name}"] for name in FIGURES)
    )
    return Difference(
        kind=kind,
        period=bucket_period(row["start_time"], row["width"]),
        figure=figure,
        expected=expected,
        actual=actual,
        subscription_id=row["subscription_id"],
        event_code=row["event_code"],
        value_property=row["value_property"],
    )


async def _keyless(conn: Conn, tenant: _Tenant, month: tuple[datetime, datetime]) -> AsyncIterator[Difference]:
    """Events whose identity is not there. Hashing is done here: Postgres has no BLAKE2b."""
    for series_nos in _chunks(tenant.series_nos, SERIES_AT_ONCE):
        events = await conn.cursor(
            """
            SELECT subscription_id, event_code, transaction_id FROM event JOIN series USING (series_no)
            WHERE event.tenant_no = $1 AND event.series_no = ANY($2::int[]) AND event_time >= $3 AND event_time < $4
            """,
            tenant.tenant_no, series_nos, *month,
        )  # fmt: skip
        while rows := await events.fetch(KEYS_AT_ONCE):
            keys = [UUID(bytes=identity(tenant.tenant_id, row[0], row[2])) for row in rows]
            known = {row[0] for row in await conn.fetch("SELECT key FROM event_key WHERE key = ANY($1)", keys)}
            for (subscription_id, event_code, transaction_id), key in zip(rows, keys, strict=True):
                if key not in known:
                    yield Difference(
                        Kind.KEY_MISSING, month, "transaction_id", None, transaction_id, subscription_id, event_code
                    )


async def _stray_keys(conn: Conn, missing: int) -> list[Difference]:
    """Identities of the service that were never counted as accepted; a key does not tell its tenant. Negative where
    identities are missing beside those found to be.
    """
    stray = await conn.fetchval(
        "SELECT (SELECT count(*) FROM event_key) + $2"
        " - (SELECT coalesce(sum(event_count), 0)::bigint FROM intake WHERE fate = $1)"
        " - (SELECT coalesce(sum(event_count), 0)::bigint FROM backfill_series)",
        ACCEPTED, missing, timeout=STATEMENT_SECONDS,
    )  # fmt: skip
    return [Difference(Kind.KEY_STRAY, None, FIGURES[0], 0, stray)] if stray else []


def _chunks(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
