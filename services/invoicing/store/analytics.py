"""What reports add up."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from libs.common.money import exponent
from libs.common.postgres import Conn
from services.invoicing.domain.analytics import Ageing, Booked, Discounted


async def booked(conn: Conn, tenant_id: str, first: date, last: date) -> Sequence[Booked]:
    """A note's roundings are a part of what it gives back."""
    rows = await conn.fetch(
        "SELECT date_trunc('month', effective_date::timestamp)::date, currency,"
        " coalesce(-sum(amount_minor) FILTER (WHERE source = 'issue'), 0)::bigint,"
        " coalesce(sum(amount_minor) FILTER (WHERE source LIKE 'note/%'), 0)::bigint,"
        " coalesce(sum(amount_minor) FILTER (WHERE source = 'void'), 0)::bigint"
        " FROM ledger_posting WHERE tenant_id = $1 AND effective_date BETWEEN $2 AND $3"
        " AND account IN ('deferred_revenue', 'rounding') GROUP BY 1, 2",
        tenant_id,
        first,
        last,
    )
    return [Booked(*row) for row in rows]


async def discounted(conn: Conn, tenant_id: str, first: date, last: date) -> Sequence[Discounted]:
    """By the day of the invoice's booking; of one that came to nothing, and has none, by its issue date."""
    rows = await conn.fetch(
        "SELECT date_trunc('month', i.day::timestamp)::date, i.currency, coalesce(t.rate, 0), sum(d.amount)"
        " FROM (SELECT i.id, i.currency, i.default_tax_codes, coalesce((SELECT min(p.effective_date)"
        "   FROM ledger_posting p WHERE p.tenant_id = $1 AND p.invoice_id = i.id AND p.source = 'issue'), i.issue_date)"
        "   AS day FROM invoice i WHERE i.tenant_id = $1 AND i.state IN ('finalized', 'voided')"
        "   AND i.discount_minor > 0 AND i.issue_date <= $3) i"
        " JOIN invoice_line l ON l.tenant_id = $1 AND l.invoice_id = i.id"
        " JOIN invoice_line_discount d ON d.tenant_id = $1 AND d.invoice_id = i.id AND d.line_position = l.position"
        " LEFT JOIN LATERAL (SELECT sum(x.rate_percent) AS rate FROM invoice_tax x WHERE l.is_tax_inclusive"
        "  AND x.tenant_id = $1 AND x.invoice_id = i.id AND x.is_included"
        "  AND x.code = ANY(CASE WHEN l.tax_codes = '{}' THEN i.default_tax_codes ELSE l.tax_codes END)) t ON true"
        " WHERE i.day BETWEEN $2 AND $3 GROUP BY 1, 2, 3",
        tenant_id,
        first,
        last,
    )
    return [
        Discounted(month, currency, Fraction(rate), Fraction(amount) * 10 ** exponent(currency))
        for month, currency, rate, amount in rows
    ]


async def ageing(conn: Conn, tenant_id: str, day: date, customer_count: int) -> Sequence[Ageing]:
    """At the end of `day`: of each currency first all, then of `customer_count` customers those most overdue."""
    rows = await conn.fetch(
        "SELECT currency, customer_id, not_due, to_30, to_60, to_90, over_90 FROM ("
        " SELECT a.*, row_number() OVER (PARTITION BY currency, is_total"
        "  ORDER BY to_30 + to_60 + to_90 + over_90 DESC, customer_id) AS place FROM ("
        "  SELECT currency, customer_id, grouping(customer_id) = 1 AS is_total,"
        "   coalesce(sum(owed) FILTER (WHERE owed < 0 OR age <= 0), 0)::bigint AS not_due,"
        "   coalesce(sum(owed) FILTER (WHERE owed > 0 AND age BETWEEN 1 AND 30), 0)::bigint AS to_30,"
        "   coalesce(sum(owed) FILTER (WHERE owed > 0 AND age BETWEEN 31 AND 60), 0)::bigint AS to_60,"
        "   coalesce(sum(owed) FILTER (WHERE owed > 0 AND age BETWEEN 61 AND 90), 0)::bigint AS to_90,"
        "   coalesce(sum(owed) FILTER (WHERE owed > 0 AND age > 90), 0)::bigint AS over_90"
        "  FROM (SELECT i.currency, i.customer_id, o.owed, $2::date - coalesce(i.due_date, i.issue_date) AS age"
        "   FROM (SELECT invoice_id, sum(amount_minor) AS owed FROM ledger_posting WHERE tenant_id = $1"
        "    AND account = 'receivable' AND effective_date <= $2 GROUP BY 1 HAVING sum(amount_minor) <> 0) o"
        "   JOIN invoice i ON i.tenant_id = $1 AND i.id = o.invoice_id) owing"
        "  GROUP BY GROUPING SETS ((currency), (currency, customer_id))) a) ranked"
        " WHERE is_total OR place <= $3 AND to_30 + to_60 + to_90 + over_90 > 0"
        " ORDER BY currency, is_total DESC, place",
        tenant_id,
        day,
        customer_count,
    )
    return [Ageing(*row) for row in rows]
