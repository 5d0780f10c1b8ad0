"""Customers."""

# ruff: noqa: S608 what is interpolated is the list of columns below

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.customer import Address, Customer
from services.invoicing.domain.period import zone

_SET = (
    "name, email, time_zone, currency, locale, address, tax_ids, net_payment_term_days, grace_period_days,"
    " skips_zero_amounts, metadata, erase_time, tax_codes, number_prefix,"
    " legal_entity_code"
)
_COLUMNS = f"id, create_time, {_SET}"
_PLACES = ", ".join(f"${i}" for i in range(3, 18))


async def insert(conn: Conn, tenant_id: str, customer: Customer, request_id: UUID, request_hash: bytes) -> bool:
    """False when the id or the request_id is taken."""
    made = await conn.fetchval(
        f"INSERT INTO customer (tenant_id, id, {_SET}, create_time, request_id, request_hash)"
        f" VALUES ($1, $2, {_PLACES}, $18, $19, $20) ON CONFLICT DO NOTHING RETURNING true",
        tenant_id,
        customer.id,
        *_values(customer),
        customer.create_time,
        request_id,
        request_hash,
    )
    return made is not None


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[Customer, bytes] | None:
    """The customer that a request made, and that request's hash."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS}, request_hash FROM customer WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return (_customer(row), row["request_hash"]) if row else None


async def get(conn: Conn, tenant_id: str, customer_id: str) -> Customer | None:
    return await _read(conn, tenant_id, customer_id, "")


async def lock(conn: Conn, tenant_id: str, customer_id: str) -> Customer | None:
    """The customer, whom only this transaction may change now."""
    return await _read(conn, tenant_id, customer_id, "FOR NO KEY UPDATE")


async def save(conn: Conn, tenant_id: str, customer: Customer) -> None:
    """What a request has changed of the locked customer. What documents said of it is kept, unless it was erased."""
    if customer.erase_time is None:
        await conn.execute(
            "INSERT INTO customer_version (tenant_id, customer_id, version, name, locale, address, tax_ids,"
            " time_zone) SELECT tenant_id, id, version, name, locale, address, tax_ids, time_zone FROM customer"
            " WHERE tenant_id = $1 AND id = $2",
            tenant_id,
            customer.id,
        )
    else:
        await conn.execute(
            "DELETE FROM customer_version WHERE tenant_id = $1 AND customer_id = $2", tenant_id, customer.id
        )
    await conn.execute(
        f"UPDATE customer SET ({_SET}, version) = ROW ({_PLACES}, version + 1) WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        customer.id,
        *_values(customer),
    )


async def graces(conn: Conn, tenant_id: str, customer_ids: Collection[str]) -> Mapping[str, tuple[int, ZoneInfo]]:
    """How many days, in which zone, drafts of those are kept that have a grace period."""
    rows = await conn.fetch(
        "SELECT id, grace_period_days, time_zone FROM customer"
        " WHERE tenant_id = $1 AND id = ANY($2::text[]) AND grace_period_days > 0",
        tenant_id,
        list(customer_ids),
    )
    return {row["id"]: (row["grace_period_days"], zone(row["time_zone"])) for row in rows}


async def currency(conn: Conn, tenant_id: str, customer_id: str) -> str:
    """That of one-off invoices that name none: the customer's or its legal entity's; "" without one."""
    found: str = await conn.fetchval(
        "SELECT currency FROM customer_terms WHERE tenant_id = $1 AND customer_id = $2", tenant_id, customer_id
    )
    return found


async def tax_codes(conn: Conn, tenant_id: str, customer_ids: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """The customers' own, or those of who bills them."""
    rows = await conn.fetch(
        "SELECT customer_id, tax_codes FROM customer_terms WHERE tenant_id = $1 AND customer_id = ANY($2::text[])",
        tenant_id,
        list(customer_ids),
    )
    return {row["customer_id"]: tuple(row["tax_codes"]) for row in rows}


async def record_change(
    conn: Conn, tenant_id: str, customer_id: str, request_id: UUID, request_hash: bytes, now: datetime
) -> bytes | None:
    """The hash of the request that had this request_id before, if there is one."""
    recorded = await conn.fetchval(
        "INSERT INTO customer_change (tenant_id, request_id, request_hash, customer_id, create_time)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING request_hash",
        tenant_id,
        request_id,
        request_hash,
        customer_id,
        now,
    )
    if recorded is not None:
        return None
    before: bytes = await conn.fetchval(
        "SELECT request_hash FROM customer_change WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return before


async def page(conn: Conn, tenant_id: str, page: Page) -> Sequence[Customer]:
    """By id; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM customer WHERE tenant_id = $1 AND id > coalesce($2, '') ORDER BY id LIMIT $3",
        tenant_id,
        page.after,
        page.size + 1,
    )
    return [_customer(row) for row in rows]


async def _read(conn: Conn, tenant_id: str, customer_id: str, lock_clause: str) -> Customer | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM customer WHERE tenant_id = $1 AND id = $2 {lock_clause}", tenant_id, customer_id
    )
    return _customer(row) if row else None


def _values(customer: Customer) -> tuple[Any, ...]:
    """In the order of _SET."""
    known = {name: value for name, value in asdict(customer.address).items() if value}
    return (
        customer.name,
        customer.email,
        customer.time_zone,
        customer.currency,
        customer.locale,
        json.dumps(known),
        json.dumps(customer.tax_ids),
        customer.net_payment_term_days,
        customer.grace_period_days,
        customer.skips_zero_amounts,
        json.dumps(customer.metadata),
        customer.erase_time,
        customer.tax_codes,
        customer.number_prefix,
        customer.legal_entity_code or None,
    )


def _customer(row: asyncpg.Record) -> Customer:
    kept = {name: row[name] for name in _COLUMNS.split(", ")}
    return Customer(
        **kept
        | {
            "address": Address(**json.loads(row["address"])),
            "tax_codes": tuple(row["tax_codes"]),
            "legal_entity_code": row["legal_entity_code"] or "",
            "tax_ids": dict(sorted(json.loads(row["tax_ids"]).items())),
            "metadata": dict(sorted(json.loads(row["metadata"]).items())),
        }
    )
