"""Reading buckets: what questions come to without going through their events.

Usage is made of three parts: whole buckets, the folded events at the period's edges, and all events that are not folded
yet. They fit together because the caller's transaction has one snapshot. A series with buckets to rebuild is left out.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.archive import Gap
from services.metering.domain.asking import Ask
from services.metering.domain.buckets import DAY, Cover, Segment, cover, held
from services.metering.domain.measuring import Cell
from services.metering.store.adding_up import SUMS
from services.metering.store.archive import Need, lacking
from services.metering.store.edges import Look, Tallies, add, read_folded, read_unfolded, tally_of
from services.metering.store.filling import MERGED
from services.metering.store.recipes import Rollup, read_rollups

_SERIES = """
    SELECT subscription_id, event_code, series_no, depth, tenant_no, EXISTS (
        SELECT FROM corrected_series AS due
        WHERE due.tenant_no = tenant.tenant_no AND due.series_no = series.series_no AND NOT is_rebuilt
    ) AS is_stale
    FROM unnest($2::text[], $3::text[]) AS name (subscription_id, event_code)
    JOIN series USING (subscription_id, event_code) JOIN tenant USING (tenant_id)
    WHERE tenant_id = $1
"""
# Of a look at a series, the sums of some rollups, over all spans of its cover. All rollups of a series and span are
# found in one search of the index.
_BUCKETS = f"""
    SELECT look_no, rollup_no, {", ".join(f"total.{each}" for each in SUMS)}, properties
    FROM unnest($2::int[], $3::text[], $4::int[], $5::int[], $6::bool[]) WITH ORDINALITY
        AS look (series_no, rollup_nos, first_span, last_span, is_divided, look_no)
    CROSS JOIN LATERAL (
        SELECT rollup_no, CASE WHEN is_divided THEN cell_no ELSE 0 END AS cell_no, {MERGED}
        FROM generate_series(first_span, last_span) AS span_no CROSS JOIN LATERAL (
            SELECT * FROM bucket
            WHERE bucket.tenant_no = $1 AND bucket.series_no = look.series_no
                AND bucket.rollup_no = ANY(look.rollup_nos::int[]) AND bucket.width = ($7::int[])[span_no]
                AND start_time >= ($8::timestamptz[])[span_no] AND start_time < ($9::timestamptz[])[span_no]
            OFFSET 0
        ) AS found
        GROUP BY 1, 2
    ) AS total LEFT JOIN cell USING (cell_no)
"""  # noqa: S608 constants only


class _Piece(NamedTuple):
    """One segment of what is asked of a subscription, and the rollup that tells it."""

    position: int
    ask: Ask
    series_no: int
    rollup_no: int
    segment: Segment
    cover_no: int


class _Covers:
    """Each period and depth once, numbered: the thousands of questions of a batch mostly have the same."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[datetime, datetime, int], int] = {}
        self._segments: dict[tuple[Ask, int], list[tuple[Segment, int]]] = {}
        self.covers: list[Cover] = []
        self.periods: list[tuple[datetime, datetime]] = []

    def segments(self, ask: Ask, depth: int) -> list[tuple[Segment, int]]:
        """With the numbers of their covers."""
        found = self._segments.get((ask, depth))
        if found is None:
            found = self._segments[ask, depth] = [(each, self._number(each, depth)) for each in ask.segments]
        return found

    def _number(self, segment: Segment, depth: int) -> int:
        key = segment.start, segment.end, depth
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.covers)
            self.covers.append(cover(*key))
            self.periods.append((segment.start, segment.end))
        return number


async def read_cells(
    conn: Conn, tenant_id: str, asked: Sequence[tuple[str, Ask]], watermark: int, gaps: Sequence[Gap]
) -> dict[int, list[Cell]]:
    """What is asked of subscriptions comes to, by its positions, where buckets can answer at `watermark`; the others
    are left out.

    In a transaction with one snapshot, in which `watermark` has been reached.
    """
    suited = [i for i, (_, ask) in enumerate(asked) if ask.is_in_buckets]
    folded = await conn.fetchval("SELECT folded FROM rollup_progress") if suited else 0
    if not suited or folded > watermark:
        return {}
    covers = _Covers()
    tenant_no, cells, pieces = await _place(conn, tenant_id, asked, suited, covers)
    if gaps:
        needs = [Need(each.position, each.series_no, each.rollup_no, covers.covers[each.cover_no]) for each in pieces]
        without_buckets = await lacking(conn, tenant_no, needs, gaps)
        cells = {position: mine for position, mine in cells.items() if position not in without_buckets}
        pieces = [each for each in pieces if each.position not in without_buckets]
    found: Tallies = defaultdict(dict)
    await _read_buckets(conn, tenant_no, pieces, covers.covers, found)
    edges = {number: each.edges for number, each in enumerate(covers.covers) if each.edges}
    looks = []
    if edges or folded < watermark:
        looks = [Look(each.series_no, each.ask.measure, each.cover_no) for each in pieces]
    await read_folded(conn, tenant_no, looks, edges, folded, found)
    if folded < watermark:
        periods = {number: (each,) for number, each in enumerate(covers.periods)}
        await read_unfolded(conn, tenant_no, looks, periods, (folded, watermark), found)
    for number, tallies in found.items():
        position, ask, _, _, segment, _ = pieces[number]
        for values, tally in tallies.items():
            cells[position].append(Cell(values, held(ask.meter, ask.question, segment, tally)))
    return cells


