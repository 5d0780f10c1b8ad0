"""Folding: adding events up into buckets. The claim is held from a transaction's first statement to its last."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from libs.common.postgres import Conn
from libs.common.wire import DECIMAL
from services.metering.domain.buckets import ADDED_UP, SPLIT_EVENTS
from services.metering.domain.meters import Meter
from services.metering.store.visibility import counts_at

PATTERN = f"^{DECIMAL.pattern}$"
STATEMENT_SECONDS = 280
SUMMARIZE_LOCK_MS = 50
BUILT = 2**31 - 1

# The value that an event of `properties` has for `value_property`, and whether `filters` admit it. A whole number is
# plainly one without the regular expression, which takes longer than all the rest.
VALUE = f"""
    CASE
        WHEN value_property = '' THEN 1
        WHEN translate(properties ->> value_property, '0123456789', '') = ''
            AND length(properties ->> value_property) BETWEEN 1 AND 26
            OR properties ->> value_property ~ '{PATTERN}'
        THEN (properties ->> value_property)::numeric
    END
"""
ADMITTED = """
    (filters = '[]' OR NOT EXISTS (
        SELECT FROM jsonb_array_elements(filters) AS filter
        WHERE (filter -> 'values' ? (properties ->> (filter ->> 'property'))) IS NOT TRUE
    ))
"""

# %(rollups)s: each series with each of its rollups, and the finest width to write, here `depth`.
# %(events)s: the events, %(source)s: which of them. %(coarsest)s: the widest buckets to write.
_ADD_UP = f"""
    WITH rollups AS MATERIALIZED (%(rollups)s), seen AS MATERIALIZED (
        SELECT tenant_no, series_no, rollup_no, depth, event_time, amount, {VALUE} AS value
        FROM %(events)s JOIN rollups USING (series_no)
        WHERE %(source)s AND {ADMITTED}
    ), finest AS (
        SELECT tenant_no, series_no, rollup_no, depth,
            date_trunc((ARRAY['month', 'day', 'hour', 'minute'])[depth + 1], event_time, 'UTC') AS start_time,
            count(*) AS event_count, sum(value) AS total, min(value) AS smallest, max(value) AS largest,
            sum(amount) AS amount
        FROM seen WHERE value IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5
    ), added AS (
        INSERT INTO bucket AS old (tenant_no, series_no, rollup_no, width, start_time,
            event_count, total, smallest, largest, amount)
        SELECT tenant_no, series_no, rollup_no, width,
            date_trunc((ARRAY['month', 'day', 'hour', 'minute'])[width + 1], start_time, 'UTC') AS start_time,
            sum(event_count), sum(total), min(smallest), max(largest), sum(amount)
        FROM finest CROSS JOIN LATERAL generate_series(%(coarsest)s, depth) AS width
        GROUP BY 1, 2, 3, 4, 5
        ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (tenant_no, series_no, rollup_no, width, start_time) DO UPDATE SET
            event_count = old.event_count + excluded.event_count,
            total = old.total + excluded.total,
            smallest = least(old.smallest, excluded.smallest),
            largest = greatest(old.largest, excluded.largest),
            amount = CASE WHEN excluded.amount IS NULL THEN old.amount
                ELSE coalesce(old.amount, 0) + excluded.amount END
        RETURNING tenant_no, series_no, rollup_no, width, start_time, event_count
    ), dense AS (
        SELECT DISTINCT added.tenant_no, added.series_no, width
        FROM added JOIN rollups ON rollups.series_no = added.series_no AND depth = width AND rollups.rollup_no = 0
        WHERE added.rollup_no = 0 AND event_count > (%(most)s)[width + 1]
    )
    SELECT
        (SELECT sum(event_count)::bigint FROM finest WHERE rollup_no = 0) AS event_count,
        (SELECT array_agg(DISTINCT start_time) FROM added WHERE width = 0) AS months,
        ARRAY(SELECT ROW(tenant_no, series_no, width) FROM dense) AS dense
