"""Where documents and the ledger differ."""

from collections.abc import Sequence

from libs.common.postgres import Conn
from services.invoicing.domain.ledger.proof import Difference

_OF_RANGE = "tenant_id = $1 AND {0} > $2 AND ($3::text IS NULL OR {0} <= $3)"
_INVOICE_RANGE, _RANGE = _OF_RANGE.format("id"), _OF_RANGE.format("invoice_id")

# ruff: noqa: S608 what is interpolated are the ranges above
_DIFFERENCES = f"""
WITH documents AS (
    SELECT id AS invoice_id, currency, CASE WHEN state = 'finalized' THEN 1 ELSE 0 END AS stands,
        state = 'voided' AS is_void, amount_due_minor,
        amount_paid_minor, credits_minor, prepaid_minor, tax_minor, total_minor
    FROM invoice WHERE {_INVOICE_RANGE}
), included AS (
    SELECT invoice_id, sum(amount_minor) AS tax FROM invoice_tax WHERE {_RANGE} AND is_included GROUP BY 1
), note_taxes AS (
    SELECT credit_note_id, sum(amount_minor) AS tax FROM credit_note_tax WHERE {_RANGE} GROUP BY 1
), notes AS (
    SELECT invoice_id, sum(total_minor) FILTER (WHERE kind = 'refund') AS refund,
        sum(total_minor) FILTER (WHERE kind <> 'offset' AND voided_minor < total_minor) AS given_back,
        sum(voided_minor - total_minor) FILTER (WHERE kind = 'credit') AS credit,
        sum(voided_minor) FILTER (WHERE voided_minor < total_minor) AS forfeited,
        sum(t.tax) FILTER (WHERE voided_minor < total_minor) AS tax,
        sum(total_minor - coalesce(t.tax, 0)) FILTER (WHERE voided_minor < total_minor) AS net
    FROM credit_note n LEFT JOIN note_taxes t ON t.credit_note_id = n.id WHERE {_RANGE} GROUP BY 1
), refunds AS (
    SELECT invoice_id, sum(amount_minor) AS amount FROM refund WHERE {_RANGE} AND state = 'succeeded' GROUP BY 1
), disputes AS (
    SELECT invoice_id, sum(amount_minor) AS amount FROM dispute WHERE {_RANGE} AND state = 'lost' GROUP BY 1
), ledger AS (
    SELECT invoice_id, min(currency) AS currency,
        sum(amount_minor) FILTER (WHERE account IN ('receivable', 'bad_debt')) AS receivable,
        sum(amount_minor) FILTER (WHERE account = 'cash') AS cash,
        sum(amount_minor) FILTER (WHERE account = 'disputes') AS disputes,
        sum(amount_minor) FILTER (WHERE account = 'refunds_payable') AS refunds_payable,
        sum(amount_minor) FILTER (WHERE account = 'customer_credit') AS customer_credit,
        sum(amount_minor) FILTER (WHERE account = 'forfeited_credit') AS forfeited_credit,
        sum(amount_minor) FILTER (WHERE account = 'prepaid_credit') AS prepaid_credit,
        sum(amount_minor) FILTER (WHERE account = 'tax_payable') AS tax_payable,
        sum(amount_minor) FILTER (WHERE account IN ('deferred_revenue', 'rounding')) AS net,
        sum(amount_minor) FILTER (WHERE account = 'deferred_revenue') AS deferred_revenue
    FROM ledger_posting WHERE {_RANGE} GROUP BY 1
), earned AS (
    SELECT invoice_id, sum(amount_minor - earned_part(amount_minor, skipped_days, days)) AS whole
    FROM ledger_earning WHERE {_RANGE} GROUP BY 1
)
SELECT invoice_id, coalesce(d.currency, l.currency, '') AS currency, v.account,
    coalesce(v.documents, 0)::bigint AS documents, coalesce(v.ledger, 0)::bigint AS ledger
FROM documents d
FULL JOIN ledger l USING (invoice_id)
FULL JOIN earned e USING (invoice_id)
LEFT JOIN included c USING (invoice_id)
LEFT JOIN notes n USING (invoice_id)
LEFT JOIN refunds r USING (invoice_id)
LEFT JOIN disputes p USING (invoice_id)
CROSS JOIN LATERAL (VALUES
    ('receivable', CASE WHEN is_void THEN coalesce(n.given_back, 0) ELSE stands * amount_due_minor END
        - amount_paid_minor, l.receivable),
    ('cash', amount_paid_minor - coalesce(r.amount, 0) - coalesce(p.amount, 0), l.cash),
    ('disputes', p.amount, l.disputes),
    ('refunds_payable', coalesce(r.amount, 0) - coalesce(n.refund, 0), l.refunds_payable),
    ('customer_credit', stands * credits_minor + coalesce(n.credit, 0), l.customer_credit),
    ('forfeited_credit', -n.forfeited, l.forfeited_credit),
    ('prepaid_credit', stands * prepaid_minor, l.prepaid_credit),
    ('tax_payable', stands * (coalesce(n.tax, 0) - tax_minor - coalesce(c.tax, 0)), l.tax_payable),
    ('deferred_revenue',
        stands * (coalesce(n.net, 0) - total_minor + tax_minor + coalesce(c.tax, 0)), l.net),
    ('revenue', -l.deferred_revenue, e.whole)
) v (account, documents, ledger)
WHERE coalesce(v.documents, 0) <> coalesce(v.ledger, 0)
ORDER BY invoice_id, v.account LIMIT $4
"""


async def differences(conn: Conn, tenant_id: str, after: str, until: str | None, limit: int) -> Sequence[Difference]:
    """At most `limit` of the invoices after the one id and up to the other."""
    rows = await conn.fetch(_DIFFERENCES, tenant_id, after, until, limit)
    return [Difference(*row.values()) for row in rows]


async def last_of(conn: Conn, tenant_id: str, after: str, count: int) -> str | None:
    """The id of the `count`th invoice after an id; None when there are fewer."""
    found: str | None = await conn.fetchval(
        "SELECT id FROM invoice WHERE tenant_id = $1 AND id > $2 ORDER BY id OFFSET $3 LIMIT 1",
        tenant_id,
        after,
        count - 1,
    )
    return found