async def _place(
    conn: Conn, tenant_id: str, asked: Sequence[tuple[str, Ask]], positions: Sequence[int], covers: _Covers
) -> tuple[int, dict[int, list[Cell]], list[_Piece]]:
    """The tenant's number; no cells yet for each position that buckets can answer, and the pieces to read for it."""
    names = {(asked[i][0], asked[i][1].meter.event_code) for i in positions}
    rows = await conn.fetch(_SERIES, tenant_id, [name[0] for name in names], [name[1] for name in names])
    series = {(row[0], row[1]): (row[2], row[3], row[5]) for row in rows}
    asks = {asked[i][1] for i in positions}
    rollups = await read_rollups(conn, {(tenant_id, ask.meter.event_code) for ask in asks})
    fitting = {ask: _fitting(ask, rollups[tenant_id, ask.meter.event_code]) for ask in asks}
    undivided = await _undivided(conn, rows) if any(ask.question.dimensions for ask in asks) else set()
    cells: dict[int, list[Cell]] = {}
    pieces = []
    for i in positions:
        subscription_id, ask = asked[i]
        series_no, depth, is_stale = series.get((subscription_id, ask.meter.event_code), (0, 0, False))
        if not series_no:
            cells[i] = []  # no event
            continue
        if is_stale or (ask.question.prorated and depth < DAY):
            continue
        for rollup in fitting[ask]:
            if series_no <= rollup.built_series_no and (
                not ask.question.dimensions or (series_no, rollup.number) not in undivided
            ):
                cells[i] = []
                for segment, cover_no in covers.segments(ask, depth):
                    pieces.append(_Piece(i, ask, series_no, rollup.number, segment, cover_no))
                break
    return rows[0]["tenant_no"] if rows else 0, cells, pieces


def _fitting(ask: Ask, rollups: Sequence[Rollup]) -> list[Rollup]:
    """Those that tell at least the dimensions asked for apart, the best first."""
    dimensions = ask.question.dimensions
    fitting = [
        rollup
        for rollup in rollups
        if replace(rollup.measure, dimensions=dimensions) == ask.measure
        and set(dimensions) <= {*rollup.measure.dimensions}
    ]
    return sorted(fitting, key=lambda rollup: len(rollup.measure.dimensions))


async def _undivided(conn: Conn, series: Sequence[asyncpg.Record]) -> set[tuple[int, int]]:
    rows = await conn.fetch(
        "SELECT series_no, rollup_no FROM undivided WHERE series_no = ANY($1::int[])",
        [each["series_no"] for each in series],
    )
    return {(row[0], row[1]) for row in rows}


async def _read_buckets(
    conn: Conn, tenant_no: int, pieces: Sequence[_Piece], covers: Sequence[Cover], found: Tallies
) -> None:
    spans = [span for each in covers for span in each.spans]
    lasts = [*accumulate(len(each.spans) for each in covers)]
    looks: dict[tuple[int, int, bool], dict[int, list[int]]] = {}
    for number, (_, ask, series_no, rollup_no, _, cover_no) in enumerate(pieces):
        key = series_no, cover_no, bool(ask.question.dimensions)
        if covers[cover_no].spans:
            looks.setdefault(key, {}).setdefault(rollup_no, []).append(number)
    if not looks:
        return
    rows = await conn.fetch(
        _BUCKETS,
        tenant_no,
        [series_no for series_no, _, _ in looks],
        [f"{{{','.join(map(str, rollups))}}}" for rollups in looks.values()],
        [lasts[cover_no] - len(covers[cover_no].spans) + 1 for _, cover_no, _ in looks],
        [lasts[cover_no] for _, cover_no, _ in looks],
        [is_divided for _, _, is_divided in looks],
        [span.width for span in spans],
        [span.start for span in spans],
        [span.end for span in spans],
    )
    asked = list(looks.values())
    for row in rows:
        look_no, rollup_no, *sums, cell = row
        tally = tally_of(sums)
        properties: Mapping[str, str] = json.loads(cell) if cell else {}
        for number in asked[look_no - 1][rollup_no]:
            dimensions = pieces[number].ask.question.dimensions
            add(found[number], tuple(properties.get(name) for name in dimensions) if dimensions else (), tally)
