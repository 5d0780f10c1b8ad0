"""webhook_event: what processors sent, as they sent it."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from datetime import datetime, timedelta

from libs.common.postgres import Conn
from services.payments.domain.webhook import EventState, WebhookEvent

_COLUMNS = (
    "tenant_id, processor_account_id, id, type, subject, reference, tries, receive_time, customer_reference, body"
)


async def insert(conn: Conn, event: WebhookEvent, error: str) -> bool:
    """False when it was received before. With an `error` it is parked at once."""
    state = EventState.PARKED if error else EventState.RECEIVED
    made = await conn.fetchval(
        """
        INSERT INTO webhook_event (tenant_id, processor_account_id, id, type, reference, body, state, due_time,
                                   receive_time, error, subject, customer_reference)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        event.tenant_id, event.processor_account_id, event.id, event.type, event.reference, event.body, state,
        None if error else event.receive_time, event.receive_time, error, event.subject, event.customer_reference,
    )  # fmt: skip
    return made is True


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
