"""Rebuilding: buckets that a correction has made wrong are made again from the events as they now count."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from libs.common.postgres import Conn
from services.metering.domain.buckets import DAY, HOUR, MONTH
from services.metering.store import folding
from services.metering.store.adding_up import SUMS
from services.metering.store.filling import MERGED, STATEMENT_SECONDS, Filled

# The buckets of width $5 that spans touch; of a series that has none so fine, its finest. Adjacent ones are one span.
_SPANS = """
    WITH due AS MATERIALIZED (
        SELECT due.*, depth, least($5::int, depth) AS width
        FROM unnest($2::int[], $3::timestamptz[], $4::timestamptz[]) AS due (series_no, since, until)
        JOIN series USING (series_no)
    ), touched AS (
        SELECT series_no, depth, width, unnest(range_agg(tstzrange(
            date_trunc((ARRAY['month', 'day', 'hour', 'minute'])[width + 1], since, 'UTC'),
            date_trunc((ARRAY['month', 'day', 'hour', 'minute'])[width + 1], until, 'UTC')
                + (ARRAY['1 month', '1 day', '1 hour', '1 minute'])[width + 1]::interval
        ))) AS span
        FROM due GROUP BY 1, 2, 3
    ), spans AS MATERIALIZED (
        SELECT series_no, depth, width, lower(span) AS since, upper(span) AS until FROM touched
    ), rollups AS MATERIALIZED (
        SELECT series_no, rollup_no FROM series JOIN rollup USING (tenant_id, event_code)
        WHERE series_no = ANY($2::int[])
        UNION ALL
        SELECT DISTINCT series_no, 0 FROM due
    )
"""
_FINEST = f"""
    {_SPANS}, cleared AS (
        DELETE FROM bucket USING spans JOIN rollups USING (series_no)
        WHERE bucket.tenant_no = $1 AND bucket.series_no = spans.series_no AND bucket.rollup_no = rollups.rollup_no
            AND bucket.width = spans.width AND start_time >= since AND start_time < until
    )
    SELECT series_no, since, until FROM spans
"""  # noqa: S608 constants only
_CLEAR = f"""
    {_SPANS}
    DELETE FROM bucket USING spans JOIN rollups USING (series_no)
    WHERE bucket.tenant_no = $1 AND bucket.series_no = spans.series_no AND bucket.rollup_no = rollups.rollup_no
        AND depth > $5 AND bucket.width = $5 AND start_time >= since AND start_time < until
"""  # noqa: S608 constants only
_MERGE = f"""
    {_SPANS}
    INSERT INTO bucket (tenant_no, series_no, rollup_no, width, start_time, cell_no, {", ".join(SUMS)}, last_sequence)
    SELECT finer.tenant_no, finer.series_no, finer.rollup_no, $5,
        date_trunc((ARRAY['month', 'day', 'hour', 'minute'])[$5 + 1], start_time, 'UTC'),
        cell_no, {MERGED}, max(last_sequence)
    FROM spans JOIN rollups USING (series_no) CROSS JOIN LATERAL (
        SELECT * FROM bucket
        WHERE bucket.tenant_no = $1 AND bucket.series_no = spans.series_no AND bucket.rollup_no = rollups.rollup_no
            AND bucket.width = $5 + 1 AND start_time >= since AND start_time < until
        OFFSET 0
    ) AS finer
    WHERE depth > $5
    GROUP BY 1, 2, 3, 5, 6
"""  # noqa: S608 constants only


class Due(NamedTuple):
    """Events that changed, from the first to the last, whose buckets are wrong."""

    correction_no: int
    row_no: int
    series_no: int
    since: datetime
    until: datetime


async def next_due(conn: Conn, folded: int, most: int) -> tuple[int, list[Due]] | None:
    """A tenant's number, and at most `most` of its series; None if no correction up to `folded` is to be made good."""
    rows = await conn.fetch(
        """
        SELECT correction_no, row_no, tenant_no, series_no, since, until
        FROM corrected_series JOIN correction USING (correction_no)
        WHERE NOT is_rebuilt AND sequence <= $1 ORDER BY row_no LIMIT $2
        """,
        folded, most,
    )  # fmt: skip
    if not rows:
        return None
    tenant_no = rows[0]["tenant_no"]
    mine = (row for row in rows if row["tenant_no"] == tenant_no)
    return tenant_no, [Due(*row[:2], *row[3:]) for row in mine]


async def rebuild(conn: Conn, tenant_no: int, due: Sequence[Due], folded: int) -> Filled:
    """Make the buckets of all widths again, the finest from events, each wider one from the next; in a claim."""
    await conn.execute("SET LOCAL enable_nestloop = on; SET LOCAL enable_sort = on; SET LOCAL enable_hashjoin = off")
    columns = [each.series_no for each in due], [each.since for each in due], [each.until for each in due]
    spans = await conn.fetch(_FINEST, tenant_no, *columns, HOUR + 1, timeout=STATEMENT_SECONDS)
    done = await folding.build_finest(conn, tenant_no, [tuple(span) for span in spans], folded)
    for width in (HOUR, DAY, MONTH):
        await conn.execute(_CLEAR, tenant_no, *columns, width, timeout=STATEMENT_SECONDS)
        await conn.execute(_MERGE, tenant_no, *columns, width, timeout=STATEMENT_SECONDS)
    await conn.execute(
        """
        UPDATE corrected_series SET is_rebuilt = true FROM unnest($1::bigint[], $2::bigint[]) AS done (number, row_no)
        WHERE corrected_series.correction_no = number AND corrected_series.row_no = done.row_no
        """,
        [each.correction_no for each in due], [each.row_no for each in due],
    )  # fmt: skip
    return done
