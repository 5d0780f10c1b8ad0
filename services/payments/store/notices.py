"""notice, and to whom it is delivered: notice_endpoint and notice_delivery."""

# ruff: noqa: S608 what is interpolated is the list of columns below

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.payments.domain.notice import Delivery, DeliveryState, Endpoint, Notice

_ENDPOINT = "e.tenant_id, e.id, e.url, e.types, e.create_time"
_DELIVERY = f"""
    {_ENDPOINT}, n.serial, n.type, n.payment_id, n.body, n.create_time AS notice_time, d.state, d.tries, d.error,
    d.end_time
"""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Encrypted; the previous one counts until `previous_until`."""

    current: bytes
    previous: bytes | None
    previous_until: datetime | None


def _endpoint(row: asyncpg.Record) -> Endpoint:
    return Endpoint(row["tenant_id"], row["id"], row["url"], tuple(row["types"]), row["create_time"])


def _delivery(row: asyncpg.Record) -> Delivery:
    data = {**json.loads(row["body"]), "payment_id": row["payment_id"]}
    notice = Notice(row["serial"], row["type"], data, row["notice_time"])
    state = DeliveryState(row["state"])
    return Delivery(_endpoint(row), notice, state, row["tries"], row["error"], row["end_time"])


async def insert(
    conn: Conn, tenant_id: str, kind: str, payment_id: str, body: Mapping[str, str], now: datetime
) -> None:
    """Due at once to every endpoint that wants its type."""
    await conn.execute(
        """
        WITH made AS (
            INSERT INTO notice (tenant_id, type, payment_id, body, create_time) VALUES ($1, $2, $3, $4, $5)
            RETURNING serial
        )
        INSERT INTO notice_delivery (tenant_id, endpoint_id, serial, state, due_time)
        SELECT $1, id, serial, 'WAITING', $5 FROM made, notice_endpoint
        WHERE tenant_id = $1 AND NOT is_deleted AND (types = '{}' OR $2 = ANY(types))
        """,
        tenant_id, kind, payment_id, json.dumps(body), now,
    )  # fmt: skip


async def insert_endpoint(conn: Conn, endpoint: Endpoint, secret: bytes, request_id: UUID, request_hash: bytes) -> bool:
    made = await conn.fetchval(
        """
        INSERT INTO notice_endpoint (tenant_id, id, url, types, secret, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        endpoint.tenant_id, endpoint.id, endpoint.url, endpoint.types, secret, endpoint.create_time, request_id,
        request_hash,
    )  # fmt: skip
    return made is True


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[Endpoint, bytes]:
    """The endpoint that a request is known to have made, and the request's hash."""
    row = await conn.fetchrow(
        f"SELECT {_ENDPOINT}, e.request_hash FROM notice_endpoint e WHERE e.tenant_id = $1 AND e.request_id = $2",
        tenant_id,
        request_id,
    )
    assert row is not None, "the request_id is what was taken"
    return _endpoint(row), row["request_hash"]


async def find_endpoint(conn: Conn, tenant_id: str, endpoint_id: str) -> Endpoint | None:
    row = await conn.fetchrow(
        f"SELECT {_ENDPOINT} FROM notice_endpoint e WHERE e.tenant_id = $1 AND e.id = $2 AND NOT e.is_deleted",
        tenant_id,
        endpoint_id,
    )
    return None if row is None else _endpoint(row)


async def list_endpoints(conn: Conn, tenant_id: str, page: Page) -> Sequence[Endpoint]:
    """Up to one more than the page, by id."""
    rows = await conn.fetch(
        f"""
        SELECT {_ENDPOINT} FROM notice_endpoint e
        WHERE e.tenant_id = $1 AND e.id > $2 AND NOT e.is_deleted ORDER BY e.id LIMIT $3
        """,
        tenant_id, page.after or "", page.size + 1,
    )  # fmt: skip
    return [_endpoint(row) for row in rows]


async def delete_endpoint(conn: Conn, tenant_id: str, endpoint_id: str, now: datetime) -> None:
    """Nothing more is delivered there."""
    await conn.execute(
        "UPDATE notice_endpoint SET is_deleted = true WHERE tenant_id = $1 AND id = $2", tenant_id, endpoint_id
    )
    await conn.execute(
        """
        UPDATE notice_delivery SET state = 'FAILED', due_time = NULL, error = 'the endpoint was deleted', end_time = $3
        WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'WAITING'
        """,
        tenant_id, endpoint_id, now,
    )  # fmt: skip


async def find_secrets(conn: Conn, tenant_id: str, endpoint_id: str) -> Secrets:
    """For endpoints that exist."""
    row = await conn.fetchrow(
        "SELECT secret, previous_secret, previous_until FROM notice_endpoint WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        endpoint_id,
    )
    assert row is not None, "endpoints are never deleted from the table"
    return Secrets(*row)


async def record_change(
    conn: Conn, endpoint: Endpoint, now: datetime, request_id: UUID, request_hash: bytes
) -> bytes | None:
    """The hash of the request that had this request_id before, if there is one."""
    made = await conn.fetchval(
        """
        INSERT INTO notice_secret_change (tenant_id, request_id, request_hash, endpoint_id, create_time)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING request_hash
        """,
        endpoint.tenant_id, request_id, request_hash, endpoint.id, now,
    )  # fmt: skip
    if made is not None:
        return None
    recorded: bytes = await conn.fetchval(
        "SELECT request_hash FROM notice_secret_change WHERE tenant_id = $1 AND request_id = $2",
        endpoint.tenant_id,
        request_id,
    )
    return recorded


