"""Taxes."""

from collections.abc import Collection, Iterable
from decimal import Decimal
from uuid import UUID

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.pricing.domain.tax import Tax
from services.pricing.store.recorded import changed


async def insert_tax(conn: Conn, tenant_id: str, tax: Tax, request_id: UUID, request_hash: bytes) -> bool:
    return await changed(
        conn,
        """
        INSERT INTO tax (tenant_id, code, name, rate_percent, create_time, tenant_default, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT DO NOTHING
        """,
        tenant_id, tax.code, tax.name, tax.rate_percent, tax.create_time, tax.tenant_default, request_id,
        request_hash,
    )  # fmt: skip


async def find_tax(conn: Conn, tenant_id: str, code: str) -> Tax | None:
    row = await conn.fetchrow(
        "SELECT code, name, rate_percent, create_time, tenant_default FROM tax WHERE tenant_id = $1 AND code = $2",
        tenant_id,
        code,
    )
    return Tax(**row) if row else None


async def find_taxes(conn: Conn, tenant_id: str, codes: Collection[str]) -> dict[str, Tax]:
    """Those of `codes` that there are, and the tenant's defaults; ordered by code."""
    rows = await conn.fetch(
        """
        SELECT code, name, rate_percent, create_time, tenant_default FROM tax
        WHERE tenant_id = $1 AND (tenant_default OR code = ANY ($2))
        ORDER BY code
        """,
        tenant_id, list(codes),
    )  # fmt: skip
    return {row["code"]: Tax(**row) for row in rows}


async def list_taxes(conn: Conn, tenant_id: str, page: Page) -> list[Tax]:
    """One more than the page's size, if there are as many."""
    rows = await conn.fetch(
        """
        SELECT code, name, rate_percent, create_time, tenant_default FROM tax
        WHERE tenant_id = $1 AND ($2::text IS NULL OR code > $2)
        ORDER BY code LIMIT $3
        """,
        tenant_id, page.after, page.size + 1,
    )  # fmt: skip
    return [Tax(**row) for row in rows]


async def update_tax(
    conn: Conn, tenant_id: str, code: str, name: str | None, rate: Decimal | None, tenant_default: bool | None
) -> Tax | None:
    """The tax as it is now; a None leaves its column alone."""
    row = await conn.fetchrow(
        """
        UPDATE tax SET name = coalesce($3, name), rate_percent = coalesce($4, rate_percent),
            tenant_default = coalesce($5, tenant_default)
        WHERE tenant_id = $1 AND code = $2
        RETURNING code, name, rate_percent, create_time, tenant_default
        """,
        tenant_id, code, name, rate, tenant_default,
    )  # fmt: skip
    return Tax(**row) if row else None


async def known_tax_codes(conn: Conn, tenant_id: str, codes: Iterable[str]) -> set[str]:
    """Those of `codes` that are taxes. Taxes are never deleted, so they stay it."""
    rows = await conn.fetch("SELECT code FROM tax WHERE tenant_id = $1 AND code = ANY ($2)", tenant_id, list(codes))
    return {row["code"] for row in rows}


async def default_tax_codes(conn: Conn, tenant_id: str) -> tuple[str, ...]:
    """By code."""
    rows = await conn.fetch("SELECT code FROM tax WHERE tenant_id = $1 AND tenant_default ORDER BY code", tenant_id)
    return tuple(row["code"] for row in rows)
