"""Reading buckets: what questions come to without going through their events.

Usage is made of three parts: whole buckets, the folded events at the period's edges, and all events that are not folded
yet. They fit together because the caller's transaction has one snapshot. A series with buckets to rebuild is left out.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.archive import Gap
from services.metering.domain.buckets import DAY, Cover, Segment, cover, held, is_in_buckets, segments
from services.metering.domain.lanes import Measure, measure_of
from services.metering.domain.measuring import Cell
from services.metering.domain.meters import Meter
from services.metering.domain.usage import Question
from services.metering.store.adding_up import SUMS
from services.metering.store.archive import Need, lacking
from services.metering.store.edges import Look, Tallies, add, read_folded, read_unfolded
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
_BUCKETS = f"""
    SELECT piece_no, cell_no, {", ".join(f"total.{each}" for each in SUMS)}, properties FROM (
        SELECT piece_no, CASE WHEN is_divided THEN cell_no ELSE 0 END AS cell_no, {MERGED}
        FROM unnest($2::int[], $3::int[], $4::int[], $5::int[], $6::bool[])
            AS piece (piece_no, series_no, rollup_no, cover_no, is_divided)
        JOIN unnest($7::int[], $8::int[], $9::timestamptz[], $10::timestamptz[])
            AS span (cover_no, width, since, until) USING (cover_no)
        CROSS JOIN LATERAL (
            SELECT * FROM bucket
            WHERE bucket.tenant_no = $1 AND bucket.series_no = piece.series_no AND bucket.rollup_no = piece.rollup_no
                AND bucket.width = span.width AND start_time >= since AND start_time < until
            OFFSET 0
        ) AS found
        GROUP BY 1, 2
    ) AS total LEFT JOIN cell USING (cell_no)
"""  # noqa: S608 constants only


class _Ask(NamedTuple):
    """One question to one version of a meter that buckets answer; `measure` divides no more than it asks for."""

    position: int
    question: Question
    meter: Meter
    measure: Measure
    series_no: int
    depth: int
    rollup: Rollup


class _Piece(NamedTuple):
    """One segment of an ask."""

    ask: _Ask
    segment: Segment
    cover_no: int


class _Covers:
    """Each period and depth once, numbered: the thousands of questions of a batch mostly have the same."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[datetime, datetime, int], int] = {}
        self._segments: dict[tuple[object, ...], tuple[Segment, ...]] = {}
        self.covers: list[Cover] = []
        self.periods: list[tuple[datetime, datetime]] = []

    def pieces(self, ask: _Ask) -> list[_Piece]:
        question, meter = ask.question, ask.meter
        key = (
            *(question.start, question.end, question.prorated and question.zone),
            *(meter.recurring, meter.aggregation, meter.since, meter.until),
        )
        if key not in self._segments:
            self._segments[key] = segments(meter, question)
        return [_Piece(ask, each, self._number(each, ask.depth)) for each in self._segments[key]]

    def _number(self, segment: Segment, depth: int) -> int:
        key = segment.start, segment.end, depth
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.covers)
            self.covers.append(cover(*key))
            self.periods.append((segment.start, segment.end))
        return number


async def read_cells(
    conn: Conn, tenant_id: str, asks: Sequence[tuple[Question, Meter]], watermark: int, gaps: Sequence[Gap]
) -> dict[int, list[Cell]]:
    """What those asks come to, by their positions, that buckets can answer at `watermark`; the others are left out.

    In a transaction with one snapshot, in which `watermark` has been reached.
    """
    suited = [i for i, (question, meter) in enumerate(asks) if is_in_buckets(meter, question)]
    folded = await conn.fetchval("SELECT folded FROM rollup_progress") if suited else 0
    if not suited or folded > watermark:
        return {}
    tenant_no, without_events, placed = await _place(conn, tenant_id, asks, suited)
    covers = _Covers()
    pieces = [piece for ask in placed for piece in covers.pieces(ask)]
    if gaps:
        needs = [
            Need(each.ask.position, each.ask.series_no, each.ask.rollup.number, covers.covers[each.cover_no])
            for each in pieces
        ]
        without_buckets = await lacking(conn, tenant_no, needs, gaps)
        placed = [ask for ask in placed if ask.position not in without_buckets]
        pieces = [each for each in pieces if each.ask.position not in without_buckets]
    found: Tallies = defaultdict(dict)
    await _read_buckets(conn, tenant_no, pieces, covers.covers, found)
    edges = {number: each.edges for number, each in enumerate(covers.covers) if each.edges}
    looks = []
    if edges or folded < watermark:
        looks = [Look(each.ask.series_no, each.ask.measure, each.cover_no) for each in pieces]
    await read_folded(conn, tenant_no, looks, edges, folded, found)
    if folded < watermark:
        periods = {number: (each,) for number, each in enumerate(covers.periods)}
        await read_unfolded(conn, tenant_no, looks, periods, (folded, watermark), found)
    cells: dict[int, list[Cell]] = {i: [] for i in (*without_events, *(ask.position for ask in placed))}
    for number, tallies in found.items():
        piece = pieces[number]
        ask = piece.ask
        cells[ask.position] += [
            Cell(values, held(ask.meter, ask.question, piece.segment, each)) for values, each in tallies.items()
        ]
    return cells


