"""Documents that were made, and who they are from and to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common.postgres import Conn
from services.invoicing.domain.customer import Address
from services.invoicing.domain.document import Buyer, DocumentKind
from services.invoicing.domain.legal_entity import LegalEntity
from services.invoicing.domain.period import zone
from services.invoicing.store import legal_entities


@dataclass(frozen=True, slots=True)
class Key:
    """What a document is kept under."""

    kind: DocumentKind
    subject_id: str
    format: str
    is_void: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """`contents` are None where the customer was erased with his documents."""

    digest: bytes
    contents: bytes | None


async def get(conn: Conn, tenant_id: str, key: Key) -> Kept | None:
    row = await conn.fetchrow(
        "SELECT digest, contents FROM document"
        " WHERE tenant_id = $1 AND kind = $2 AND subject_id = $3 AND format = $4 AND is_void = $5",
        tenant_id,
        key.kind,
        key.subject_id,
        key.format,
        key.is_void,
    )
    return Kept(row["digest"], row["contents"]) if row else None


async def keep(conn: Conn, tenant_id: str, key: Key, buyer: Buyer, kept: Kept, now: datetime) -> Kept | None:
    """The first one that was made: that one is given out. None if the customer was erased since `buyer` was read."""
    erase_time = await conn.fetchval(
        "SELECT erase_time FROM customer WHERE tenant_id = $1 AND id = $2 FOR SHARE", tenant_id, buyer.id
    )
    if (erase_time is not None) != buyer.is_erased:
        return None
    await conn.execute(
        "INSERT INTO document (tenant_id, kind, subject_id, format, is_void, customer_id, digest, contents,"
        " create_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        tenant_id,
        key.kind,
        key.subject_id,
        key.format,
        key.is_void,
        buyer.id,
        kept.digest,
        kept.contents,
        now,
    )
    first = await get(conn, tenant_id, key)
    assert first is not None, "documents are never deleted"
    return first


async def missing(conn: Conn, tenant_id: str, customer_id: str) -> Sequence[tuple[DocumentKind, str]]:
    """What was issued to the customer, is not erased, and was not made into a document so far."""
    rows = await conn.fetch(
        "SELECT i.kind, i.id FROM (SELECT 'invoice' AS kind, id, state = 'voided' AS is_void FROM invoice"
        "  WHERE tenant_id = $1 AND customer_id = $2 AND number IS NOT NULL"
        "  UNION ALL SELECT 'credit_note', id, voided_minor = total_minor FROM credit_note"
        "  WHERE tenant_id = $1 AND customer_id = $2) i"
        " WHERE NOT EXISTS (SELECT FROM document d WHERE d.tenant_id = $1 AND d.kind = i.kind AND d.subject_id = i.id"
        "  AND d.format = 'pdf' AND d.is_void = i.is_void)"
        " AND EXISTS (SELECT FROM customer c WHERE c.tenant_id = $1 AND c.id = $2 AND c.erase_time IS NULL)"
        " AND EXISTS (SELECT FROM legal_entity e WHERE e.tenant_id = $1) ORDER BY i.id",
        tenant_id,
        customer_id,
    )
    return [(DocumentKind(row["kind"]), row["id"]) for row in rows]


async def erase(conn: Conn, tenant_id: str, customer_id: str) -> None:
    """The contents of the locked customer's documents."""
    await conn.execute(
        "UPDATE document SET contents = NULL WHERE tenant_id = $1 AND customer_id = $2", tenant_id, customer_id
    )


async def issuer(conn: Conn, tenant_id: str, invoice_id: str) -> LegalEntity | None:
    """Whom an invoice was issued by, as it was then; of one that was not, who bills the customer now."""
    row = await conn.fetchrow(
        "SELECT customer_id, number, legal_entity_code, legal_entity_version FROM invoice"
        " WHERE tenant_id = $1 AND id = $2",
        tenant_id,
        invoice_id,
    )
    assert row is not None, "its caller has found it"
    if row["number"] is None or row["legal_entity_code"] is None:
        return await legal_entities.of_customer(conn, tenant_id, row["customer_id"])
    return await legal_entities.as_of(conn, tenant_id, row["legal_entity_code"], row["legal_entity_version"])


async def recipient(conn: Conn, tenant_id: str, invoice_id: str) -> Buyer:
    """Whom an invoice was issued to, as he was then, unless he was erased."""
    row = await conn.fetchrow(
        "SELECT c.id, c.erase_time, coalesce(v.name, c.name) AS name, coalesce(v.locale, c.locale) AS locale,"
        " coalesce(v.time_zone, c.time_zone) AS time_zone, coalesce(v.address, c.address) AS address,"
        " coalesce(v.tax_ids, c.tax_ids) AS tax_ids"
        " FROM invoice i JOIN customer c ON c.tenant_id = i.tenant_id AND c.id = i.customer_id"
        " LEFT JOIN customer_version v ON v.tenant_id = c.tenant_id AND v.customer_id = c.id"
        "  AND v.version = i.customer_version"
        " WHERE i.tenant_id = $1 AND i.id = $2",
        tenant_id,
        invoice_id,
    )
    assert row is not None, "the invoice was read before"
    return Buyer(
        id=row["id"],
        name=row["name"],
        locale=row["locale"],
        tz=zone(row["time_zone"]),
        address=Address(**json.loads(row["address"])),
        tax_ids=json.loads(row["tax_ids"]),
        is_erased=row["erase_time"] is not None,
    )
