"""Usage: what the events of many questions come to, in a few statements however many there are."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg

from libs.common.errors import NotFound
from libs.common.postgres import Conn
from libs.common.wire import DECIMAL
from services.metering.domain.asking import ALL, Ask
from services.metering.domain.events import CountedEvent
from services.metering.domain.measuring import Cell, event_charges, event_usage, usages
from services.metering.domain.meters import Aggregation, Meter
from services.metering.domain.tally import Latest, Tally
from services.metering.domain.usage import EMPTY_LOG, Answers, Asked, EventCharge, EventUsage, Question, Usage, check
from services.metering.domain.versions import History
from services.metering.store.archive import find_gaps, require_events
from services.metering.store.meters import filters_json, find_meters
from services.metering.store.rollups import read_cells
from services.metering.store.snapshot import snapshot
from services.metering.store.visibility import RECORDED, counts_at, events_at

_VALUE = f"^{DECIMAL.pattern}$"


class _Meant(NamedTuple):
    """A meter of a question. Its versions count each its time; what they come to is put together, and rounded as
    `meter` says, the version in effect when the period begins.
    """

    meter: Meter
    versions: tuple[Ask, ...]


# What was asked, with the numbers of its series; and an event of it, with the value that the meter sees. A unique count
# sees the value 0 and an id. Events that lack what their meter needs, which may be older than it, have no value.
_ASKED = """
    WITH asked AS MATERIALIZED (
        SELECT ask.position, ask.start_time, ask.end_time, ask.dimensions::jsonb AS dimensions, ask.event_limit,
            ask.day_starts::timestamptz[] AS day_starts, tenant.tenant_no, series.series_no,
            meter.aggregation, meter.value_property, meter.filters, meter.recurring, meter.since, meter.until
        FROM unnest(
                $2::int[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::text[],
                $9::int[]
            ) AS ask (position, subscription_id, meter_no, start_time, end_time, dimensions, day_starts, event_limit)
        JOIN unnest(
                $12::int[], $13::text[], $14::text[], $15::text[], $16::text[]::jsonb[], $17::boolean[],
                $18::timestamptz[], $19::timestamptz[]
            ) AS meter (meter_no, event_code, aggregation, value_property, filters, recurring, since, until)
            USING (meter_no)
        JOIN tenant ON tenant.tenant_id = $1
        JOIN series ON series.tenant_id = $1
            AND series.subscription_id = ask.subscription_id AND series.event_code = meter.event_code
    )
"""
_COUNTED = f"""
    FROM {events_at("$10")} AS event CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN asked.aggregation = 'count' THEN 1
                WHEN asked.aggregation = 'unique_count' THEN
                    CASE WHEN properties ->> asked.value_property <> ''
                        AND coalesce(properties ->> 'operation_type', 'add') IN ('add', 'remove') THEN 0 END
                WHEN properties ->> asked.value_property ~ $11 THEN (properties ->> asked.value_property)::numeric
            END AS value,
            CASE WHEN asked.dimensions = '[]' THEN '{{}}'::text[]
                ELSE ARRAY(SELECT properties ->> name FROM jsonb_array_elements_text(asked.dimensions) AS name)
            END AS cell
    ) AS seen
    WHERE event.tenant_no = asked.tenant_no AND event.series_no = asked.series_no
        AND event_time >= greatest(%s, asked.since) AND event_time < least(asked.end_time, asked.until)
        AND {counts_at("$10", "tenant_id = $1")}
        AND value IS NOT NULL
        AND (asked.filters = '[]' OR NOT EXISTS (
            SELECT FROM jsonb_array_elements(asked.filters) AS filter
            WHERE (filter -> 'values' ? (properties ->> (filter ->> 'property'))) IS NOT TRUE
        ))
