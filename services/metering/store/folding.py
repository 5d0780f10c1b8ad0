"""Folding: adding events up into buckets. The claim is held from a transaction's first statement to its last."""

from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.buckets import MOST_CELLS
from services.metering.store.adding_up import SUMS
from services.metering.store.filling import ALL_WIDTHS, FINEST_WIDTH, MERGED, Filled, fill
from services.metering.store.recipes import BUILT, read_recipe, read_recipes
from services.metering.store.visibility import counts_at

SUMMARIZE_LOCK_MS = 50

_TOUCHED = """
    SELECT series_no, depth, tenant_id, event_code FROM series
    WHERE series_no = ANY(ARRAY(SELECT DISTINCT series_no FROM event WHERE sequence > $1 AND sequence <= $2))
"""
_SERIES = "SELECT series_no, depth, tenant_id, event_code FROM series WHERE series_no = ANY($1::int[])"
_SINCE = "sequence > $6 AND sequence <= $7"
_OF_SERIES = f"""
    event.tenant_no = $6 AND event.series_no = ANY($3::int[]) AND {counts_at("$7", "backfill.tenant_no = $6")}
"""
_OF_SPANS = """(
    SELECT found.* FROM unnest($8::int[], $9::timestamptz[], $10::timestamptz[]) AS span (series_no, since, until)
    CROSS JOIN LATERAL (
        SELECT * FROM event
        WHERE event.tenant_no = $6 AND event.series_no = span.series_no AND event_time >= since AND event_time < until
        OFFSET 0
    ) AS found
) AS event"""


async def claim(conn: Conn) -> tuple[int, int] | None:
    """How far events are folded, and how far the log goes; None while somebody else has the claim.

    Until the transaction ends, only the caller changes buckets, cells, depths and rollups. Statements are planned for
    reading by sequence or by series whatever the statistics say, which lag behind.
    """
    folded = await conn.fetchval("SELECT folded FROM rollup_progress FOR UPDATE SKIP LOCKED")
    if folded is None:
        return None
    await conn.execute(
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off; SET LOCAL enable_sort = off;"
        "SET LOCAL jit = off; SET LOCAL work_mem = '64MB'"
    )
    return folded, await conn.fetchval("SELECT max(sequence) FROM event_batch") or folded


async def fold(conn: Conn, folded: int, until: int) -> Filled:
    """Add the events with sequences in (folded, until] to the buckets, and move the progress."""
    series = await conn.fetch(_TOUCHED, folded, until)
    done = Filled()
    if series:
        done = await fill(conn, series, await read_recipes(conn, series), ALL_WIDTHS, _SINCE, folded, until)
        await _stop_dividing(conn, done.crowded)
    await conn.execute("UPDATE rollup_progress SET folded = $1", until)
    return done


async def deepen(conn: Conn, tenant_no: int, series_nos: Sequence[int], depth: int, folded: int) -> Filled:
    """Give the series buckets of width `depth`, one finer than they have, from all their folded events."""
    await conn.execute("UPDATE series SET depth = $2 WHERE series_no = ANY($1::int[])", series_nos, depth)
    series = await conn.fetch(_SERIES, series_nos)
    return await fill(conn, series, await read_recipes(conn, series), FINEST_WIDTH, _OF_SERIES, tenant_no, folded)


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
    await conn.execute(
        "UPDATE rollup SET built_series_no = $2 WHERE rollup_no = $1",
        rollup_no, series_nos[-1] if series_nos else BUILT,
    )  # fmt: skip
    if series_nos:
        series = await conn.fetch(_SERIES, series_nos)
        recipe = await read_recipe(conn, rollup_no)
        done = await fill(conn, series, recipe, ALL_WIDTHS, _OF_SERIES, tenant_no, folded)
        await _stop_dividing(conn, done.crowded)


async def _stop_dividing(conn: Conn, suspects: Collection[tuple[int, int, int]]) -> None:
    """Of (tenant, series, rollup): where a month has too many cells, all cells become one."""
    if not suspects:
        return
    await conn.execute("SET LOCAL enable_nestloop = on")
    await conn.execute(
        f"""
        WITH many AS MATERIALIZED (
            SELECT suspect.* FROM unnest($1::int[], $2::int[], $3::int[]) AS suspect (tenant_no, series_no, rollup_no)
            CROSS JOIN LATERAL (
                SELECT max(cells) AS cells FROM (
                    SELECT count(*) AS cells FROM bucket
                    WHERE bucket.tenant_no = suspect.tenant_no AND bucket.series_no = suspect.series_no
                        AND bucket.rollup_no = suspect.rollup_no AND width = 0
                    GROUP BY start_time
                    OFFSET 0
                ) AS months
            ) AS found
            WHERE cells > {MOST_CELLS}
        ), marked AS (
            INSERT INTO undivided (series_no, rollup_no) SELECT series_no, rollup_no FROM many
        ), taken AS (
            DELETE FROM bucket USING many
            WHERE bucket.tenant_no = many.tenant_no AND bucket.series_no = many.series_no
                AND bucket.rollup_no = many.rollup_no
            RETURNING bucket.*
        )
        INSERT INTO bucket (tenant_no, series_no, rollup_no, width, start_time, cell_no, {", ".join(SUMS)})
        SELECT tenant_no, series_no, rollup_no, width, start_time, 0, {MERGED} FROM taken GROUP BY 1, 2, 3, 4, 5
        """,  # noqa: S608 constants only
        *map(list, zip(*suspects, strict=True)),
    )
    await conn.execute("SET LOCAL enable_nestloop = off")


async def build_finest(
    conn: Conn, tenant_no: int, spans: Sequence[tuple[int, datetime, datetime]], folded: int
) -> Filled:
    """Add up the folded events of each span (series, since, until) in buckets of the finest width; none are there."""
    series = await conn.fetch(_SERIES, list({series_no for series_no, _, _ in spans}))
    recipes = await read_recipes(conn, series)
    columns = map(list, zip(*spans, strict=True))
    done = await fill(conn, series, recipes, FINEST_WIDTH, _OF_SERIES, tenant_no, folded, *columns, events=_OF_SPANS)
    await _stop_dividing(conn, done.crowded)
    return done


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
