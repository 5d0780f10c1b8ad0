"""Events: recording them, and reading them back."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.archive import AWAY
from services.metering.domain.events import EventColumns, EventKey, RecordedEvent
from services.metering.domain.meters import TenantCatalog
from services.metering.store.columns import use_columns
from services.metering.store.visibility import RECORDED, counts_at, events_at

CONNECT_TIMEOUT_SECONDS = 5
WRITE_TIMEOUT_SECONDS = 60


async def catalog_versions(conn: Conn, tenant_ids: Collection[str]) -> list[tuple[str, int, int, datetime | None]]:
    """tenant_id, tenant_no, catalog version and test clock of those tenants that have ever made a meter."""
    rows = await conn.fetch(
        "SELECT tenant_id, tenant_no, catalog_version, now FROM tenant LEFT JOIN test_clock USING (tenant_id)"
        " WHERE tenant_id = ANY($1)",
        list(tenant_ids),
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


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


async def create_partition(conn: Conn, month: date) -> bool:
    """Make the partition for the events of a month, unless there is one; writers of other months do not wait.

    False if the month is archived: it has none, and gets none but by being restored.
    """
    name = f"event_{month:%Y_%m}"
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock('event'::regclass::oid::int, 0)")
        if await conn.fetchval("SELECT state = ANY($2) FROM archived_month WHERE month = $1", month, list(AWAY)):
            return False
        if await conn.fetchval("SELECT to_regclass($1) IS NULL", name):
            await conn.execute(f"CREATE TABLE {name} (LIKE event INCLUDING ALL)")
            await conn.execute(
                f"ALTER TABLE event ATTACH PARTITION {name}"
                f" FOR VALUES FROM ('{month} 00:00:00+00') TO ('{following} 00:00:00+00')"
            )
    return True


async def without_partition(conn: Conn, months: Sequence[date]) -> list[date]:
    """Those whose events have no place."""
    rows = await conn.fetch(
        "SELECT month FROM unnest($1::date[]) AS month WHERE to_regclass(to_char(month, '\"event_\"YYYY_MM')) IS NULL",
        months,
    )
    return [row["month"] for row in rows]


async def connect_writer(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection for `record_events` and what goes with it: on it a uuid is 16 bytes, without a Python object."""
    conn = await asyncpg.connect(
        dsn,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=WRITE_TIMEOUT_SECONDS,
        server_settings={"timezone": "UTC"},
    )
    await conn.set_type_codec("uuid", schema="pg_catalog", format="binary", encoder=bytes, decoder=bytes)
    use_columns(conn)
    return conn


_ARE_CURRENT = """
    SELECT NOT EXISTS (
        SELECT FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[]) AS read (tenant_id, version, test_now)
        LEFT JOIN tenant USING (tenant_id) LEFT JOIN test_clock USING (tenant_id)
        WHERE coalesce(catalog_version, 0) <> version OR now IS DISTINCT FROM test_now
    ) AS are_current
"""
_RECORD = f"""
    WITH catalogs AS MATERIALIZED ({_ARE_CURRENT % ("$10", "$11", "$12")}), fresh AS (
        INSERT INTO event_key (key, content_hash)
        SELECT key, content_hash FROM unnest($1::uuid[], $2::bigint[]) AS t (key, content_hash)
        WHERE (SELECT are_current FROM catalogs)
        ORDER BY key
        %s  -- ON CONFLICT DO NOTHING, or nothing
        RETURNING key
    ), news AS (
        SELECT count(*) AS n, count(*) = cardinality($1::uuid[]) AS is_all FROM fresh
    ), turn AS MATERIALIZED (
        SELECT pg_advisory_xact_lock('event_batch'::regclass::oid::int, 0) FROM news WHERE n > 0
    ), batch AS (
        INSERT INTO event_batch (record_time) SELECT $8::timestamptz FROM turn RETURNING sequence
    ), recorded AS (
        INSERT INTO event (event_time, sequence, tenant_no, series_no, transaction_id, properties, amount)
        SELECT timestamptz 'epoch' + micros * interval '1 microsecond', sequence, tenant_no, series_no,
            transaction_id, properties::jsonb, amount::numeric
        FROM batch
        CROSS JOIN unnest($1::uuid[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::text[], $9::text[])
            AS t (key, tenant_no, series_no, micros, transaction_id, properties, amount)
        WHERE (SELECT is_all FROM news) OR key IN (SELECT key FROM fresh)
        ORDER BY tenant_no, series_no, micros
        RETURNING tenant_no
    ), counted AS (
        INSERT INTO intake AS old (tenant_id, day, fate, event_count)
        SELECT tenant_id, ($8::timestamptz AT TIME ZONE 'UTC')::date, 'ACCEPTED', event_count
        FROM (SELECT tenant_no, count(*) AS event_count FROM recorded GROUP BY tenant_no) AS accepted
        JOIN tenant USING (tenant_no)
        ORDER BY tenant_id
        ON CONFLICT (tenant_id, day, fate) DO UPDATE SET event_count = old.event_count + excluded.event_count
    )
    SELECT are_current, CASE WHEN are_current AND NOT is_all
        THEN ARRAY(SELECT unnest($1::uuid[]) EXCEPT SELECT key FROM fresh) END
    FROM catalogs CROSS JOIN news
"""  # noqa: S608 constants only


