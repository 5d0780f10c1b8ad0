"""Customers."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.customer import Customer

_COLUMNS = "id, name, email, time_zone, create_time, tax_codes"


async def insert(conn: Conn, tenant_id: str, customer: Customer, request_id: UUID, request_hash: bytes) -> bool:
    """False when the id or the request_id is taken."""
    made = await conn.fetchval(
        "INSERT INTO customer (tenant_id, id, name, email, time_zone, create_time, tax_codes, request_id, request_hash)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING true",
        tenant_id,
        customer.id,
        customer.name,
        customer.email,
        customer.time_zone,
        customer.create_time,
        customer.tax_codes,
        request_id,
        request_hash,
    )
    return made is not None


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[Customer, bytes] | None:
    """The customer that a request made, and that request's hash."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS}, request_hash FROM customer WHERE tenant_id = $1 AND request_id = $2",  # noqa: S608
        tenant_id,
        request_id,
    )
    return (_customer(row), row["request_hash"]) if row else None


async def get(conn: Conn, tenant_id: str, customer_id: str) -> Customer | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM customer WHERE tenant_id = $1 AND id = $2",  # noqa: S608
        tenant_id,
        customer_id,
    )
    return _customer(row) if row else None


async def hold(conn: Conn, tenant_id: str, customer_id: str) -> bool:
    """Lock the customer until the transaction ends; False if there is none."""
    row = await conn.fetchrow(
        "SELECT FROM customer WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE", tenant_id, customer_id
    )
    return row is not None


async def page(conn: Conn, tenant_id: str, page: Page) -> Sequence[Customer]:
    """By id; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM customer"  # noqa: S608
        " WHERE tenant_id = $1 AND id > coalesce($2, '') ORDER BY id LIMIT $3",
        tenant_id,
        page.after,
        page.size + 1,
    )
    return [_customer(row) for row in rows]


def _customer(row: asyncpg.Record) -> Customer:
    return Customer(row["id"], row["name"], row["email"], row["time_zone"], row["create_time"], tuple(row["tax_codes"]))
