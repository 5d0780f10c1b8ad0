"""webhook_event: what processors sent, as they sent it."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from datetime import datetime, timedelta

from libs.common.postgres import Conn
from services.payments.domain.webhook import EventState, WebhookEvent

_COLUMNS = (
    "tenant_id, processor_account_id, id, type, subject, reference, tries, receive_time, customer_reference, body"
)


async def insert(conn: Conn, events: Sequence[WebhookEvent]) -> int:
    """How many were not received before. One with an error is parked at once.

    In the order of their keys: others may be inserting some of the same.
    """
    ordered = sorted(events, key=lambda event: (event.tenant_id, event.processor_account_id, event.id))
    inserted: str = await conn.execute(
        """
        INSERT INTO webhook_event (tenant_id, processor_account_id, id, type, reference, body, receive_time, error,
                                   subject, customer_reference, state, due_time)
        SELECT *, CASE error WHEN '' THEN 'RECEIVED' ELSE 'PARKED' END, CASE error WHEN '' THEN receive_time END
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[],
                    $8::text[], $9::text[], $10::text[])
             AS told (tenant_id, processor_account_id, id, type, reference, body, receive_time, error, subject,
                      customer_reference)
        ON CONFLICT DO NOTHING
        """,
        [event.tenant_id for event in ordered],
        [event.processor_account_id for event in ordered],
        [event.id for event in ordered],
        [event.type for event in ordered],
        [event.reference for event in ordered],
        [event.body for event in ordered],
        [event.receive_time for event in ordered],
        [event.error for event in ordered],
        [event.subject for event in ordered],
        [event.customer_reference for event in ordered],
    )  # fmt: skip
    return int(inserted.rpartition(" ")[2])


async def last_time(conn: Conn, tenant_id: str, account_id: str) -> datetime | None:
    """When the account's last event came."""
    row = await conn.fetchrow(
        """
        SELECT receive_time FROM webhook_event WHERE tenant_id = $1 AND processor_account_id = $2
        ORDER BY receive_time DESC LIMIT 1
        """,
        tenant_id, account_id,
    )  # fmt: skip
    return None if row is None else row["receive_time"]


async def claim(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[WebhookEvent]:
    rows = await conn.fetch(
        f"""
        UPDATE webhook_event SET due_time = $1 + $2::interval, tries = tries + 1
        WHERE (tenant_id, processor_account_id, id) IN (
            SELECT tenant_id, processor_account_id, id FROM webhook_event
            WHERE state = 'RECEIVED' AND due_time <= $1
            ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}
        """,
        now, lease, limit,
    )  # fmt: skip
    return [WebhookEvent(*row) for row in rows]


async def process_known(conn: Conn, now: datetime, limit: int) -> tuple[int, int]:
    """Conclude those of the oldest due ones that tell nothing new: they are about nothing that is listened to, or about
    a charge that is known to have succeeded. How many were looked at, and concluded.
    """
    row = await conn.fetchrow(
        """
        WITH due AS (
            SELECT tenant_id, processor_account_id, id FROM webhook_event
            WHERE state = 'RECEIVED' AND due_time <= $1
            ORDER BY due_time LIMIT $2 FOR UPDATE SKIP LOCKED
        ), concluded AS (
            UPDATE webhook_event e SET state = 'PROCESSED', error = '', due_time = NULL, processed_time = $1
            FROM due
            WHERE e.tenant_id = due.tenant_id AND e.processor_account_id = due.processor_account_id AND e.id = due.id
                AND (e.subject = 'OTHER' OR e.reference = '' OR (e.subject = 'CHARGE' AND EXISTS (
                    SELECT FROM payment_attempt a
                    WHERE a.tenant_id = e.tenant_id AND a.processor_account_id = e.processor_account_id
                        AND a.reference = e.reference AND a.reference <> '' AND a.state = 'SUCCEEDED'
                )))
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM concluded)
        """,
        now, limit,
    )  # fmt: skip
    assert row is not None, "counts are always one row"
    return row[0], row[1]


async def process(conn: Conn, event: WebhookEvent, now: datetime) -> None:
    await _conclude(conn, event, EventState.PROCESSED, "", None, now)


async def postpone(conn: Conn, event: WebhookEvent, cause: str, due_time: datetime) -> None:
    await _conclude(conn, event, EventState.RECEIVED, cause, due_time, None)


async def park(conn: Conn, event: WebhookEvent, cause: str) -> None:
    await _conclude(conn, event, EventState.PARKED, cause, None, None)


async def _conclude(
    conn: Conn,
    event: WebhookEvent,
    state: EventState,
    error: str,
    due_time: datetime | None,
    processed_time: datetime | None,
) -> None:
    await conn.execute(
        """
        UPDATE webhook_event SET state = $4, error = $5, due_time = $6, processed_time = $7
        WHERE tenant_id = $1 AND processor_account_id = $2 AND id = $3 AND state = 'RECEIVED'
        """,
        event.tenant_id, event.processor_account_id, event.id, state, error, due_time, processed_time,
    )  # fmt: skip
