"""Amendments: the event goes to the withdrawn ones, its replacement is recorded, and a row says why."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from libs.common.errors import Unavailable
from libs.common.postgres import Conn
from services.metering.domain.amendments import Amendment, Change, Contents, Standing, origin
from services.metering.store import corrections
from services.metering.store.corrections import Request
from services.metering.store.releasing import BY_INDEX
from services.metering.store.visibility import COLUMNS, counts_at

NOW = 2**63 - 1
"""A watermark above all."""

_COLUMNS = """amendment_id, subscription_id, transaction_id, reason, create_time, sequence, backfill_no,
    old_code, old_time, old_properties, old_amount, new_code, new_time, new_properties, new_amount"""

_STANDING = f"""
    SELECT position, found.*, event_code
    FROM unnest($2::int[], $3::text[], $4::text[], $5::timestamptz[])
        AS change (position, subscription_id, transaction_id, event_time)
    JOIN tenant ON tenant.tenant_id = $1
    JOIN series ON series.tenant_id = $1 AND series.subscription_id = change.subscription_id
    CROSS JOIN LATERAL (
        SELECT event.series_no, sequence, event.event_time, properties, amount FROM event
        WHERE event.tenant_no = tenant.tenant_no AND event.series_no = series.series_no
            AND event.event_time = change.event_time AND event.transaction_id = change.transaction_id
            AND {counts_at("$6::bigint", "tenant_id = $1")}
        OFFSET 0
    ) AS found
"""  # noqa: S608 constants only
_LATEST = f"""
    SELECT DISTINCT ON (subscription_id, transaction_id) {_COLUMNS}
    FROM unnest($2::text[], $3::text[]) AS change (subscription_id, transaction_id)
    JOIN amendment USING (subscription_id, transaction_id)
    WHERE tenant_id = $1
    ORDER BY subscription_id, transaction_id, sequence DESC
"""  # noqa: S608 constants only
_RECORD = f"""
    WITH withdrawn AS (
        INSERT INTO withdrawn_event ({COLUMNS}, end_sequence)
        SELECT old_time, old_sequence, $3, old_series_no, transaction_id, old_properties::jsonb, old_amount, $2
        FROM unnest($5::text[], $9::timestamptz[], $10::bigint[], $11::int[], $13::text[], $14::numeric[])
            AS t (transaction_id, old_time, old_sequence, old_series_no, old_properties, old_amount)
    ), replaced AS (
        INSERT INTO event ({COLUMNS})
        SELECT new_time, $2, $3, new_series_no, transaction_id, new_properties::jsonb, new_amount
        FROM unnest($5::text[], $15::int[], $17::timestamptz[], $18::text[], $19::numeric[])
            AS t (transaction_id, new_series_no, new_time, new_properties, new_amount)
        WHERE new_series_no IS NOT NULL
    )
    INSERT INTO amendment (tenant_id, sequence, request_id, create_time,
        subscription_id, transaction_id, amendment_id, reason, backfill_no,
        old_time, old_code, old_properties, old_amount, new_code, new_time, new_properties, new_amount)
    SELECT $1, $2, $20, $21, subscription_id, transaction_id, amendment_id, reason, backfill_no,
        old_time, old_code, old_properties::jsonb, old_amount, new_code, new_time, new_properties::jsonb, new_amount
    FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::timestamptz[], $12::text[],
            $13::text[], $14::numeric[], $16::text[], $17::timestamptz[], $18::text[], $19::numeric[])
        AS t (subscription_id, transaction_id, amendment_id, reason, backfill_no, old_time, old_code,
            old_properties, old_amount, new_code, new_time, new_properties, new_amount)
"""  # noqa: S608 constants only
_OF_REQUEST = f"""
    SELECT {_COLUMNS} FROM amendment WHERE tenant_id = $1 AND request_id = $2 ORDER BY amendment_id
"""  # noqa: S608 constants only
_LISTED = f"""
    SELECT {_COLUMNS} FROM amendment
    WHERE tenant_id = $1 AND ($2 = '' OR subscription_id = $2) AND ($3 = '' OR transaction_id = $3)
        AND ($4::bigint IS NULL OR (sequence, amendment_id) > ($4::bigint, $5::text))
    ORDER BY sequence, amendment_id LIMIT $6
"""  # noqa: S608 constants only
_WITHDRAW = """
    DELETE FROM event USING unnest($2::int[], $3::timestamptz[], $4::text[], $5::bigint[])
        AS leaving (series_no, event_time, transaction_id, sequence)
    WHERE event.tenant_no = $1 AND event.series_no = leaving.series_no AND event.event_time = leaving.event_time
        AND event.transaction_id = leaving.transaction_id AND event.sequence = leaving.sequence