async def set_secret(conn: Conn, endpoint: Endpoint, secret: bytes, previous_until: datetime) -> None:
    await conn.execute(
        """
        UPDATE notice_endpoint SET previous_secret = secret, previous_until = $4, secret = $3
        WHERE tenant_id = $1 AND id = $2
        """,
        endpoint.tenant_id, endpoint.id, secret, previous_until,
    )  # fmt: skip


async def claim(conn: Conn, now: datetime, lease: timedelta, limit: int) -> Sequence[Delivery]:
    """Deliveries that are due; nobody else gets them before the lease ends."""
    rows = await conn.fetch(
        f"""
        UPDATE notice_delivery d SET due_time = $1 + $2::interval, tries = d.tries + 1
        FROM (
            SELECT tenant_id, endpoint_id, serial FROM notice_delivery
            WHERE state = 'WAITING' AND due_time <= $1 ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED
        ) due
        JOIN notice_endpoint e ON e.tenant_id = due.tenant_id AND e.id = due.endpoint_id
        JOIN notice n ON n.tenant_id = due.tenant_id AND n.serial = due.serial
        WHERE d.tenant_id = due.tenant_id AND d.endpoint_id = due.endpoint_id AND d.serial = due.serial
        RETURNING {_DELIVERY}
        """,
        now, lease, limit,
    )  # fmt: skip
    return [_delivery(row) for row in rows]


async def move(
    conn: Conn, delivery: Delivery, state: DeliveryState, error: str, now: datetime, due_time: datetime | None = None
) -> None:
    """Of one that is waiting; `due_time` where it still is."""
    await conn.execute(
        """
        UPDATE notice_delivery SET state = $4, error = $5, due_time = $6,
               end_time = CASE WHEN $6::timestamptz IS NULL THEN $7::timestamptz END
        WHERE tenant_id = $1 AND endpoint_id = $2 AND serial = $3 AND state = 'WAITING'
        """,
        delivery.endpoint.tenant_id, delivery.endpoint.id, delivery.notice.serial, state, error, due_time, now,
    )  # fmt: skip


async def ask_again(conn: Conn, endpoint: Endpoint, serial: int, now: datetime) -> bool:
    """Deliver it again, from the first try; False when there is no such delivery."""
    found = await conn.fetchval(
        """
        UPDATE notice_delivery SET state = 'WAITING', due_time = $4, tries = 0, error = '', end_time = NULL
        WHERE tenant_id = $1 AND endpoint_id = $2 AND serial = $3 RETURNING true
        """,
        endpoint.tenant_id, endpoint.id, serial, now,
    )  # fmt: skip
    return found is True


async def list_deliveries(conn: Conn, endpoint: Endpoint, page: Page) -> Sequence[Delivery]:
    """Up to one more than the page, newest first."""
    rows = await conn.fetch(
        f"""
        SELECT {_DELIVERY} FROM notice_delivery d
        JOIN notice_endpoint e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id
        JOIN notice n ON n.tenant_id = d.tenant_id AND n.serial = d.serial
        WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND ($3::bigint IS NULL OR d.serial < $3)
        ORDER BY d.serial DESC LIMIT $4
        """,
        endpoint.tenant_id, endpoint.id, int(page.after) if page.after else None, page.size + 1,
    )  # fmt: skip
    return [_delivery(row) for row in rows]


async def find_delivery(conn: Conn, endpoint: Endpoint, serial: int) -> Delivery | None:
    row = await conn.fetchrow(
        f"""
        SELECT {_DELIVERY} FROM notice_delivery d
        JOIN notice_endpoint e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id
        JOIN notice n ON n.tenant_id = d.tenant_id AND n.serial = d.serial
        WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.serial = $3
        """,
        endpoint.tenant_id, endpoint.id, serial,
    )  # fmt: skip
    return None if row is None else _delivery(row)


async def sealed_after(
    conn: Conn, tenant_id: str, endpoint_id: str, limit: int, *, column: str = "secret"
) -> Sequence[tuple[str, str, bytes]]:
    """Tenant, id and encrypted secret of every tenant's endpoints that have it, in order, after that one."""
    rows = await conn.fetch(
        f"""
        SELECT tenant_id, id, {column} AS sealed FROM notice_endpoint
        WHERE (tenant_id, id) > ($1, $2) AND {column} IS NOT NULL ORDER BY tenant_id, id LIMIT $3
        """,
        tenant_id, endpoint_id, limit,
    )  # fmt: skip
    return [(row["tenant_id"], row["id"], row["sealed"]) for row in rows]


async def rewrap(
    conn: Conn, tenant_id: str, endpoint_id: str, before: bytes, after: bytes, *, column: str = "secret"
) -> bool:
    """Unless the secret was changed meanwhile."""
    done = await conn.fetchval(
        f"""
        UPDATE notice_endpoint SET {column} = $4 WHERE tenant_id = $1 AND id = $2 AND {column} = $3 RETURNING true
        """,
        tenant_id, endpoint_id, before, after,
    )  # fmt: skip
    return done is True