async def record_events(
    conn: Conn,
    columns: EventColumns,
    now: datetime,
    catalogs: Collection[TenantCatalog] = (),
    *,
    all_new: bool = False,
) -> Sequence[bytes] | None:
    """Record those events whose keys are new, in one transaction of its own, and return the keys that were known; or
    None, with nothing recorded, if one of the `catalogs` by which the events were read is not current any more.

    No key may stand twice in `columns`. Keys are inserted in order, so that two writers never wait for each other in a
    circle. Only when all are in does the writer wait for its turn, which it keeps until it has committed: hence
    sequences are committed in their order, and nobody who has the turn waits for a key. They are counted as accepted by
    the number recorded, within the turn too. Where `unnest` has fewer amounts than events, the rest is NULL.

    `all_new` does not look for keys that are known, which costs a key a third less: should there be one, nothing is
    recorded, and it raises UniqueViolationError.
    """
    row = await conn.fetchrow(
        _RECORD % ("" if all_new else "ON CONFLICT DO NOTHING"),
        columns.keys, columns.content_hashes, columns.tenant_nos, columns.series_nos, columns.micros,
        columns.transaction_ids, columns.properties, now, columns.amounts if any(columns.amounts) else [],
        *_as_read(catalogs),
    )  # fmt: skip
    assert row is not None
    are_current, known = row
    return (known or ()) if are_current else None


async def are_current(conn: Conn, catalogs: Collection[TenantCatalog]) -> bool:
    """Whether no meter was made, and no test clock moved, since they were read."""
    return bool(await conn.fetchval(_ARE_CURRENT % ("$1", "$2", "$3"), *_as_read(catalogs)))


def _as_read(catalogs: Collection[TenantCatalog]) -> tuple[list[str], list[int], list[datetime | None]]:
    return (
        [each.tenant_id for each in catalogs],
        [each.version for each in catalogs],
        [each.test_now for each in catalogs],
    )


async def content_hashes(conn: Conn, keys: Sequence[bytes]) -> dict[bytes, int]:
    rows = await conn.fetch("SELECT key, content_hash FROM event_key WHERE key = ANY($1::uuid[])", keys)
    return {row[0]: row[1] for row in rows}


_LISTED = f"""
    SELECT found.*, series.event_code, batch.record_time, amendment_id
    FROM tenant JOIN series USING (tenant_id)
    CROSS JOIN LATERAL (
        SELECT event_time, transaction_id, properties, amount, {RECORDED} AS sequence
        FROM {events_at("$6")} AS event
        WHERE event.tenant_no = tenant.tenant_no AND event.series_no = series.series_no
            AND event_time >= coalesce(greatest($4::timestamptz, $7::timestamptz), '-infinity')
            AND event_time < coalesce($5::timestamptz, 'infinity')
            AND ($7::timestamptz IS NULL OR (event_time, transaction_id COLLATE "C") > ($7::timestamptz, $8::text))
            AND {counts_at("$6", "tenant_id = $1")}
        ORDER BY event_time, transaction_id COLLATE "C"
        LIMIT $9
    ) AS found
    JOIN event_batch AS batch USING (sequence)
    LEFT JOIN amendment ON amendment.tenant_id = $1 AND amendment.subscription_id = $2
        AND amendment.transaction_id = found.transaction_id AND amendment.sequence = found.sequence
    WHERE tenant.tenant_id = $1 AND series.subscription_id = $2 AND ($3 = '' OR series.event_code = $3)
    ORDER BY event_time, found.transaction_id COLLATE "C"
    LIMIT $9
"""  # noqa: S608 constants only


async def list_events(
    conn: Conn,
    tenant_id: str,
    subscription_id: str,
    code: str,
    period: tuple[datetime | None, datetime | None],
    watermark: int,
    after: EventKey | None,
    most: int,
) -> list[RecordedEvent]:
    """At most `most` events of a subscription after `after`, by time and transaction_id.

    `code` "" and None in `period` leave open. Each of the subscription's series is read no further than `most`.
    """
    rows = await conn.fetch(_LISTED, tenant_id, subscription_id, code, *period, watermark, after and after.event_time,
        after and after.transaction_id, most,
    )  # fmt: skip
    return [
        RecordedEvent(
            key=EventKey(row["event_time"], row["transaction_id"]),
            subscription_id=subscription_id,
            code=row["event_code"],
            properties=json.loads(row["properties"]),
            amount=row["amount"],
            record_time=row["record_time"],
            amendment_id=row["amendment_id"] or "",
        )
        for row in rows
    ]
