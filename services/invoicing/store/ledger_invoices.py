"""What the ledger books of invoices, as their documents say it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import asyncpg

from libs.common.money import exponent
from libs.common.postgres import Conn
from services.invoicing.domain.ledger.booking import DEFAULT_ENTITY
from services.invoicing.domain.ledger.issue import Issued
from services.invoicing.domain.ledger.part import TIMINGS, PartKey, apportioned, net
from services.invoicing.domain.line import LineKind
from services.invoicing.domain.period import zone

_PARTS = dict[str, dict[PartKey, int]]


async def issued(conn: Conn, tenant_id: str, invoice_ids: Sequence[str]) -> list[Issued]:
    """Invoices that are finalized, or about to be. Of those with coupons or contained taxes, parts are reckoned
    exactly and rounded together.
    """
    rows = await conn.fetch(
        "SELECT i.id, i.currency, i.legal_entity_code, i.issue_date, c.time_zone, i.total_minor, i.credits_minor,"
        " i.prepaid_minor, i.tax_minor, i.discount_minor, coalesce(t.included, 0)::bigint AS included FROM invoice i"
        " JOIN customer c ON c.tenant_id = i.tenant_id AND c.id = i.customer_id"
        " LEFT JOIN (SELECT invoice_id, sum(amount_minor) AS included FROM invoice_tax"
        "  WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) AND is_included GROUP BY 1) t ON t.invoice_id = i.id"
        " WHERE i.tenant_id = $1 AND i.id = ANY($2::text[])",
        tenant_id,
        invoice_ids,
    )
    inexact = {row["id"]: row for row in rows if row["discount_minor"] or row["included"]}
    parts = await _amounts(conn, tenant_id, [each for each in invoice_ids if each not in inexact])
    if inexact:
        parts |= await _nets(conn, tenant_id, inexact)
    return [
        Issued(
            row["id"],
            row["currency"],
            row["legal_entity_code"] or DEFAULT_ENTITY,
            row["issue_date"],
            zone(row["time_zone"]),
            row["total_minor"],
            row["credits_minor"],
            row["prepaid_minor"],
            row["tax_minor"] + row["included"],
            parts.get(row["id"], {}),
        )
        for row in rows
    ]


async def _amounts(conn: Conn, tenant_id: str, invoice_ids: Sequence[str]) -> _PARTS:
    found: _PARTS = {}
    for invoice_id, kind, start, end, amount in await conn.fetch(
        "SELECT invoice_id, kind, period_start, period_end, sum(amount_minor)::bigint FROM invoice_line"
        " WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) GROUP BY 1, 2, 3, 4",
        tenant_id,
        invoice_ids,
    ):
        parts = found.setdefault(invoice_id, {})
        key = TIMINGS[LineKind(kind)], start, end
        parts[key] = parts.get(key, 0) + amount
    return found


async def _nets(conn: Conn, tenant_id: str, invoices: Mapping[str, asyncpg.Record]) -> _PARTS:
    rates: dict[str, dict[str, Decimal]] = {}
    for invoice_id, code, rate in await conn.fetch(
        "SELECT invoice_id, code, rate_percent FROM invoice_tax"
        " WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) AND is_included",
        tenant_id,
        list(invoices),
    ):
        rates.setdefault(invoice_id, {})[code] = rate
    exact: dict[str, dict[PartKey, Fraction]] = {}
    for invoice_id, kind, start, end, codes, amount, share in await conn.fetch(
        "SELECT l.invoice_id, l.kind, l.period_start, l.period_end, CASE WHEN NOT l.is_tax_inclusive THEN '{}'"
        "  WHEN l.tax_codes = '{}' THEN i.default_tax_codes ELSE l.tax_codes END, sum(l.amount_minor)::bigint,"
        " coalesce(sum(d.share), 0) FROM invoice_line l"
        " JOIN invoice i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id"
        " LEFT JOIN (SELECT invoice_id, line_position, sum(amount) AS share FROM invoice_line_discount"
        "  WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) GROUP BY 1, 2) d"
        "  ON d.invoice_id = l.invoice_id AND d.line_position = l.position"
        " WHERE l.tenant_id = $1 AND l.invoice_id = ANY($2::text[]) GROUP BY 1, 2, 3, 4, 5",
        tenant_id,
        list(invoices),
    ):
        parts = exact.setdefault(invoice_id, {})
        key = TIMINGS[LineKind(kind)], start, end
        off = share.scaleb(exponent(invoices[invoice_id]["currency"]))
        its_rates = [rates[invoice_id][code] for code in codes]
        parts[key] = parts.get(key, Fraction(0)) + net(amount, off, its_rates)
    return {
        invoice_id: dict(zip(parts, apportioned(_net(invoices[invoice_id]), list(parts.values())), strict=True))
        for invoice_id, parts in exact.items()
    }


def _net(row: asyncpg.Record) -> int:
    amount: int = row["total_minor"] - row["tax_minor"] - row["included"]
    return amount
