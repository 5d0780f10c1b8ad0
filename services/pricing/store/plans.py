"""Plans and their versions."""

from collections.abc import Iterable
from uuid import UUID

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.pricing.documents import charges_from_json, charges_json
from services.pricing.domain.plans import BillingInterval, Plan, PlanVersion
from services.pricing.domain.states import VersionState
from services.pricing.store.recorded import changed
from services.pricing.term_documents import terms_from_json, terms_json

Stated = tuple[PlanVersion, VersionState]
"""A version and its state, which is no part of it: it changes."""


async def insert_plan(
    conn: Conn, tenant_id: str, plan: Plan, version: PlanVersion, state: VersionState, request_id: UUID, hashed: bytes
) -> bool:
    """The plan with its first version. When False, the caller rolls back."""
    return await changed(
        conn,
        """
        INSERT INTO plan (tenant_id, code, name, description, latest_version, create_time)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, plan.code, plan.name, plan.description, version.version, plan.create_time,
    ) and await insert_version(conn, tenant_id, version, state, request_id, hashed)  # fmt: skip


async def insert_next_version(
    conn: Conn, tenant_id: str, version: PlanVersion, state: VersionState, request_id: UUID, hashed: bytes
) -> bool:
    """`version` becomes the plan's newest, if the one before it still is that. When False, the caller rolls back."""
    return await changed(
        conn,
        """
        UPDATE plan SET latest_version = latest_version + 1
        WHERE tenant_id = $1 AND code = $2 AND latest_version = $3
        """,
        tenant_id, version.plan_code, version.version - 1,
    ) and await insert_version(conn, tenant_id, version, state, request_id, hashed)  # fmt: skip


async def insert_version(
    conn: Conn, tenant_id: str, version: PlanVersion, state: VersionState, request_id: UUID, hashed: bytes
) -> bool:
    return await changed(
        conn,
        """
        INSERT INTO plan_version (tenant_id, plan_code, version, currency, billing_interval, base_fee_minor_units,
            charges, tax_codes, terms, create_time, subscription_id, base_version, state, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, version.plan_code, version.version, version.currency, version.billing_interval,
        None if version.base_fee is None else version.base_fee.minor_units,
        charges_json(version.charges), version.tax_codes, terms_json(version), version.create_time,
        version.subscription_id or None, version.base_version or None, state, request_id, hashed,
    )  # fmt: skip


async def update_plan(conn: Conn, tenant_id: str, code: str, name: str | None, description: str | None) -> Plan | None:
    """The plan as it is now; a None leaves its column alone."""
    found = await changed(
        conn,
        """
        UPDATE plan SET name = coalesce($3, name), description = coalesce($4, description)
        WHERE tenant_id = $1 AND code = $2
        """,
        tenant_id, code, name, description,
    )  # fmt: skip
    return await find_plan(conn, tenant_id, code) if found else None


_VERSION_COLUMNS = (
    "v.plan_code, v.version, v.currency, v.billing_interval, v.base_fee_minor_units, v.charges, v.tax_codes,"
    " v.terms, v.create_time, v.subscription_id, v.base_version"
)
_PLANS = f"""
    SELECT p.code, p.name, p.description, p.latest_version AS version_count, p.create_time AS plan_create_time,
        {_VERSION_COLUMNS}
    FROM plan p LEFT JOIN LATERAL (
        SELECT * FROM plan_version
        WHERE tenant_id = p.tenant_id AND plan_code = p.code AND version <= p.latest_version AND state = 'active'
        ORDER BY version DESC LIMIT 1
    ) v ON true
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
    found = await conn.fetchval("SELECT 1 FROM plan WHERE tenant_id = $1 AND code = $2", tenant_id, code)
    return found is not None


async def known_plan_codes(conn: Conn, tenant_id: str, codes: Iterable[str]) -> set[str]:
    """Those of `codes` that are plans. Plans are never deleted, so they stay it."""
    rows = await conn.fetch("SELECT code FROM plan WHERE tenant_id = $1 AND code = ANY ($2)", tenant_id, list(codes))
    return {row["code"] for row in rows}


async def find_version(conn: Conn, tenant_id: str, plan_code: str, version: int) -> Stated | None:
    """A version of the catalog, or an override."""
    condition = "v.tenant_id = $1 AND v.plan_code = $2 AND v.version = $3"
    found = await select_versions(conn, condition, tenant_id, plan_code, version)
    return found[0] if found else None


async def list_versions(conn: Conn, tenant_id: str, plan_code: str, before: int | None, size: int) -> list[Stated]:
    """Newest first, those before the version `before`; one more than `size`, if there are as many. No overrides."""
    return await select_versions(
        conn,
        "v.tenant_id = $1 AND v.plan_code = $2 AND v.subscription_id IS NULL"
        " AND ($3::integer IS NULL OR v.version < $3) ORDER BY v.version DESC LIMIT $4",
        tenant_id, plan_code, before, size + 1,
    )  # fmt: skip


async def select_versions(conn: Conn, condition: str, *values: object) -> list[Stated]:
    """`condition` is text of ours, of a plan_version v."""
    rows = await conn.fetch(f"SELECT {_VERSION_COLUMNS}, v.state FROM plan_version v WHERE {condition}", *values)  # noqa: S608
    return [(_version(row), VersionState(row["state"])) for row in rows]


def _plan(row: asyncpg.Record) -> Plan:
    return Plan(
        code=row["code"],
        name=row["name"],
        description=row["description"],
        version_count=row["version_count"],
        latest_version=None if row["version"] is None else _version(row),
        create_time=row["plan_create_time"],
    )


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
        subscription_id=row["subscription_id"] or "",
        base_version=row["base_version"] or 0,
        **terms_from_json(row["terms"], row["currency"]),
    )