async def _place(
    conn: Conn, tenant_id: str, asks: Sequence[tuple[Question, Meter]], positions: Sequence[int]
) -> tuple[int, list[int], list[_Ask]]:
    """The tenant's number; the positions of asks that no event can answer, and the asks that buckets can answer."""
    names = {(asks[i][0].subscription_id, asks[i][1].event_code) for i in positions}
    rows = await conn.fetch(_SERIES, tenant_id, [name[0] for name in names], [name[1] for name in names])
    series = {(row[0], row[1]): (row[2], row[3], row[5]) for row in rows}
    rollups = await read_rollups(conn, {(tenant_id, name[1]) for name in names})
    undivided = await _undivided(conn, rows) if any(asks[i][0].dimensions for i in positions) else set()
    choices: dict[tuple[str, int, tuple[str, ...]], tuple[Measure, list[Rollup]]] = {}
    without_events, placed = [], []
    for i in positions:
        question, meter = asks[i]
        series_no, depth, is_stale = series.get((question.subscription_id, meter.event_code), (0, 0, False))
        if not series_no:
            without_events.append(i)
            continue
        if is_stale or (question.prorated and depth < DAY):
            continue
        key = meter.code, meter.version, question.dimensions
        if key not in choices:
            choices[key] = _choices(meter, question.dimensions, rollups[tenant_id, meter.event_code])
        measure, fitting = choices[key]
        for rollup in fitting:
            if series_no <= rollup.built_series_no and (
                not question.dimensions or (series_no, rollup.number) not in undivided
            ):
                placed.append(_Ask(i, question, meter, measure, series_no, depth, rollup))
                break
    return rows[0]["tenant_no"] if rows else 0, without_events, placed


def _choices(meter: Meter, dimensions: tuple[str, ...], rollups: Sequence[Rollup]) -> tuple[Measure, list[Rollup]]:
    """What to measure, and the rollups that tell at least these dimensions apart, the best first."""
    measure = measure_of(meter)
    assert measure is not None
    asked = replace(measure, dimensions=dimensions)
    fitting = [
        rollup
        for rollup in rollups
        if replace(rollup.measure, dimensions=dimensions) == asked and set(dimensions) <= {*rollup.measure.dimensions}
    ]
    return asked, sorted(fitting, key=lambda rollup: len(rollup.measure.dimensions))


async def _undivided(conn: Conn, series: Sequence[asyncpg.Record]) -> set[tuple[int, int]]:
    rows = await conn.fetch(
        "SELECT series_no, rollup_no FROM undivided WHERE series_no = ANY($1::int[])",
        [each["series_no"] for each in series],
    )
    return {(row[0], row[1]) for row in rows}


async def _read_buckets(
    conn: Conn, tenant_no: int, pieces: Sequence[_Piece], covers: Sequence[Cover], found: Tallies
) -> None:
    spans = [(number, span) for number, each in enumerate(covers) for span in each.spans]
    if not spans:
        return
    rows = await conn.fetch(
        _BUCKETS,
        tenant_no,
        list(range(len(pieces))),
        [piece.ask.series_no for piece in pieces],
        [piece.ask.rollup.number for piece in pieces],
        [piece.cover_no for piece in pieces],
        [bool(piece.ask.measure.dimensions) for piece in pieces],
        [number for number, _ in spans],
        [span.width for _, span in spans],
        [span.start for _, span in spans],
        [span.end for _, span in spans],
    )
    for row in rows:
        dimensions = pieces[row[0]].ask.measure.dimensions
        properties: Mapping[str, str] = json.loads(row["properties"]) if dimensions else {}
        add(found[row[0]], tuple(properties.get(name) for name in dimensions), row[2:9])
