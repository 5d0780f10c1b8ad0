"""Drafts whose lines are replaced."""

from collections.abc import Collection, Sequence
from datetime import datetime

from libs.common.postgres import Conn
from services.invoicing.domain.draft import Draft
from services.invoicing.domain.line import Line
from services.invoicing.store import lines, settlements


async def due(conn: Conn, tenant_id: str, now: datetime, limit: int, only: str | None = None) -> Sequence[str]:
    """Up to `limit` drafts that are to be finalized by the tenant's `now`, and to be refreshed before; or if it is
    among them, `only` one.
    """
    rows = await conn.fetch(
        "SELECT id FROM invoice WHERE tenant_id = $1 AND state = 'draft' AND NOT is_sealed AND draft_until <= $2"
        " AND needs_refresh AND ($4::text IS NULL OR id = $4) ORDER BY draft_until, id LIMIT $3",
        tenant_id,
        now,
        limit,
        only,
    )
    return [row["id"] for row in rows]


async def read(conn: Conn, tenant_id: str, ids: Sequence[str]) -> Sequence[Draft]:
    """Those of `ids` that are drafts, as of one moment."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        rows = await conn.fetch(
            "SELECT id, revision, currency, watermark, regenerated_from FROM invoice"
            " WHERE tenant_id = $1 AND id = ANY($2::text[]) AND state = 'draft' AND NOT is_sealed ORDER BY id",
            tenant_id,
            ids,
        )
        currencies = {row["id"]: row["currency"] for row in rows}
        settled = await settlements.of_invoices(conn, tenant_id, currencies)
        its_lines = await lines.of_invoices(conn, tenant_id, currencies)
    return [
        Draft(
            id=row["id"],
            revision=row["revision"],
            currency=row["currency"],
            watermark=row["watermark"],
            settlements=tuple(settled[row["id"]]),
            lines=tuple(its_lines[row["id"]]),
            is_regenerated=row["regenerated_from"] is not None,
        )
        for row in rows
    ]


async def save(
    conn: Conn, tenant_id: str, draft: Draft, new_lines: Sequence[Line], watermark: int, *, is_last: bool
) -> bool:
    """Replace the lines of a draft that still is as it was read; the one that `is_last` need not be refreshed again.
    The caller has a transaction.
    """
    subtotal = sum(line.amount.minor_units for line in new_lines)
    saved = await conn.fetchval(
        "UPDATE invoice SET revision = revision + 1, watermark = greatest(watermark, $4), line_count = $5,"
        " subtotal_minor = $6, total_minor = $6, needs_refresh = needs_refresh AND NOT $7"
        " WHERE tenant_id = $1 AND id = $2 AND revision = $3 AND state = 'draft' AND NOT is_sealed RETURNING true",
        tenant_id,
        draft.id,
        draft.revision,
        watermark,
        len(new_lines),
        subtotal,
        is_last,
    )
    if saved:
        await lines.delete(conn, tenant_id, [draft.id])
        await lines.insert(conn, tenant_id, [(draft.id, i, line) for i, line in enumerate(new_lines)])
    return saved is not None


async def require(conn: Conn, tenant_id: str, ids: Collection[str]) -> bool:
    """Have drafts refreshed before they are finalized; False if one of them is a draft no more."""
    if not ids:
        return True
    rows = await conn.fetch(
        "UPDATE invoice SET needs_refresh = true WHERE tenant_id = $1 AND id = ANY($2::text[]) AND state = 'draft'"
        " AND NOT is_sealed RETURNING id",
        tenant_id,
        sorted(ids),
    )
    return len(rows) == len(ids)


async def end_grace(conn: Conn, tenant_id: str, draft_id: str, now: datetime) -> None:
    """Have a draft finalized as soon as it can be; `now` is the tenant's."""
    await conn.execute(
        "UPDATE invoice SET draft_until = least(draft_until, $3) WHERE tenant_id = $1 AND id = $2 AND state = 'draft'",
        tenant_id,
        draft_id,
        now,
    )
