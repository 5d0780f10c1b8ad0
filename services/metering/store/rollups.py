"""Reading buckets: what questions come to without going through their events.

Usage is made of three parts: whole buckets, the folded events at the period's edges, and all events that are not folded
yet. They fit together because the caller's transaction has one snapshot. A series with buckets to rebuild is left out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Any, NamedTuple

from libs.common.postgres import Conn
from services.metering.domain.buckets import Cover, cover, covered_period, is_in_buckets
from services.metering.domain.meters import Meter
from services.metering.domain.tally import Tally
from services.metering.domain.usage import Question
from services.metering.store.folding import ADMITTED, VALUE
from services.metering.store.meters import filters_json
from services.metering.store.visibility import counts_at

_SERIES = """
    SELECT subscription_id, event_code, series_no, depth, tenant_no, EXISTS (
        SELECT FROM corrected_series AS due
        WHERE due.tenant_no = tenant.tenant_no AND due.series_no = series.series_no AND NOT is_rebuilt
    ) AS is_stale
    FROM unnest($2::text[], $3::text[]) AS name (subscription_id, event_code)
    JOIN series USING (subscription_id, event_code) JOIN tenant USING (tenant_id)
    WHERE tenant_id = $1
"""
_ROLLUPS = """
    SELECT coalesce(rollup_no, 0) AS rollup_no, coalesce(built_series_no, 0) AS built_series_no,
        meter.value_property, meter.filters::text AS filters
    FROM unnest($2::text[], $3::text[], $4::text[]::jsonb[]) WITH ORDINALITY
        AS meter (event_code, value_property, filters, number)
    LEFT JOIN rollup ON rollup.tenant_id = $1 AND rollup.event_code = meter.event_code
        AND rollup.value_property = meter.value_property AND md5(rollup.filters::text) = md5(meter.filters::text)
    ORDER BY number
"""
_BUCKETS = """
    SELECT position, sum(event_count)::bigint AS event_count, sum(total) AS total,
        min(smallest) AS smallest, max(largest) AS largest, sum(amount) AS amount
    FROM unnest($2::int[], $3::int[], $4::int[], $5::int[]) AS ask (position, series_no, rollup_no, cover_no)
    JOIN unnest($6::int[], $7::int[], $8::timestamptz[], $9::timestamptz[])
        AS span (cover_no, width, since, until) USING (cover_no)
    CROSS JOIN LATERAL (
        SELECT * FROM bucket
        WHERE bucket.tenant_no = $1 AND bucket.series_no = ask.series_no AND bucket.rollup_no = ask.rollup_no
            AND bucket.width = span.width AND start_time >= since AND start_time < until
        OFFSET 0
    ) AS found
    GROUP BY position
"""
_SUMS = """
    count(*) AS event_count, sum(value) AS total, min(value) AS smallest, max(value) AS largest, sum(amount) AS amount
"""
_EDGES = f"""
    SELECT position, sums.*
    FROM unnest($2::int[], $3::int[], $4::text[], $5::text[]::jsonb[], $6::timestamptz[], $7::timestamptz[])
        AS ask (position, series_no, value_property, filters, since, until)
    CROSS JOIN LATERAL (
        SELECT {_SUMS} FROM (
            SELECT {VALUE} AS value, amount FROM event
            WHERE event.tenant_no = $1 AND event.series_no = ask.series_no
                AND event_time >= since AND event_time < until
                AND {counts_at("$8", "backfill.tenant_no = $1")} AND {ADMITTED}
            OFFSET 0
        ) AS seen WHERE value IS NOT NULL
    ) AS sums
    WHERE event_count > 0
"""  # noqa: S608 constants only

# The unfolded events of all tenants are found by sequence and looked through once; `+ 0` and the settings below keep
# Postgres from going through all events of a series instead.
_TAIL = f"""
    SELECT position, {_SUMS} FROM (
        SELECT position, {VALUE} AS value, amount
        FROM unnest($2::int[], $3::int[], $4::text[], $5::text[]::jsonb[], $6::timestamptz[], $7::timestamptz[])
            AS ask (position, series_no, value_property, filters, since, until)
        JOIN event USING (series_no)
        WHERE tenant_no + 0 = $1 AND sequence > $8 AND sequence <= $9
            AND event_time >= since AND event_time < until AND {ADMITTED}
        OFFSET 0
    ) AS seen WHERE value IS NOT NULL
    GROUP BY position
"""  # noqa: S608 constants only

_NOTHING = Tally()
_NO_VALUES: Counter[Decimal] = Counter()


class _Measure(NamedTuple):
    rollup_no: int
    built_series_no: int
    value_property: str
    filters: str

    def has(self, series_no: int) -> bool:
        """Whether the buckets of a series are there; those of number 0 always are."""
        return series_no <= self.built_series_no or (self.value_property == "" and self.filters == "[]")


class _Ask(NamedTuple):
    """One question to one version of a meter that buckets answer; `cover_no` numbers the cover of its time."""

    position: int
    series_no: int
    measure: _Measure
    cover_no: int


class _Covers:
    """Each period and depth once, numbered: the thousands of questions of a batch mostly have the same."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[datetime, datetime, bool, datetime | None, datetime | None, int], int] = {}
        self.periods: list[tuple[datetime, datetime]] = []
        self.covers: list[Cover] = []

    def number(self, question: Question, meter: Meter, depth: int) -> int:
        key = question.start, question.end, meter.recurring, meter.since, meter.until, depth
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.covers)
            self.periods.append(covered_period(meter, question))
            self.covers.append(cover(*self.periods[-1], depth))
        return number