"""  # noqa: S608 constants only
_ALL_ROLLUPS = """
    SELECT series_no, %(depth)s AS depth, rollup_no, value_property, filters
    FROM series JOIN rollup USING (tenant_id, event_code)
    WHERE series_no = ANY(%(series)s) AND series_no <= built_series_no
    UNION ALL
    SELECT series_no, %(depth)s, 0, '', '[]' FROM series WHERE series_no = ANY(%(series)s)
"""
_MOST = f"ARRAY[{', '.join(map(str, SPLIT_EVENTS.values()))}, {2**31 - 1}]"
_SINCE = "sequence > $1 AND sequence <= $2"
_OF_SERIES = f"""
    event.tenant_no = $1 AND event.series_no = ANY($2::int[]) AND {counts_at("$3", "backfill.tenant_no = $1")}
"""

_TOUCHED = f"""
    WITH touched AS MATERIALIZED (SELECT array_agg(DISTINCT series_no) AS series_nos FROM event WHERE {_SINCE})
"""  # noqa: S608 constants only

_FOLD = _ADD_UP % {
    "rollups": _TOUCHED + _ALL_ROLLUPS % {"depth": "depth", "series": "(SELECT series_nos FROM touched)::int[]"},
    "events": "event",
    "source": _SINCE,
    "coarsest": "0",
    "most": _MOST,
}
_DEEPEN = _ADD_UP % {
    "rollups": _ALL_ROLLUPS % {"depth": "$4::int", "series": "$2::int[]"},
    "events": "event",
    "source": _OF_SERIES,
    "coarsest": "$4::int",
    "most": _MOST,
}
_BUILD = _ADD_UP % {
    "rollups": """
        SELECT series_no, depth, rollup_no, value_property, filters
        FROM series CROSS JOIN rollup WHERE series_no = ANY($2::int[]) AND rollup_no = $4
    """,
    "events": "event",
    "source": _OF_SERIES,
    "coarsest": "0",
    "most": _MOST,
}
_FINEST = _ADD_UP % {
    "rollups": _ALL_ROLLUPS % {"depth": "depth", "series": "$2::int[]"},
    "events": """(
        SELECT found.* FROM unnest($4::int[], $5::timestamptz[], $6::timestamptz[]) AS span (series_no, since, until)
        CROSS JOIN LATERAL (
            SELECT * FROM event
            WHERE event.tenant_no = $1 AND event.series_no = span.series_no
                AND event_time >= since AND event_time < until
            OFFSET 0
        ) AS found
    ) AS event""",
    "source": _OF_SERIES,
    "coarsest": "depth::int",
    "most": _MOST,
}


@dataclass(frozen=True, slots=True)
class Folded:
    """`dense` names, by tenant and width, the series with too many events in a bucket of their finest width."""

    event_count: int
    months: Sequence[datetime]
    dense: dict[tuple[int, int], list[int]]


async def register(conn: Conn, tenant_id: str, meter: Meter, filters: str) -> None:
    """Have the meter's events added up, by the rollup of an equal meter if there is one; `filters` as JSON."""
    if meter.aggregation in ADDED_UP and (meter.value_property or meter.filters):
        await conn.execute(
            """
            INSERT INTO rollup (tenant_id, event_code, value_property, filters) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING
            """,
            tenant_id, meter.event_code, meter.value_property, filters,
        )  # fmt: skip


async def claim(conn: Conn) -> tuple[int, int] | None:
    """How far events are folded, and how far the log goes; None while somebody else has the claim.

    Until the transaction ends, only the caller changes buckets, depths and rollups. Statements are planned for reading
    by sequence or by series whatever the statistics say, which lag behind.
    """
    folded = await conn.fetchval("SELECT folded FROM rollup_progress FOR UPDATE SKIP LOCKED")
    if folded is None:
        return None
    await conn.execute(
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off; SET LOCAL enable_sort = off;"
        "SET LOCAL jit = off; SET LOCAL work_mem = '64MB'"
    )
    return folded, await conn.fetchval("SELECT max(sequence) FROM event_batch") or folded