"""


async def find_standing(conn: Conn, tenant_id: str, changes: Sequence[Change]) -> dict[int, Standing]:
    """The events that are to change, as they count now, by index of the change."""
    rows = await conn.fetch(
        _STANDING,
        tenant_id,
        range(len(changes)),
        [change.subscription_id for change in changes],
        [change.transaction_id for change in changes],
        [change.event_time for change in changes],
        NOW,
    )
    return {
        row["position"]: Standing(
            row["series_no"],
            row["sequence"],
            Contents(row["event_code"], row["event_time"], row["properties"], row["amount"]),
        )
        for row in rows
    }


async def find_latest(conn: Conn, tenant_id: str, changes: Sequence[Change]) -> dict[tuple[str, str], Amendment]:
    """The last amendment of each event that has been amended, by subscription and transaction_id."""
    names = [change.subscription_id for change in changes], [change.transaction_id for change in changes]
    found = [_amendment(row) for row in await conn.fetch(_LATEST, tenant_id, *names)]
    return {(each.subscription_id, each.transaction_id): each for each in found}


async def amend(
    conn: Conn,
    tenant: tuple[str, int],
    request: Request,
    changes: Sequence[tuple[str, Change, Standing]],
    latest: Mapping[tuple[str, str], Amendment],
    now: datetime,
) -> None:
    """Make changes that are in order; each comes with the id of its amendment, and its event. `tenant`: id, number.

    In a transaction with the tenant's claim.
    """
    tenant_id, tenant_no = tenant
    await corrections.note(conn, tenant_id, request, None)
    correction_no = await corrections.next_number(conn)
    series_nos = [event.series_no for _, _, event in changes]
    old_times = [event.contents.event_time for _, _, event in changes]
    transaction_ids = [change.transaction_id for _, change, _ in changes]
    old_sequences = [event.sequence for _, _, event in changes]
    await conn.execute(BY_INDEX)
    tag = await conn.execute(_WITHDRAW, tenant_no, series_nos, old_times, transaction_ids, old_sequences)
    if tag != f"DELETE {len(changes)}":  # an archiver has been here meanwhile
        raise Unavailable("TRANSACTION_CONFLICT", "an event was moved while it was to be amended; try again")
    await corrections.correct(conn, correction_no, tenant_no, series_nos, old_times)
    replacements = [change.replacement for _, change, _ in changes]
    contents = [each and each.contents for each in replacements]
    sequence = await corrections.take_turn(conn, tenant_id, correction_no, now)
    await conn.execute(
        _RECORD,
        tenant_id,
        sequence,
        tenant_no,
        [change.subscription_id for _, change, _ in changes],
        transaction_ids,
        [amendment_id for amendment_id, _, _ in changes],
        [change.reason for _, change, _ in changes],
        [origin(event, latest.get(change.identity)) for _, change, event in changes],
        old_times,
        old_sequences,
        series_nos,
        [event.contents.code for _, _, event in changes],
        [event.contents.properties for _, _, event in changes],
        [event.contents.amount for _, _, event in changes],
        [each and each.series_no for each in replacements],
        [each and each.code for each in contents],
        [each and each.event_time for each in contents],
        [each and each.properties for each in contents],
        [each and each.amount for each in contents],
        request.request_id,
        now,
    )


async def find_amendments(conn: Conn, tenant_id: str, request: Request) -> list[Amendment]:
    """Those that a request made, in its order."""
    rows = await conn.fetch(_OF_REQUEST, tenant_id, request.request_id)
    return [_amendment(row) for row in rows]


async def list_amendments(
    conn: Conn, tenant_id: str, subscription_id: str, transaction_id: str, after: tuple[int, str] | None, most: int
) -> list[Amendment]:
    """At most `most` after `after`, a sequence and an id, by both. "" leaves open."""
    rows = await conn.fetch(_LISTED, tenant_id, subscription_id, transaction_id, *(after or (None, None)), most)
    return [_amendment(row) for row in rows]


def _amendment(row: asyncpg.Record) -> Amendment:
    replacement = None
    if row["new_code"] is not None:
        replacement = Contents(row["new_code"], row["new_time"], row["new_properties"], row["new_amount"])
    return Amendment(
        amendment_id=row["amendment_id"],
        subscription_id=row["subscription_id"],
        transaction_id=row["transaction_id"],
        replaced=Contents(row["old_code"], row["old_time"], row["old_properties"], row["old_amount"]),
        replacement=replacement,
        reason=row["reason"],
        create_time=row["create_time"],
        sequence=row["sequence"],
        backfill_no=row["backfill_no"],
    )
