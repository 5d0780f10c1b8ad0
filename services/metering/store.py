"""Every statement of the service. Functions take a connection; the caller owns the transaction."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.errors import NotFound
from libs.common.paging import Page
from libs.common.postgres import Conn
from libs.common.wire import DECIMAL
from services.metering.domain.events import EventColumns
from services.metering.domain.meters import Aggregation, DimensionFilter, Meter
from services.metering.domain.usage import EMPTY_LOG, Answers, Question, Usage

CONNECT_TIMEOUT_SECONDS = 5
WRITE_TIMEOUT_SECONDS = 60


async def check(conn: Conn) -> None:
    """Raises unless the schema is there and can be read."""
    await conn.execute("SELECT FROM event_batch LIMIT 1")


async def insert_meter(conn: Conn, tenant_id: str, meter: Meter, request_id: UUID, request_hash: bytes) -> bool:
    """Also tells every server, by the catalog's version, that what it has read is stale.

    False when the code or the request_id is taken.
    """
    await conn.execute(
        """
        INSERT INTO tenant (tenant_id) VALUES ($1)
        ON CONFLICT (tenant_id) DO UPDATE SET catalog_version = tenant.catalog_version + 1
        """,
        tenant_id,
    )
    filters = [{"property": each.property, "values": each.values} for each in meter.filters]
    tag = await conn.execute(
        """
        INSERT INTO meter (tenant_id, code, name, description, event_code, aggregation, value_property, filters,
            create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, meter.code, meter.name, meter.description, meter.event_code, meter.aggregation,
        meter.value_property, json.dumps(filters), meter.create_time, request_id, request_hash,
    )  # fmt: skip
    return tag == "INSERT 0 1"