async def fold(conn: Conn, folded: int, until: int) -> Folded:
    """Add the events with sequences in (folded, until] to the buckets, and move the progress."""
    row = await conn.fetchrow(_FOLD, folded, until, timeout=STATEMENT_SECONDS)
    await conn.execute("UPDATE rollup_progress SET folded = $1", until)
    return _folded(row)


async def deepen(conn: Conn, tenant_no: int, series_nos: Sequence[int], depth: int, folded: int) -> Folded:
    """Give the series buckets of width `depth`, one finer than they have, from all their folded events."""
    row = await conn.fetchrow(_DEEPEN, tenant_no, series_nos, folded, depth, timeout=STATEMENT_SECONDS)
    await conn.execute("UPDATE series SET depth = $2 WHERE series_no = ANY($1::int[])", series_nos, depth)
    return _folded(row)


async def next_to_build(conn: Conn, most: int) -> tuple[int, int, list[int]] | None:
    """A rollup that lacks series, the tenant's number and the numbers of at most `most` such series, in order.

    No series when it has them all. None when no rollup lacks any.
    """
    row = await conn.fetchrow(
        """
        SELECT rollup_no, tenant_no, ARRAY(
            SELECT series_no FROM series
            WHERE series.tenant_id = rollup.tenant_id AND series.event_code = rollup.event_code
                AND series_no > built_series_no
            ORDER BY series_no LIMIT $2
        ) AS series_nos
        FROM rollup JOIN tenant USING (tenant_id)
        WHERE built_series_no < $1 ORDER BY rollup_no LIMIT 1
        """,
        BUILT, most,
    )  # fmt: skip
    return (row["rollup_no"], row["tenant_no"], row["series_nos"]) if row else None


async def build(conn: Conn, rollup_no: int, tenant_no: int, series_nos: Sequence[int], folded: int) -> None:
    """Add the folded events of the series to a rollup that is younger than they are; without series, it is complete."""
    if series_nos:
        await conn.fetchrow(_BUILD, tenant_no, series_nos, folded, rollup_no, timeout=STATEMENT_SECONDS)
    await conn.execute(
        "UPDATE rollup SET built_series_no = $2 WHERE rollup_no = $1",
        rollup_no, series_nos[-1] if series_nos else BUILT,
    )  # fmt: skip


async def build_finest(
    conn: Conn, tenant_no: int, spans: Sequence[tuple[int, datetime, datetime]], folded: int
) -> Folded:
    """Add up the folded events of each span (series, since, until) in buckets of the finest width; none are there."""
    series_nos = list({series_no for series_no, _, _ in spans})
    row = await conn.fetchrow(
        _FINEST, tenant_no, series_nos, folded, *map(list, zip(*spans, strict=True)), timeout=STATEMENT_SECONDS
    )
    return _folded(row)


async def summarize(conn: Conn, months: Collection[datetime]) -> bool:
    """Bring the index by sequence of these months' partitions up to date: pages that it does not know yet are read by
    everyone who looks for unfolded events. False if a partition is being vacuumed, which does the same at its end.

    Outside of a transaction.
    """
    partitions = [f"event_{month:%Y_%m}" for month in months]
    try:
        async with conn.transaction():
            await conn.execute(f"SET LOCAL lock_timeout = {SUMMARIZE_LOCK_MS}")
            await conn.execute(
                """
                SELECT brin_summarize_new_values(indexrelid)
                FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid
                WHERE inhparent = 'event_by_sequence'::regclass
                    AND indrelid = ANY(SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
                """,
                partitions,
            )
    except asyncpg.LockNotAvailableError:
        return False
    return True


def _folded(row: asyncpg.Record | None) -> Folded:
    assert row is not None
    dense: dict[tuple[int, int], list[int]] = {}
    for tenant_no, series_no, width in row["dense"]:
        dense.setdefault((tenant_no, width), []).append(series_no)
    return Folded(row["event_count"] or 0, row["months"] or (), dense)