"""  # noqa: S608 constants only
_SINCE_EVER = "CASE WHEN asked.recurring THEN '-infinity' ELSE asked.start_time END"
_IDS_SINCE_EVER = (
    "CASE WHEN asked.recurring AND asked.aggregation = 'unique_count' THEN '-infinity' ELSE asked.start_time END"
)

# The last of events at one instant is that with the greatest transaction_id; an array compares element by element. What
# was there before the period is held from its start, which is day 1.
_TALLIES = f"""
    {_ASKED}
    SELECT position, tally.* FROM asked CROSS JOIN LATERAL (
        SELECT cell,
            count(*) FILTER (
                WHERE event_time >= asked.start_time OR asked.aggregation <> 'weighted_sum'
            ) AS event_count,
            sum(value) AS total,
            coalesce(sum(value) FILTER (WHERE event_time < asked.start_time), 0) AS before,
            coalesce(sum(CASE
                WHEN asked.aggregation = 'weighted_sum'
                    THEN value * extract(epoch FROM asked.end_time - greatest(event_time, asked.start_time))
                WHEN asked.day_starts IS NOT NULL
                    THEN value * (cardinality(asked.day_starts) + 1
                        - greatest(width_bucket(event_time, asked.day_starts), 1))
            END), 0) AS held,
            max(value) FILTER (WHERE asked.aggregation = 'max') AS largest,
            min(value) FILTER (WHERE asked.aggregation = 'min') AS smallest,
            max(ARRAY[to_char(event_time AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS'), transaction_id, value::text]
                COLLATE "C") FILTER (WHERE asked.aggregation = 'latest') AS latest,
            sum(amount) AS amount
        {_COUNTED % _SINCE_EVER}
        GROUP BY cell
    ) AS tally
"""  # noqa: S608 constants only
_VALUES = f"""
    {_ASKED}
    SELECT position, counted.* FROM asked CROSS JOIN LATERAL (
        SELECT cell, value, count(*) AS occurrences {_COUNTED % "asked.start_time"} GROUP BY cell, value
    ) AS counted
"""  # noqa: S608 constants only
_EVENTS = f"""
    {_ASKED}
    SELECT position, found.* FROM asked CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT cell, event_time, transaction_id, {RECORDED} AS sequence, value, amount,
                coalesce(properties ->> asked.value_property, '') AS id,
                coalesce(properties ->> 'operation_type', 'add') = 'add' AS adds,
                row_number() OVER (PARTITION BY cell ORDER BY event_time, transaction_id COLLATE "C") AS number
            {_COUNTED % _IDS_SINCE_EVER}
        ) AS numbered
        WHERE number <= asked.event_limit
    ) AS found