async def read_tallies(
    conn: Conn, tenant_id: str, asks: Sequence[tuple[Question, Meter]], watermark: int
) -> dict[int, Tally]:
    """What those asks come to, by their positions, that buckets can answer at `watermark`; the others are left out. A
    meter counts while it is in effect.

    In a transaction with one snapshot, in which `watermark` has been reached.
    """
    suited = [i for i, (question, meter) in enumerate(asks) if is_in_buckets(meter, question)]
    folded = await conn.fetchval("SELECT folded FROM rollup_progress") if suited else 0
    if not suited or folded > watermark:
        return {}
    covers = _Covers()
    tenant_no, without_events, placed = await _place(conn, tenant_id, asks, suited, covers)
    rows = await _read_buckets(conn, tenant_no, placed, covers.covers)
    edges = [(ask, edge) for ask in placed for edge in covers.covers[ask.cover_no].edges]
    if edges:
        rows += await conn.fetch(_EDGES, tenant_no, *_columns(edges), folded)
    if placed and folded < watermark:
        await conn.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off")
        periods = [(ask, covers.periods[ask.cover_no]) for ask in placed]
        rows += await conn.fetch(_TAIL, tenant_no, *_columns(periods), folded, watermark)
        await conn.execute("SET LOCAL enable_seqscan = on; SET LOCAL enable_nestloop = on")
    found: dict[int, list[Tally]] = {}
    for position, event_count, total, smallest, largest, amount in rows:
        tally = Tally(event_count, total, largest=largest, smallest=smallest, amount=amount, values=_NO_VALUES)
        found.setdefault(position, []).append(tally)
    answered = [*without_events, *(ask.position for ask in placed)]
    return {position: reduce(Tally.merged, found.get(position, (_NOTHING,))) for position in answered}


async def _place(
    conn: Conn, tenant_id: str, asks: Sequence[tuple[Question, Meter]], positions: Sequence[int], covers: _Covers
) -> tuple[int, list[int], list[_Ask]]:
    """The tenant's number; the positions of asks that no event can answer, and the asks that buckets can answer."""
    names = {(asks[i][0].subscription_id, asks[i][1].event_code) for i in positions}
    rows = await conn.fetch(_SERIES, tenant_id, [name[0] for name in names], [name[1] for name in names])
    series = {(row[0], row[1]): (row[2], row[3], row[5]) for row in rows}
    measures = await _measures(conn, tenant_id, {(asks[i][1].code, asks[i][1].version): asks[i][1] for i in positions})
    without_events, placed = [], []
    for i in positions:
        question, meter = asks[i]
        series_no, depth, is_stale = series.get((question.subscription_id, meter.event_code), (0, 0, False))
        if not series_no:
            without_events.append(i)
        elif not is_stale and (measure := measures[meter.code, meter.version]).has(series_no):
            placed.append(_Ask(i, series_no, measure, covers.number(question, meter, depth)))
    return rows[0]["tenant_no"] if rows else 0, without_events, placed


async def _measures(
    conn: Conn, tenant_id: str, meters: Mapping[tuple[str, int], Meter]
) -> dict[tuple[str, int], _Measure]:
    rows = await conn.fetch(
        _ROLLUPS,
        tenant_id,
        [meter.event_code for meter in meters.values()],
        [meter.value_property for meter in meters.values()],
        [filters_json(meter) for meter in meters.values()],
    )
    return {key: _Measure(*row) for key, row in zip(meters, rows, strict=True)}


async def _read_buckets(conn: Conn, tenant_no: int, asks: Sequence[_Ask], covers: Sequence[Cover]) -> list[Any]:
    spans = [(number, span) for number, each in enumerate(covers) for span in each.spans]
    if not spans:
        return []
    return await conn.fetch(
        _BUCKETS,
        tenant_no,
        [ask.position for ask in asks],
        [ask.series_no for ask in asks],
        [ask.measure.rollup_no for ask in asks],
        [ask.cover_no for ask in asks],
        [number for number, _ in spans],
        [span.width for _, span in spans],
        [span.start for _, span in spans],
        [span.end for _, span in spans],
    )


def _columns(pieces: Sequence[tuple[_Ask, tuple[datetime, datetime]]]) -> tuple[list[Any], ...]:
    return (
        [ask.position for ask, _ in pieces],
        [ask.series_no for ask, _ in pieces],
        [ask.measure.value_property for ask, _ in pieces],
        [ask.measure.filters for ask, _ in pieces],
        [period[0] for _, period in pieces],
        [period[1] for _, period in pieces],
    )
