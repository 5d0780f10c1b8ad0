"""Every statement of the catalog. Functions take a connection; the caller owns the transaction.

Inserts answer False when their key or their request_id is taken: `find_*_request` says which.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.pricing.documents import charges_from_json, charges_json
from services.pricing.domain.plans import BillingInterval, Plan, PlanVersion
from services.pricing.domain.tax import Tax


@dataclass(frozen=True, slots=True)
class Recorded:
    """The request that made a row, and when it did."""

    request_hash: bytes
    create_time: datetime


async def check(conn: Conn) -> None:
    """Raises unless the schema is there and can be read."""
    await conn.execute("SELECT FROM plan_version LIMIT 1")


async def insert_tax(conn: Conn, tenant_id: str, tax: Tax, request_id: UUID, request_hash: bytes) -> bool:
    return await _changed(
        conn,
        """
        INSERT INTO tax (tenant_id, code, name, rate_percent, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, tax.code, tax.name, tax.rate_percent, tax.create_time, request_id, request_hash,
    )  # fmt: skip


async def find_tax_request(conn: Conn, tenant_id: str, request_id: UUID) -> Recorded | None:
    row = await conn.fetchrow(
        "SELECT request_hash, create_time FROM tax WHERE tenant_id = $1 AND request_id = $2", tenant_id, request_id
    )
    return Recorded(**row) if row else None


async def find_tax(conn: Conn, tenant_id: str, code: str) -> Tax | None:
    row = await conn.fetchrow(
        "SELECT code, name, rate_percent, create_time FROM tax WHERE tenant_id = $1 AND code = $2", tenant_id, code
    )
    return Tax(**row) if row else None


async def list_taxes(conn: Conn, tenant_id: str, page: Page) -> list[Tax]:
    """One more than the page's size, if there are as many."""
    rows = await conn.fetch(
        """
        SELECT code, name, rate_percent, create_time FROM tax
        WHERE tenant_id = $1 AND ($2::text IS NULL OR code > $2)
        ORDER BY code LIMIT $3
        """,
        tenant_id, page.after, page.size + 1,
    )  # fmt: skip
    return [Tax(**row) for row in rows]


async def update_tax(conn: Conn, tenant_id: str, code: str, name: str | None, rate: Decimal | None) -> Tax | None:
    """The tax as it is now; a None leaves its column alone."""
    row = await conn.fetchrow(
        """
        UPDATE tax SET name = coalesce($3, name), rate_percent = coalesce($4, rate_percent)
        WHERE tenant_id = $1 AND code = $2
        RETURNING code, name, rate_percent, create_time
        """,
        tenant_id, code, name, rate,
    )  # fmt: skip
    return Tax(**row) if row else None


async def known_tax_codes(conn: Conn, tenant_id: str, codes: Iterable[str]) -> set[str]:
    """Those of `codes` that are taxes. Taxes are never deleted, so they stay it."""
    rows = await conn.fetch("SELECT code FROM tax WHERE tenant_id = $1 AND code = ANY ($2)", tenant_id, list(codes))
    return {row["code"] for row in rows}


