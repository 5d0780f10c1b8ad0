"""Where documents and the ledger differ."""

from collections.abc import Sequence
from datetime import date, datetime

from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.ledger.proof import DailyProof, Difference, Proving

MAX_DIFFERENCES_LISTED = 100
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
        sum(amount_minor) FILTER (WHERE account = 'deferred_revenue') AS deferred_revenue,
        sum(amount_minor) AS balance
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
    ('revenue', -l.deferred_revenue, e.whole),
    ('all', 0, l.balance)
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


async def tenants_to_prove(conn: Conn, day: date) -> Sequence[str]:
    """Those with invoices whose proof of the day has not begun."""
    rows = await conn.fetch(
        "SELECT tenant_id FROM invoice_counter n"
        " WHERE NOT EXISTS (SELECT FROM ledger_proof p WHERE p.tenant_id = n.tenant_id AND p.day = $1)",
        day,
    )
    return [row["tenant_id"] for row in rows]


async def begin(conn: Conn, tenant_id: str, day: date, now: datetime) -> None:
    """Once."""
    await conn.execute(
        "INSERT INTO ledger_proof (tenant_id, day, create_time, available_time) VALUES ($1, $2, $3, $3)"
        " ON CONFLICT DO NOTHING",
        tenant_id,
        day,
        now,
    )


async def claim(conn: Conn, now: datetime, leased_until: datetime) -> Proving | None:
    """Lease a proof that is not complete."""
    row = await conn.fetchrow(
        "UPDATE ledger_proof p SET available_time = $2 FROM (SELECT tenant_id, day FROM ledger_proof"
        "  WHERE available_time <= $1 ORDER BY available_time LIMIT 1 FOR UPDATE SKIP LOCKED) due"
        " WHERE p.tenant_id = due.tenant_id AND p.day = due.day RETURNING p.tenant_id, p.day, p.checked_until",
        now,
        leased_until,
    )
    return None if row is None else Proving(*row.values())


async def record(conn: Conn, proof: Proving, until: str | None, found: Sequence[Difference], now: datetime) -> None:
    """What was found `until` an invoice, or to the end: by the first who gets there."""
    moved = await conn.fetchval(
        "UPDATE ledger_proof SET checked_until = coalesce($4, checked_until),"
        " available_time = CASE WHEN $4::text IS NOT NULL THEN $5::timestamptz END,"
        " complete_time = CASE WHEN $4::text IS NULL THEN $5::timestamptz END"
        " WHERE tenant_id = $1 AND day = $2 AND checked_until = $3 AND complete_time IS NULL RETURNING true",
        proof.tenant_id,
        proof.day,
        proof.checked_until,
        until,
        now,
    )
    if moved:
        await conn.executemany(
            "INSERT INTO ledger_difference (tenant_id, day, invoice_id, account, currency, documents_minor,"
            " ledger_minor) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                (proof.tenant_id, proof.day, each.invoice_id, each.account, each.currency, each.documents, each.ledger)
                for each in found
            ],
        )


async def page(conn: Conn, tenant_id: str, page: Page) -> Sequence[DailyProof]:
    """Newest first; one more than the page has, if there is one."""
    rows = await conn.fetch(
        "SELECT day, create_time, complete_time, (SELECT count(*) FROM ledger_difference d"
        "  WHERE d.tenant_id = p.tenant_id AND d.day = p.day) AS count FROM ledger_proof p"
        " WHERE tenant_id = $1 AND ($2::text IS NULL OR day < $2::text::date) ORDER BY day DESC LIMIT $3",
        tenant_id,
        page.after,
        page.size + 1,
    )
    return [
        DailyProof(
            row["day"],
            row["create_time"],
            row["complete_time"],
            row["count"],
            await _listed(conn, tenant_id, row["day"]),
        )
        for row in rows
    ]


async def _listed(conn: Conn, tenant_id: str, day: date) -> tuple[Difference, ...]:
    rows = await conn.fetch(
        "SELECT invoice_id, currency, account, documents_minor, ledger_minor FROM ledger_difference"
        " WHERE tenant_id = $1 AND day = $2 ORDER BY invoice_id, account LIMIT $3",
        tenant_id,
        day,
        MAX_DIFFERENCES_LISTED,
    )
    return tuple(Difference(*row.values()) for row in rows)