async def find_meter_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[bytes, datetime] | None:
    """Hash of the request that made a meter, and when."""
    row = await conn.fetchrow(
        "SELECT request_hash, create_time FROM meter WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return (row["request_hash"], row["create_time"]) if row else None


async def find_meter(conn: Conn, tenant_id: str, code: str) -> Meter | None:
    row = await conn.fetchrow(
        """
        SELECT code, name, description, event_code, aggregation, value_property, filters, create_time
        FROM meter WHERE tenant_id = $1 AND code = $2
        """,
        tenant_id, code,
    )  # fmt: skip
    return _meter(row) if row else None


async def list_meters(conn: Conn, tenant_id: str, page: Page | None) -> list[Meter]:
    """By code; one more than the page's size, if there are as many. All without a page."""
    rows = await conn.fetch(
        """
        SELECT code, name, description, event_code, aggregation, value_property, filters, create_time
        FROM meter WHERE tenant_id = $1 AND ($2::text IS NULL OR code > $2)
        ORDER BY code LIMIT $3
        """,
        tenant_id, page and page.after, page and page.size + 1,
    )  # fmt: skip
    return [_meter(row) for row in rows]


async def update_meter(
    conn: Conn, tenant_id: str, code: str, name: str | None, description: str | None
) -> Meter | None:
    """The meter as it is now; a None leaves its column alone."""
    row = await conn.fetchrow(
        """
        UPDATE meter SET name = coalesce($3, name), description = coalesce($4, description)
        WHERE tenant_id = $1 AND code = $2
        RETURNING code, name, description, event_code, aggregation, value_property, filters, create_time
        """,
        tenant_id, code, name, description,
    )  # fmt: skip
    return _meter(row) if row else None


async def catalog_versions(conn: Conn, tenant_ids: Collection[str]) -> list[tuple[str, int, int]]:
    """tenant_id, tenant_no and catalog version of those tenants that have ever made a meter."""
    rows = await conn.fetch(
        "SELECT tenant_id, tenant_no, catalog_version FROM tenant WHERE tenant_id = ANY($1)", list(tenant_ids)
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def number_series(conn: Conn, names: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], int]:
    """Number of each series (tenant_id, subscription_id, event_code), given to it now if it has none."""
    columns = [list(column) for column in zip(*sorted(names), strict=True)]
    select = """
        SELECT tenant_id, subscription_id, event_code, series_no
        FROM series JOIN unnest($1::text[], $2::text[], $3::text[]) AS name (tenant_id, subscription_id, event_code)
        USING (tenant_id, subscription_id, event_code)
        """
    rows = await conn.fetch(select, *columns)
    if len(rows) < len(columns[0]):
        await conn.execute(
            """
            INSERT INTO series (tenant_id, subscription_id, event_code)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
            ON CONFLICT DO NOTHING
            """,
            *columns,
        )
        rows = await conn.fetch(select, *columns)
    return {(row[0], row[1], row[2]): row[3] for row in rows}


async def create_partition(conn: Conn, month: date) -> None:
    """Make the partition for the events of a month, unless there is one; writers of other months do not wait."""
    name = f"event_{month:%Y_%m}"
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock('event'::regclass::oid::int, 0)")
        if await conn.fetchval("SELECT to_regclass($1) IS NULL", name):
            await conn.execute(f"CREATE TABLE {name} (LIKE event INCLUDING ALL)")
            await conn.execute(
                f"ALTER TABLE event ATTACH PARTITION {name}"
                f" FOR VALUES FROM ('{month} 00:00:00+00') TO ('{following} 00:00:00+00')"
            )


async def connect_writer(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection for `record_events` and what goes with it: on it a uuid is 16 bytes, without a Python object."""
    conn = await asyncpg.connect(
        dsn,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=WRITE_TIMEOUT_SECONDS,
        server_settings={"timezone": "UTC"},
    )
    await conn.set_type_codec("uuid", schema="pg_catalog", format="binary", encoder=bytes, decoder=bytes)
    return conn


async def record_events(conn: Conn, columns: EventColumns, now: datetime) -> set[bytes]:
    """Record those events whose keys are new, in one transaction of its own, and return their keys.

    No key may stand twice in `columns`. Keys are inserted in order, so that two writers never wait for each other in a
    circle. Only when all are in does the writer wait for its turn, which it keeps until it has committed: hence
    sequences are committed in their order, and nobody who has the turn waits for a key.
    """
    rows = await conn.fetch(
        """
        WITH input AS (
            SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::text[])
                AS t (key, content_hash, tenant_no, series_no, micros, transaction_id, properties)
        ), fresh AS (
            INSERT INTO event_key (key, content_hash)
            SELECT key, content_hash FROM input ORDER BY key
            ON CONFLICT DO NOTHING
            RETURNING key
        ), turn AS MATERIALIZED (
            SELECT pg_advisory_xact_lock('event_batch'::regclass::oid::int, 0)
            WHERE (SELECT count(*) FROM fresh) > 0
        ), batch AS (
            INSERT INTO event_batch (record_time) SELECT $8::timestamptz FROM turn RETURNING sequence
        ), recorded AS (
            INSERT INTO event (event_time, sequence, tenant_no, series_no, transaction_id, properties)
            SELECT timestamptz 'epoch' + micros * interval '1 microsecond', sequence, tenant_no, series_no,
                transaction_id, properties::jsonb
            FROM batch CROSS JOIN input JOIN fresh USING (key)
            ORDER BY tenant_no, series_no, micros
        )
        SELECT key FROM fresh
        """,
        columns.keys, columns.content_hashes, columns.tenant_nos, columns.series_nos, columns.micros,
        columns.transaction_ids, columns.properties, now,
    )  # fmt: skip
    return {row[0] for row in rows}


async def content_hashes(conn: Conn, keys: Sequence[bytes]) -> dict[bytes, int]:
    rows = await conn.fetch("SELECT key, content_hash FROM event_key WHERE key = ANY($1::uuid[])", keys)
    return {row[0]: row[1] for row in rows}


async def read_usage(conn: Conn, tenant_id: str, questions: Sequence[Question], watermark: int | None) -> Answers:
    """Answer all questions from one snapshot; `watermark` None reads all there is.

    An answer's watermark is that of the log, even below the one asked for. Values that are no decimals, which may be in
    events older than their meter, do not count. Raises NotFound METER_NOT_FOUND.
    """
    asked = [(question, code) for question in questions for code in question.meter_codes]
    rows = await conn.fetch(
        """
        SELECT
            (SELECT max(sequence) FROM event_batch) AS head,
            meter.code IS NOT NULL AS known,
            coalesce(used.quantity, 0) AS quantity,
            coalesce(used.event_count, 0) AS event_count
        FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]) WITH ORDINALITY
            AS asked (subscription_id, meter_code, start_time, end_time, position)
        LEFT JOIN meter ON meter.tenant_id = $1 AND meter.code = asked.meter_code
        LEFT JOIN tenant ON tenant.tenant_id = $1
        LEFT JOIN series ON series.tenant_id = $1
            AND series.subscription_id = asked.subscription_id AND series.event_code = meter.event_code
        LEFT JOIN LATERAL (
            SELECT sum(value) AS quantity, count(*) AS event_count
            FROM event CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN meter.aggregation = 'count' THEN 1
                    WHEN properties ->> meter.value_property ~ $7 THEN (properties ->> meter.value_property)::numeric
                END AS value
            )
            WHERE event.tenant_no = tenant.tenant_no AND event.series_no = series.series_no
                AND event_time >= asked.start_time AND event_time < asked.end_time
                AND sequence <= $6
                AND value IS NOT NULL
                AND (meter.filters = '[]' OR NOT EXISTS (
                    SELECT FROM jsonb_array_elements(meter.filters) AS filter
                    WHERE (filter -> 'values' ? (properties ->> (filter ->> 'property'))) IS NOT TRUE
                ))
        ) AS used ON true
        ORDER BY position
        """,
        tenant_id,
        [question.subscription_id for question, _ in asked],
        [code for _, code in asked],
        [question.start for question, _ in asked],
        [question.end for question, _ in asked],
        watermark or 2**63 - 1,
        f"^{DECIMAL.pattern}$",
    )
    usages = iter(_usages(asked, rows))
    head = rows[0]["head"] or EMPTY_LOG
    return Answers(
        [[next(usages) for _ in question.meter_codes] for question in questions], min(watermark or head, head)
    )


def _usages(asked: Sequence[tuple[Question, str]], rows: Sequence[asyncpg.Record]) -> Iterable[Usage]:
    for (_, code), row in zip(asked, rows, strict=True):
        if not row["known"]:
            raise NotFound("METER_NOT_FOUND", f"there is no meter {code}", meter_code=code)
        yield Usage(code, row["quantity"], row["event_count"])


def _meter(row: asyncpg.Record) -> Meter:
    values: dict[str, Any] = dict(row)
    filters = tuple(DimensionFilter(each["property"], tuple(each["values"])) for each in json.loads(values["filters"]))
    return Meter(**values | {"filters": filters, "aggregation": Aggregation(values["aggregation"])})
