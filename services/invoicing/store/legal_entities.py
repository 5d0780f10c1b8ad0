"""Legal entities."""

# ruff: noqa: S608 what is interpolated is the list of columns below

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.customer import Address
from services.invoicing.domain.legal_entity import BankAccount, Branding, LegalEntity

_SET = (
    "name, email, phone, website, registration, locale, address, tax_ids, bank_account, payment_instructions,"
    " logo, accent_color, footer, template, number_prefix, default_currency_code, net_payment_term_days, tax_codes"
)
_ENTITY = (
    f"SELECT e.code, e.is_default, e.create_time, v.version, v.create_time AS update_time, {_SET}"
    " FROM legal_entity e JOIN legal_entity_version v ON v.tenant_id = e.tenant_id AND v.code = e.code"
)
_CURRENT = f"{_ENTITY} AND v.version = e.version WHERE e.tenant_id = $1"


async def insert(conn: Conn, tenant_id: str, entity: LegalEntity) -> bool:
    """False when its code is taken."""
    made = await conn.fetchval(
        "INSERT INTO legal_entity (tenant_id, code, version, is_default, create_time) VALUES ($1, $2, $3, false, $4)"
        " ON CONFLICT DO NOTHING RETURNING true",
        tenant_id,
        entity.code,
        entity.version,
        entity.create_time,
    )
    return made is not None


async def insert_version(
    conn: Conn, tenant_id: str, entity: LegalEntity, request_id: UUID, request_hash: bytes
) -> None:
    """What the locked legal entity is from now on."""
    await conn.execute(
        f"INSERT INTO legal_entity_version (tenant_id, code, version, create_time, request_id, request_hash, {_SET})"
        f" VALUES ({', '.join(f'${i}' for i in range(1, 25))})",
        tenant_id,
        entity.code,
        entity.version,
        entity.update_time,
        request_id,
        request_hash,
        *_values(entity),
    )
    await conn.execute(
        "UPDATE legal_entity SET version = $3 WHERE tenant_id = $1 AND code = $2",
        tenant_id,
        entity.code,
        entity.version,
    )


async def lock_all(conn: Conn, tenant_id: str) -> None:
    """Only this transaction makes or changes the tenant's legal entities now."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('legal_entity ' || $1, 0))", tenant_id)


async def make_default(conn: Conn, tenant_id: str, code: str) -> None:
    await conn.execute(
        "UPDATE legal_entity SET is_default = false WHERE tenant_id = $1 AND is_default AND code <> $2", tenant_id, code
    )
    await conn.execute("UPDATE legal_entity SET is_default = true WHERE tenant_id = $1 AND code = $2", tenant_id, code)


async def other_with_prefix(conn: Conn, tenant_id: str, code: str, number_prefix: str) -> str | None:
    """The code of another one that has or had it."""
    other: str | None = await conn.fetchval(
        "SELECT code FROM legal_entity_version WHERE tenant_id = $1 AND code <> $2 AND number_prefix = $3 LIMIT 1",
        tenant_id,
        code,
        number_prefix,
    )
    return other


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[str, bytes] | None:
    """The code of the legal entity that a request made or changed, and that request's hash."""
    row = await conn.fetchrow(
        "SELECT code, request_hash FROM legal_entity_version WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return (row["code"], row["request_hash"]) if row else None


async def get(conn: Conn, tenant_id: str, code: str) -> LegalEntity | None:
    row = await conn.fetchrow(f"{_CURRENT} AND e.code = $2", tenant_id, code)
    return _entity(row) if row else None


async def of_customer(conn: Conn, tenant_id: str, customer_id: str) -> LegalEntity | None:
    """Who bills a customer now."""
    row = await conn.fetchrow(
        f"{_CURRENT} AND e.code = (SELECT o.code FROM customer_issuer o WHERE o.tenant_id = $1 AND o.customer_id = $2)",
        tenant_id,
        customer_id,
    )
    return _entity(row) if row else None


async def default(conn: Conn, tenant_id: str) -> LegalEntity | None:
    row = await conn.fetchrow(f"{_CURRENT} AND e.is_default", tenant_id)
    return _entity(row) if row else None


async def as_of(conn: Conn, tenant_id: str, code: str, version: int) -> LegalEntity:
    """What one was that something was issued by."""
    row = await conn.fetchrow(
        f"{_ENTITY} WHERE e.tenant_id = $1 AND e.code = $2 AND v.version = $3", tenant_id, code, version
    )
    assert row is not None, "versions are never deleted"
    return _entity(row)


async def page(conn: Conn, tenant_id: str, page: Page) -> Sequence[LegalEntity]:
    """By code; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"{_CURRENT} AND e.code > coalesce($2, '') ORDER BY e.code LIMIT $3", tenant_id, page.after, page.size + 1
    )
    return [_entity(row) for row in rows]


def _values(entity: LegalEntity) -> Sequence[Any]:
    return (
        entity.name,
        entity.email,
        entity.phone,
        entity.website,
        entity.registration,
        entity.locale,
        json.dumps(asdict(entity.address)),
        json.dumps(dict(entity.tax_ids)),
        json.dumps(asdict(entity.bank_account)),
        entity.payment_instructions,
        entity.branding.logo,
        entity.branding.accent_color,
        entity.branding.footer,
        entity.branding.template,
        entity.number_prefix,
        entity.default_currency_code,
        entity.net_payment_term_days,
        entity.tax_codes,
    )


def _entity(row: asyncpg.Record) -> LegalEntity:
    return LegalEntity(
        code=row["code"],
        name=row["name"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        version=row["version"],
        is_default=row["is_default"],
        email=row["email"],
        phone=row["phone"],
        website=row["website"],
        registration=row["registration"],
        locale=row["locale"],
        address=Address(**json.loads(row["address"])),
        tax_ids=json.loads(row["tax_ids"]),
        bank_account=BankAccount(**json.loads(row["bank_account"])),
        payment_instructions=row["payment_instructions"],
        branding=Branding(row["logo"], row["accent_color"], row["footer"], row["template"]),
        number_prefix=row["number_prefix"],
        default_currency_code=row["default_currency_code"],
        net_payment_term_days=row["net_payment_term_days"],
        tax_codes=tuple(row["tax_codes"]),
    )
