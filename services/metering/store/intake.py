"""Intake: counts of what was received, apart from the events. `record_events` counts those that it accepts."""

from collections import Counter
from datetime import datetime

from libs.common.postgres import Conn


async def count_intake(conn: Conn, counts: Counter[tuple[str, str]], now: datetime) -> None:
    """Add `counts`, by tenant and fate, to those of the day of `now` in UTC."""
    rows = sorted((*key, count) for key, count in counts.items())
    await conn.execute(
        """
        INSERT INTO intake AS old (tenant_id, day, fate, event_count)
        SELECT tenant_id, ($4::timestamptz AT TIME ZONE 'UTC')::date, fate, event_count
        FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS t (tenant_id, fate, event_count, number)
        ORDER BY number
        ON CONFLICT (tenant_id, day, fate) DO UPDATE SET event_count = old.event_count + excluded.event_count
        """,
        *([row[i] for row in rows] for i in range(3)), now,
    )  # fmt: skip
