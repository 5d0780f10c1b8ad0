"""message: what customers are to be told."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Sequence
from datetime import datetime, timedelta

from libs.common.postgres import Conn
from services.payments.domain.message import Message

_COLUMNS = "m.tenant_id, m.id, m.payment_id, m.campaign_id, m.subject, m.body, m.tries, m.create_time"


async def insert(conn: Conn, message: Message) -> None:
    """Due at once."""
    await conn.execute(
        """
        INSERT INTO message (tenant_id, id, payment_id, campaign_id, subject, body, state, due_time, create_time)
        VALUES ($1, $2, $3, $4, $5, $6, 'WAITING', $7, $7)
        """,
        message.tenant_id, message.id, message.payment_id, message.campaign_id, message.subject, message.body,
        message.create_time,
    )  # fmt: skip


async def claim(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[Message]:
    rows = await conn.fetch(
        f"""
        UPDATE message m SET due_time = $1 + $2::interval, tries = m.tries + 1
        WHERE (m.tenant_id, m.id) IN (
            SELECT tenant_id, id FROM message
            WHERE state = 'WAITING' AND due_time <= $1
            ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING {_COLUMNS}
        """,
        now, lease, limit,
    )  # fmt: skip
    return [Message(*row) for row in rows]


async def sent(conn: Conn, message: Message, recipient: str) -> None:
    await conn.execute(
        """
        UPDATE message SET state = 'SENT', recipient = $3, due_time = NULL, error = ''
        WHERE tenant_id = $1 AND id = $2 AND state = 'WAITING'
        """,
        message.tenant_id, message.id, recipient,
    )  # fmt: skip


async def drop(conn: Conn, message: Message, error: str) -> None:
    await conn.execute(
        """
        UPDATE message SET state = 'DROPPED', due_time = NULL, error = $3
        WHERE tenant_id = $1 AND id = $2 AND state = 'WAITING'
        """,
        message.tenant_id, message.id, error,
    )  # fmt: skip


async def postpone(conn: Conn, message: Message, error: str, due_time: datetime) -> None:
    await conn.execute(
        "UPDATE message SET due_time = $4, error = $3 WHERE tenant_id = $1 AND id = $2 AND state = 'WAITING'",
        message.tenant_id, message.id, error, due_time,
    )  # fmt: skip