async def insert_plan(conn: Conn, tenant_id: str, plan: Plan, request_id: UUID, request_hash: bytes) -> bool:
    """The plan with its version 1. When False, the caller rolls back."""
    return await _changed(
        conn,
        """
        INSERT INTO plan (tenant_id, code, name, description, latest_version, create_time)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, plan.code, plan.name, plan.description, plan.latest_version.version, plan.create_time,
    ) and await _insert_version(conn, tenant_id, plan.latest_version, request_id, request_hash)  # fmt: skip


async def insert_next_version(
    conn: Conn, tenant_id: str, version: PlanVersion, request_id: UUID, request_hash: bytes
) -> bool:
    """`version` becomes the plan's newest, if the one before it still is that. When False, the caller rolls back."""
    return await _changed(
        conn,
        """
        UPDATE plan SET latest_version = latest_version + 1
        WHERE tenant_id = $1 AND code = $2 AND latest_version = $3
        """,
        tenant_id, version.plan_code, version.version - 1,
    ) and await _insert_version(conn, tenant_id, version, request_id, request_hash)  # fmt: skip


async def _insert_version(
    conn: Conn, tenant_id: str, version: PlanVersion, request_id: UUID, request_hash: bytes
) -> bool:
    return await _changed(
        conn,
        """
        INSERT INTO plan_version (tenant_id, plan_code, version, currency, billing_interval, base_fee_minor_units,
            charges, tax_codes, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, version.plan_code, version.version, version.currency, version.billing_interval,
        None if version.base_fee is None else version.base_fee.minor_units,
        charges_json(version.charges), version.tax_codes, version.create_time, request_id, request_hash,
    )  # fmt: skip


async def find_version_request(conn: Conn, tenant_id: str, request_id: UUID) -> Recorded | None:
    row = await conn.fetchrow(
        "SELECT request_hash, create_time FROM plan_version WHERE tenant_id = $1 AND request_id = $2",
        tenant_id, request_id,
    )  # fmt: skip
    return Recorded(**row) if row else None


_VERSION_COLUMNS = (
    "v.plan_code, v.version, v.currency, v.billing_interval, v.base_fee_minor_units, v.charges, v.tax_codes,"
    " v.create_time"
)
_PLANS = f"""
    SELECT p.code, p.name, p.description, p.create_time AS plan_create_time, {_VERSION_COLUMNS}
    FROM plan p JOIN plan_version v
        ON v.tenant_id = p.tenant_id AND v.plan_code = p.code AND v.version = p.latest_version
    WHERE p.tenant_id = $1
"""  # noqa: S608 our own column names


async def find_plan(conn: Conn, tenant_id: str, code: str) -> Plan | None:
    row = await conn.fetchrow(f"{_PLANS} AND p.code = $2", tenant_id, code)
    return _plan(row) if row else None


async def list_plans(conn: Conn, tenant_id: str, page: Page) -> list[Plan]:
    """One more than the page's size, if there are as many."""
    rows = await conn.fetch(
        f"{_PLANS} AND ($2::text IS NULL OR p.code > $2) ORDER BY p.code LIMIT $3", tenant_id, page.after, page.size + 1
    )
    return [_plan(row) for row in rows]


async def plan_exists(conn: Conn, tenant_id: str, code: str) -> bool:
    found = await conn.fetchval("SELECT true FROM plan WHERE tenant_id = $1 AND code = $2", tenant_id, code)
    return found is not None


async def find_version(conn: Conn, tenant_id: str, plan_code: str, version: int) -> PlanVersion | None:
    row = await conn.fetchrow(
        f"SELECT {_VERSION_COLUMNS} FROM plan_version v WHERE tenant_id = $1 AND plan_code = $2 AND version = $3",  # noqa: S608
        tenant_id, plan_code, version,
    )  # fmt: skip
    return _version(row) if row else None


async def list_versions(conn: Conn, tenant_id: str, plan_code: str, before: int | None, size: int) -> list[PlanVersion]:
    """Newest first, those before the version `before`; one more than `size`, if there are as many."""
    rows = await conn.fetch(
        f"""
        SELECT {_VERSION_COLUMNS} FROM plan_version v
        WHERE tenant_id = $1 AND plan_code = $2 AND ($3::integer IS NULL OR version < $3)
        ORDER BY version DESC LIMIT $4
        """,  # noqa: S608
        tenant_id, plan_code, before, size + 1,
    )  # fmt: skip
    return [_version(row) for row in rows]


def _plan(row: asyncpg.Record) -> Plan:
    return Plan(row["code"], row["name"], row["description"], _version(row), row["plan_create_time"])


def _version(row: asyncpg.Record) -> PlanVersion:
    base_fee = row["base_fee_minor_units"]
    return PlanVersion(
        plan_code=row["plan_code"],
        version=row["version"],
        currency=row["currency"],
        billing_interval=BillingInterval(row["billing_interval"]),
        base_fee=None if base_fee is None else Money(base_fee, row["currency"]),
        charges=charges_from_json(row["charges"]),
        tax_codes=tuple(row["tax_codes"]),
        create_time=row["create_time"],
    )


async def _changed(conn: Conn, statement: str, *values: object) -> bool:
    """Whether the INSERT or UPDATE touched a row; Postgres answers "INSERT 0 1", "UPDATE 1"."""
    return not (await conn.execute(statement, *values)).endswith(" 0")