"""  # noqa: S608 constants only


async def read_usage(conn: Conn, tenant_id: str, asked: Sequence[Asked], watermark: int | None) -> Answers:
    """Answer all questions at one watermark; None reads all there is.

    An answer's watermark is that of the log, even below the one asked for. Values that are no decimals, which may be in
    events older than their meter, do not count. Raises NotFound METER_NOT_FOUND, InvalidArgument when a question does
    not suit its meter, and FailedPrecondition USAGE_ARCHIVED when it needs single events that are archived.
    """
    async with snapshot(conn):
        head = await read_head(conn)
        at = min(watermark or head, head)
        meant = await _meant(conn, tenant_id, dict.fromkeys(question for _, question in asked), at)
        asks = {question: [ask for each in mine for ask in each.versions] for question, mine in meant.items()}
        flat = [(subscription_id, ask) for subscription_id, question in asked for ask in asks[question]]
        gaps = await find_gaps(conn)
        cells = await read_cells(conn, tenant_id, flat, at, gaps)
        in_events = [i for i in range(len(flat)) if i not in cells]
        rest = [flat[i] for i in in_events]
        await require_events(conn, tenant_id, _needs(rest), gaps)
        found = await _cells(conn, tenant_id, rest, [ask.most_events for _, ask in rest], at)
    cells.update(zip(in_events, found, strict=True))
    return Answers(list(_answers(asked, meant, cells)), at)


async def read_event_usage(conn: Conn, tenant_id: str, asked: Asked, transaction_id: str) -> list[EventUsage | None]:
    """What the event is charged for in advance, by each meter of the question; None where a meter does not count it.

    Raises as `read_usage` does.
    """
    question = asked[1]
    async with snapshot(conn):
        meters, cells = await _single_events(conn, tenant_id, asked, await read_head(conn))
    return [event_usage(meter, question, transaction_id, each) for meter, each in zip(meters, cells, strict=True)]


async def read_event_charges(
    conn: Conn, tenant_id: str, asked: Asked, since: int, watermark: int | None
) -> tuple[list[EventCharge], int]:
    """What the events recorded after `since` are charged for in advance, by meter, up to `watermark`, or the head of
    the log; and which that is. Raises as `read_usage` does.
    """
    async with snapshot(conn):
        head = await read_head(conn)
        at = min(watermark or head, head)
        meters, cells = await _single_events(conn, tenant_id, asked, at)
    found = [
        charge
        for meter, each in zip(meters, cells, strict=True)
        for charge in event_charges(meter, asked[1], each, since)
    ]
    return found, head if watermark is None else at


async def _single_events(
    conn: Conn, tenant_id: str, asked: Asked, watermark: int
) -> tuple[list[Meter], list[list[Cell]]]:
    """The question's meters, and the cells of each, with the events that are charged in advance; in a snapshot."""
    subscription_id, question = asked[0], replace(asked[1], charged_in_advance=True)
    [meant] = (await _meant(conn, tenant_id, [question], watermark)).values()
    asks = [(subscription_id, ask) for each in meant for ask in each.versions]
    await require_events(conn, tenant_id, _needs(asks), await find_gaps(conn))
    cells = iter(await _cells(conn, tenant_id, asks, [ALL] * len(asks), watermark))
    return [each.meter for each in meant], [[cell for _ in each.versions for cell in next(cells)] for each in meant]


async def read_head(conn: Conn) -> int:
    """The watermark of the log as it is now."""
    return int(await conn.fetchval("SELECT max(sequence) FROM event_batch") or EMPTY_LOG)


async def _meant(
    conn: Conn, tenant_id: str, questions: Collection[Question], watermark: int
) -> dict[Question, list[_Meant]]:
    codes = {code for question in questions for code in question.meter_codes}
    meters = {each.code: each.known_at(watermark) for each in await find_meters(conn, tenant_id, codes)}
    widest = {code: each.widest() for code, each in meters.items()}
    result = {}
    for question in questions:
        for code in question.meter_codes:
            if code not in meters:
                raise NotFound("METER_NOT_FOUND", f"there is no meter {code}", meter_code=code)
        check(question, widest)
        result[question] = [_meant_by(question, meters[code]) for code in question.meter_codes]
    return result


def _meant_by(question: Question, meter: History) -> _Meant:
    versions = meter.during(None if meter.versions[-1].recurring else question.start, question.end)
    return _Meant(meter.at(question.start), tuple(Ask(question, version) for version in versions))


def _needs(asks: Iterable[tuple[str, Ask]]) -> list[tuple[str, str, datetime, datetime]]:
    return [(subscription_id, ask.meter.event_code, *ask.period) for subscription_id, ask in asks]


def _answers(
    asked: Sequence[Asked], meant: Mapping[Question, Sequence[_Meant]], cells: Mapping[int, Sequence[Cell]]
) -> Iterator[list[Usage]]:
    """The cells are those of each version of each meter of each question, one after the other."""
    first = 0
    for _, question in asked:
        found = []
        for meter, versions in meant[question]:
            if len(versions) == 1:
                mine = cells[first]
            else:
                mine = [cell for i in range(first, first + len(versions)) for cell in cells[i]]
            found += usages(meter, question, mine)
            first += len(versions)
        yield found


