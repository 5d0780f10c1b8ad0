"""Filling buckets: one statement adds the events of many series to the buckets of all their rollups."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.buckets import SPLIT_EVENTS
from services.metering.store.adding_up import LANE, SUMS, Shape, added_up
from services.metering.store.recipes import Recipes

STATEMENT_SECONDS = 280

ALL_WIDTHS, FINEST_WIDTH = "0", "depth"
"""The widest buckets to fill."""

MERGED = """
    sum(event_count)::bigint AS event_count, sum(total) AS total, min(smallest) AS smallest, max(largest) AS largest,
    sum(amount) AS amount, sum(moment) AS moment, max(latest) AS latest
"""
"""SUMS of several rows."""

_MOST = f"ARRAY[{', '.join(map(str, SPLIT_EVENTS.values()))}, {2**31 - 1}]"

_PLAN = f"""
    {LANE}, slot AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset($2::jsonb)
            AS slot (lane_no integer, slot integer, rollup_no integer, built_series_no integer, is_divided boolean)
    ), member AS MATERIALIZED (
        SELECT *, (ARRAY[NULL, '1 day', '1 hour', '1 minute']::interval[])[depth + 1] AS step
        FROM unnest($3::int[], $4::int[], $5::int[]) AS member (series_no, recipe_no, depth)
    )
"""  # noqa: S608 constants only
_SOURCE = "%s JOIN member USING (series_no) JOIN lane USING (recipe_no)"
_EPOCH = "timestamptz '2000-01-01 00:00:00+00'"
_START = f"CASE depth WHEN 0 THEN date_trunc('month', event_time, 'UTC') ELSE date_bin(step, event_time, {_EPOCH}) END"

# Where a lane has dimensions: the cell of each row, with a number, which new ones get now.
_NUMBERED = """
    , cells AS MATERIALIZED (
        SELECT DISTINCT tenant_no, cell, sha256(convert_to(cell::text, 'UTF8')) AS digest
        FROM parts WHERE cell IS NOT NULL
    ), known AS MATERIALIZED (
        SELECT *, (
            SELECT cell_no FROM cell WHERE cell.tenant_no = cells.tenant_no AND cell.digest = cells.digest
        ) AS cell_no
        FROM cells
    ), made AS (
        INSERT INTO cell (tenant_no, digest, properties)
        SELECT tenant_no, digest, cell FROM known WHERE cell_no IS NULL
        RETURNING tenant_no, properties, cell_no
    ), numbered AS MATERIALIZED (
        SELECT tenant_no, cell, cell_no FROM known WHERE cell_no IS NOT NULL UNION ALL TABLE made
    )
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """`dense` names, by tenant and width, the series with too many events in a bucket of their finest width; `crowded`
    by tenant, series and rollup, where a month has got new cells.
    """

    event_count: int = 0
    months: Sequence[datetime] = ()
    dense: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    crowded: Sequence[tuple[int, int, int]] = ()


async def fill(
    conn: Conn,
    series: Collection[asyncpg.Record],
    recipes: Recipes,
    widest: str,
    condition: str,
    *arguments: object,
    events: str = "event",
) -> Filled:
    """Add those of `events` that `condition` names, by `arguments` from 6 on, to the buckets of `series`, which are all
    it may name.
    """
    row = await conn.fetchrow(
        _statement(recipes.shape, events, condition, widest),
        recipes.lanes,
        recipes.slots,
        [each["series_no"] for each in series],
        [recipes.numbers[each["tenant_id"], each["event_code"]] for each in series],
        [each["depth"] for each in series],
        *arguments,
        timeout=STATEMENT_SECONDS,
    )
    assert row is not None
    dense: dict[tuple[int, int], list[int]] = {}
    for tenant_no, series_no, width in row["dense"]:
        dense.setdefault((tenant_no, width), []).append(series_no)
    return Filled(row["event_count"] or 0, row["months"] or (), dense, [tuple(each) for each in row["crowded"]])


