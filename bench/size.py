"""Bytes on disk for an event, as the service keeps it and in a plain table."""

import asyncpg

_PLAIN = """
    CREATE TABLE plain (
        tenant_id       text        NOT NULL,
        subscription_id text        NOT NULL,
        transaction_id  text        NOT NULL,
        code            text        NOT NULL,
        event_time      timestamptz NOT NULL,
        properties      jsonb       NOT NULL,
        amount          numeric(38, 12),
        record_time     timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, subscription_id, transaction_id)
    );
    CREATE INDEX plain_by_series ON plain (tenant_id, subscription_id, code, event_time);
    INSERT INTO plain
    SELECT tenant_id, subscription_id, transaction_id, event_code, event_time, properties, amount, record_time
    FROM event JOIN series USING (series_no) JOIN event_batch USING (sequence)
    ORDER BY sequence
"""


async def bytes_per_event(dsn: str) -> tuple[float, float]:
    """Of all tables and indexes that hold the log; and of a plain table with the same events, in the order of arrival,
    with a unique text key and an index to read by. Neither contains buckets.
    """
    conn = await asyncpg.connect(dsn)
    try:
        events = await conn.fetchval("SELECT count(*) FROM event")
        log = await conn.fetchval(
            """
            SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
            WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
                AND (relname ~ '^event_[0-9]' OR relname IN ('event_key', 'event_batch', 'series'))
            """
        )
        await conn.execute(_PLAIN, timeout=600)
        plain = await conn.fetchval("SELECT pg_total_relation_size('plain')")
    finally:
        await conn.close()
    return log / events, plain / events