async def _cells(
    conn: Conn, tenant_id: str, asks: Sequence[tuple[str, Ask]], limits: Sequence[int], watermark: int
) -> list[list[Cell]]:
    """Of each that is asked of a subscription, in the caller's snapshot."""
    tallies: dict[int, dict[tuple[str | None, ...], Tally]] = defaultdict(dict)
    for row in await _read(conn, _TALLIES, tenant_id, asks, limits, range(len(asks)), watermark):
        tallies[row["position"]][tuple(row["cell"])] = _tally(row)
    percentiles = [i for i, (_, ask) in enumerate(asks) if ask.meter.aggregation is Aggregation.PERCENTILE]
    values: dict[tuple[int, tuple[str | None, ...]], dict[Decimal, int]] = defaultdict(dict)
    for row in await _read(conn, _VALUES, tenant_id, asks, limits, percentiles, watermark):
        values[row["position"], tuple(row["cell"])][row["value"]] = row["occurrences"]
    for (position, cell), occurrences in values.items():
        tallies[position][cell] = tallies[position][cell]._replace(values=occurrences)
    events: dict[int, dict[tuple[str | None, ...], list[CountedEvent]]] = defaultdict(lambda: defaultdict(list))
    with_events = [i for i, limit in enumerate(limits) if limit]
    for row in await _read(conn, _EVENTS, tenant_id, asks, limits, with_events, watermark):
        events[row["position"]][tuple(row["cell"])].append(_event(row))
    return [
        [Cell(cell, tally, events[index][cell]) for cell, tally in tallies[index].items()] for index in range(len(asks))
    ]


async def _read(
    conn: Conn,
    statement: str,
    tenant_id: str,
    asks: Sequence[tuple[str, Ask]],
    limits: Sequence[int],
    positions: Sequence[int],
    watermark: int,
) -> list[asyncpg.Record]:
    """Rows of `statement` for what is asked at `positions`."""
    if not positions:
        return []
    questions = [asks[i][1].question for i in positions]
    asked = [asks[i][1].meter for i in positions]
    meters = {(meter.code, meter.version): meter for meter in asked}
    numbers = {key: number for number, key in enumerate(meters)}
    return await conn.fetch(
        statement,
        tenant_id,
        list(positions),
        [asks[i][0] for i in positions],
        [numbers[meter.code, meter.version] for meter in asked],
        [question.start for question in questions],
        [question.end for question in questions],
        [json.dumps(question.dimensions) for question in questions],
        [_day_starts(question) for question in questions],
        [limits[i] for i in positions],
        watermark,
        _VALUE,
        *_definitions(meters.values()),
    )


def _definitions(meters: Collection[Meter]) -> tuple[list[Any], ...]:
    """Columns, with the meters' numbers first."""
    return (
        list(range(len(meters))),
        [meter.event_code for meter in meters],
        [meter.aggregation for meter in meters],
        [meter.value_property for meter in meters],
        [filters_json(meter) for meter in meters],
        [meter.recurring for meter in meters],
        [meter.since for meter in meters],
        [meter.until for meter in meters],
    )


def _day_starts(question: Question) -> str | None:
    if not question.prorated:
        return None
    return "{" + ",".join(each.isoformat() for each in question.frame.day_starts()) + "}"


def _tally(row: asyncpg.Record) -> Tally:
    latest = row["latest"]
    return Tally(
        event_count=row["event_count"],
        total=row["total"],
        before=row["before"],
        held=row["held"],
        largest=row["largest"],
        smallest=row["smallest"],
        latest=Latest(latest[0], latest[1], Decimal(latest[2])) if latest else None,
        amount=row["amount"],
    )


def _event(row: asyncpg.Record) -> CountedEvent:
    return CountedEvent(
        event_time=row["event_time"],
        transaction_id=row["transaction_id"],
        sequence=row["sequence"],
        value=row["value"],
        id=row["id"],
        adds=row["adds"],
        amount=row["amount"],
    )