def _statement(shape: Shape, events: str, condition: str, widest: str) -> str:
    finest = added_up(
        shape, _SOURCE % events, condition, with_sequence=True,
        tenant_no="tenant_no", series_no="series_no", depth="depth",
        start_time=_START,
    )  # fmt: skip
    return f"""
        WITH {_PLAN}, finest AS MATERIALIZED ({finest}), timed AS (
            SELECT finest.*, {_cell(shape)} AS properties, ARRAY[
                date_trunc('month', start_time, 'UTC'), date_bin('1 day', start_time, {_EPOCH}),
                date_bin('1 hour', start_time, {_EPOCH}), start_time
            ] AS starts
            FROM finest{" JOIN lane USING (lane_no)" if shape.dimensions else ""}
        ), parts AS MATERIALIZED (
            SELECT tenant_no, series_no, rollup_no, depth, starts, {", ".join(f"part.{each}" for each in SUMS)},
                CASE WHEN rollup_no = 0 THEN last_sequence END AS last_sequence,
                CASE WHEN is_divided AND undivided.series_no IS NULL THEN properties END AS cell
            FROM timed CROSS JOIN LATERAL (VALUES {_rows(shape)}) AS part (slot, {", ".join(SUMS)})
            JOIN slot USING (lane_no, slot) LEFT JOIN undivided USING (series_no, rollup_no)
            WHERE part.event_count > 0 AND series_no <= built_series_no
        ){_NUMBERED if shape.dimensions else ""}, added AS (
            INSERT INTO bucket AS old (tenant_no, series_no, rollup_no, width, start_time, cell_no, {", ".join(SUMS)},
                last_sequence)
            SELECT tenant_no, series_no, rollup_no, width, starts[width + 1] AS start_time,
                {"coalesce(cell_no, 0)" if shape.dimensions else "0"} AS cell_no, {MERGED}, max(last_sequence)
            FROM parts {"LEFT JOIN numbered USING (tenant_no, cell)" if shape.dimensions else ""}
            CROSS JOIN LATERAL generate_series({widest}, depth) AS width
            GROUP BY 1, 2, 3, 4, 5, 6
            ORDER BY 1, 2, 3, 4, 5, 6
            ON CONFLICT (tenant_no, series_no, rollup_no, width, start_time, cell_no) DO UPDATE SET
                event_count = old.event_count + excluded.event_count,
                total = old.total + excluded.total,
                smallest = least(old.smallest, excluded.smallest),
                largest = greatest(old.largest, excluded.largest),
                amount = CASE WHEN excluded.amount IS NULL THEN old.amount
                    ELSE coalesce(old.amount, 0) + excluded.amount END,
                moment = old.moment + excluded.moment,
                latest = greatest(old.latest, excluded.latest),
                last_sequence = greatest(old.last_sequence, excluded.last_sequence)
            RETURNING tenant_no, series_no, rollup_no, width, start_time, cell_no, event_count, xmax = 0 AS is_new
        )
        SELECT
            (SELECT sum(event_count)::bigint FROM parts WHERE rollup_no = 0) AS event_count,
            ARRAY(SELECT DISTINCT start_time FROM added WHERE width = 0) AS months,
            ARRAY(
                SELECT DISTINCT ROW(tenant_no, series_no, width) FROM added JOIN member USING (series_no)
                WHERE rollup_no = 0 AND depth = width AND event_count > ({_MOST})[width + 1]
            ) AS dense,
            ARRAY(
                SELECT DISTINCT ROW(tenant_no, series_no, rollup_no) FROM added
                WHERE is_new AND width = 0 AND cell_no > 0
            ) AS crowded
    """  # noqa: S608 constants only


def _rows(shape: Shape) -> str:
    return ", ".join(f"({n}, {', '.join(f'{each}_{n}' for each in SUMS)})" for n in range(shape.slots + 1))


def _cell(shape: Shape) -> str:
    if not shape.dimensions:
        return "NULL::jsonb"
    values = ", ".join(f"d_{n}" for n in range(1, shape.dimensions + 1))
    return f"jsonb_strip_nulls(jsonb_object(dimensions, (ARRAY[{values}])[:cardinality(dimensions)]))"
