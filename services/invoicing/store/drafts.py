"""Drafts: where lines are collected until everything that is due then is billed, and what becomes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import accumulate
from zoneinfo import ZoneInfo

from libs.common.postgres import Conn
from services.invoicing.domain.bill import Totals
from services.invoicing.domain.draft import draft_until
from services.invoicing.domain.invoice import InvoiceKind, due_date, overdue_from
from services.invoicing.domain.period import zone
from services.invoicing.domain.settlement import InvoiceKey, Portion, by_invoice
from services.invoicing.store import customers, discounts, lines, settlements

_NO_GRACE = 0, zone("UTC")

MAX_LINES = 20_000
"""As many are finalized together, for the worker's memory."""

_COMPLETE = (
    "i.state = 'draft' AND NOT i.is_sealed AND NOT i.needs_refresh AND i.draft_until <= $3"
    " AND CASE i.alone_subscription_id"
    " WHEN '' THEN (SELECT s.id FROM subscription s WHERE s.tenant_id = i.tenant_id AND s.customer_id = i.customer_id"
    "  AND s.due_time = i.due_time AND s.failure_count = 0 AND NOT s.invoiced_alone LIMIT 1)"
    " ELSE (SELECT s.id FROM subscription s WHERE s.tenant_id = i.tenant_id AND s.id = i.alone_subscription_id"
    "  AND s.due_time = i.due_time AND s.failure_count = 0) END IS NULL"
)
"""Whether it is time to finalize, by the tenant's $3, and nothing is to come: no subscription that is due
then waits to be billed on this draft. One that failed is not waited for."""


@dataclass(frozen=True, slots=True)
class Due:
    """A draft to be finalized, in the books of a run. What counts of its customer is told. A version of a legal entity
    issues it, whose numbers begin with `entity_prefix` if it has any of its own; or nobody does.
    """

    id: str
    run_id: str | None
    customer_id: str
    currency: str
    issue_date: date
    tax_codes: tuple[str, ...]
    is_closed_at_zero: bool
    is_one_off: bool
    is_paid: bool
    net_payment_term_days: int
    tz: ZoneInfo
    number_prefix: str
    legal_entity_code: str | None
    legal_entity_version: int | None
    entity_prefix: str


async def collect(
    conn: Conn,
    tenant_id: str,
    run_id: str,
    portions: Sequence[Portion],
    new_ids: Sequence[str],
    create_time: datetime,
) -> int:
    """Put each portion on its draft, which is made if there is none yet, with one of `new_ids`; there are as many as
    portions. Nobody finalizes the drafts until the transaction ends. How many were made.
    """
    groups = by_invoice(portions)
    keys = sorted(groups)  # two workers lock them in one order
    graces = await customers.graces(conn, tenant_id, {key.customer_id for key in keys})
    until = [
        key.due_time
        if any(each.skips_grace for each in groups[key])
        else draft_until(key.due_time, *graces.get(key.customer_id, _NO_GRACE))
        for key in keys
    ]
    rows = await conn.fetch(
        "INSERT INTO invoice (tenant_id, id, customer_id, billing_run_id, currency, subtotal_minor, tax_minor,"
        " total_minor, due_time, issue_date, create_time, alone_subscription_id, line_count, draft_until,"
        " needs_refresh)"
        " SELECT $1, d.id, d.customer_id, $2, d.currency, d.subtotal, 0, d.subtotal, d.due_time, d.issue_date, $3,"
        " d.alone, d.line_count, d.until, d.until > d.due_time"
        " FROM unnest($4::text[], $5::text[], $6::text[], $7::bigint[], $8::timestamptz[],"
        "  $9::date[], $10::text[], $11::integer[], $12::timestamptz[])"
        "  AS d (id, customer_id, currency, subtotal, due_time, issue_date, alone, line_count, until)"
        " ON CONFLICT (tenant_id, customer_id, currency, due_time, alone_subscription_id)"
        "  WHERE state = 'draft' AND kind = 'subscription' AND NOT is_sealed AND regenerated_from IS NULL"
        " DO UPDATE SET revision = invoice.revision + 1, line_count = invoice.line_count + excluded.line_count,"
        "  subtotal_minor = invoice.subtotal_minor + excluded.subtotal_minor,"
        "  total_minor = invoice.total_minor + excluded.total_minor"
        " RETURNING id, customer_id, currency, due_time, alone_subscription_id, line_count",
        tenant_id,
        run_id,
        create_time,
        new_ids[: len(keys)],
        [key.customer_id for key in keys],
        [key.currency for key in keys],
        [sum(each.subtotal.minor_units for each in groups[key]) for key in keys],
        [key.due_time for key in keys],
        [groups[key][0].issue_date for key in keys],
        [key.alone_subscription_id for key in keys],
        [sum(len(each.lines) for each in groups[key]) for key in keys],
        until,
    )
    settled: list[tuple[str, Portion]] = []
    placed = []
    for row in rows:
        group = groups[InvoiceKey(row["customer_id"], row["currency"], row["due_time"], row["alone_subscription_id"])]
        its_lines = [line for each in group for line in each.lines]
        settled += ((row["id"], each) for each in group)
        first = row["line_count"] - len(its_lines)
        placed += [(row["id"], position, line) for position, line in enumerate(its_lines, first)]
    await settlements.insert(conn, tenant_id, settled)
    await lines.insert(conn, tenant_id, placed)
    return len({row["id"] for row in rows} & set(new_ids))


async def tenants(conn: Conn, now: datetime) -> Sequence[str]:
    """Those that have drafts to be finalized; `now` is real."""
    rows = await conn.fetch(
        "SELECT tenant_id FROM billing_clock c WHERE (SELECT min(i.draft_until) FROM invoice i"
        " WHERE i.tenant_id = c.tenant_id AND i.state = 'draft') <= coalesce(c.now, $1)",
        now,
    )
    return [row["tenant_id"] for row in rows]


async def complete(
    conn: Conn, tenant_id: str, now: datetime, limit: int, only: str | None = None
) -> Mapping[str, Sequence[str]]:
    """Up to `limit` drafts that are to be finalized by the tenant's `now` and that nothing is to come for, the longest
    due first, with the codes of the taxes that they name and their customers have; or if it is among them, `only` one.
    They have MAX_LINES at most, unless one alone has more.
    """
    rows = await conn.fetch(
        "SELECT i.id, i.line_count, t.tax_codes || coalesce((SELECT array_agg(DISTINCT n.code)"  # noqa: S608
        "  FROM invoice_line l, unnest(l.tax_codes) AS n (code)"
        "  WHERE l.tenant_id = i.tenant_id AND l.invoice_id = i.id), '{}') AS tax_codes"
        " FROM invoice i JOIN customer_terms t ON t.tenant_id = i.tenant_id AND t.customer_id = i.customer_id"
        f" WHERE i.tenant_id = $1 AND {_COMPLETE} AND ($4::text IS NULL OR i.id = $4)"
        " ORDER BY i.draft_until, i.id LIMIT $2",
        tenant_id,
        limit,
        now,
        only,
    )
    line_counts = accumulate(row["line_count"] for row in rows)
    return {
        row["id"]: row["tax_codes"]
        for row, line_count in zip(rows, line_counts, strict=True)
        if line_count <= MAX_LINES or row is rows[0]
    }


async def take(conn: Conn, tenant_id: str, ids: Sequence[str], now: datetime) -> Sequence[Due]:
    """Lock those that are to be finalized by the tenant's `now`, that nothing is to come for and that nobody else is
    at, in the order that they are numbered in. Where the run that made one is over, it goes into the books of the run
    that has brought the clock there.
    """
    return await _taken(conn, tenant_id, ids, now, _COMPLETE)


async def take_sealed(conn: Conn, tenant_id: str, ids: Sequence[str], now: datetime) -> Sequence[Due]:
    """Lock those that are sealed and that nobody else is at, as `take` does."""
    return await _taken(conn, tenant_id, ids, now, "i.state = 'draft' AND i.is_sealed")


async def _taken(conn: Conn, tenant_id: str, ids: Sequence[str], now: datetime, condition: str) -> Sequence[Due]:
    rows = await conn.fetch(
        "SELECT i.id, coalesce((SELECT r.id FROM billing_run r WHERE r.tenant_id = i.tenant_id AND r.state = 'running'"  # noqa: S608
        "  AND i.kind = 'subscription' AND (r.id = i.billing_run_id OR r.as_of >= $3)"
        "  ORDER BY r.id <> i.billing_run_id, r.as_of LIMIT 1),"
        "  i.billing_run_id) AS run_id, i.customer_id, i.currency, i.issue_date, t.tax_codes, c.skips_zero_amounts,"
        " i.kind, t.net_payment_term_days, c.time_zone, c.number_prefix,"
        " v.code AS legal_entity_code, v.version AS legal_entity_version,"
        " coalesce(v.number_prefix, '') AS entity_prefix"
        " FROM invoice i JOIN customer c ON c.tenant_id = i.tenant_id AND c.id = i.customer_id"
        " JOIN customer_terms t ON t.tenant_id = i.tenant_id AND t.customer_id = i.customer_id"
        " LEFT JOIN legal_entity_version v ON v.tenant_id = i.tenant_id AND (v.code, v.version)"
        "  = (CASE WHEN i.is_sealed THEN i.legal_entity_code ELSE t.legal_entity_code END,"
        "  CASE WHEN i.is_sealed THEN i.legal_entity_version ELSE t.legal_entity_version END)"
        f" WHERE i.tenant_id = $1 AND i.id = ANY($2::text[]) AND {condition}"
        " ORDER BY i.due_time, i.id FOR UPDATE OF i SKIP LOCKED",
        tenant_id,
        ids,
        now,
    )
    return [
        Due(
            id=row["id"],
            run_id=row["run_id"],
            customer_id=row["customer_id"],
            currency=row["currency"],
            issue_date=row["issue_date"],
            tax_codes=tuple(row["tax_codes"]),
            is_closed_at_zero=row["skips_zero_amounts"],
            is_one_off=row["kind"] in (InvoiceKind.ONE_OFF, InvoiceKind.ADVANCE_FEES),
            is_paid=row["kind"] == InvoiceKind.ADVANCE_FEES,
            net_payment_term_days=row["net_payment_term_days"],
            tz=zone(row["time_zone"]),
            number_prefix=row["number_prefix"],
            legal_entity_code=row["legal_entity_code"],
            legal_entity_version=row["legal_entity_version"],
            entity_prefix=row["entity_prefix"],
        )
        for row in rows
    ]


async def total(conn: Conn, tenant_id: str, drafts: Sequence[Due], totals: Mapping[str, Totals]) -> None:
    """What locked drafts come to, by id, and by whom they are issued."""
    await lines.insert_taxes(conn, tenant_id, [(draft_id, each.taxes) for draft_id, each in totals.items()])
    await discounts.insert(conn, tenant_id, {draft_id: each.discounts for draft_id, each in totals.items()})
    await conn.execute(
        "UPDATE invoice i SET subtotal_minor = t.subtotal, discount_minor = t.discount, tax_minor = t.tax,"
        " total_minor = t.subtotal - t.discount + t.tax, default_tax_codes = string_to_array(t.codes, ' '),"
        " legal_entity_code = t.entity, legal_entity_version = t.version"
        " FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::integer[])"
        "  AS t (id, subtotal, discount, tax, codes, entity, version)"
        " WHERE i.tenant_id = $1 AND i.id = t.id AND i.state = 'draft'",
        tenant_id,
        [each.id for each in drafts],
        [totals[each.id].subtotal.minor_units for each in drafts],
        [totals[each.id].discount.minor_units for each in drafts],
        [totals[each.id].tax.minor_units for each in drafts],
        [" ".join(totals[each.id].default_tax_codes) for each in drafts],
        [each.legal_entity_code for each in drafts],
        [each.legal_entity_version for each in drafts],
    )


async def finalize(
    conn: Conn, tenant_id: str, numbered: Sequence[tuple[Due, int, str]], finalize_time: datetime, now: datetime
) -> None:
    """Finalize the locked drafts (draft, sequence, number). With nothing due they are paid; payments is told of the
    others, but for those that are paid already.
    """
    due_dates = [due_date(draft.issue_date, draft.net_payment_term_days) for draft, _, _ in numbered]
    await conn.execute(
        "WITH final AS (UPDATE invoice i SET state = 'finalized', sequence = n.sequence, number = n.number,"
        " finalize_time = $5, due_date = n.due_date, overdue_from = n.overdue_from,"
        " payment_status = CASE WHEN amount_due_minor = 0 THEN 'succeeded' ELSE 'pending' END,"
        " customer_version = (SELECT c.version FROM customer c WHERE c.tenant_id = $1 AND c.id = i.customer_id)"
        " FROM unnest($2::text[], $3::bigint[], $4::text[], $7::date[], $8::timestamptz[])"
        "  AS n (id, sequence, number, due_date, overdue_from)"
        " WHERE i.tenant_id = $1 AND i.id = n.id AND i.state = 'draft'"
        " RETURNING i.id, i.payment_version, i.amount_due_minor, i.kind)"
        " INSERT INTO hand_over (tenant_id, invoice_id, version, due_time)"
        " SELECT $1, id, payment_version, $6 FROM final WHERE amount_due_minor > 0 AND kind <> 'advance_fees'",
        tenant_id,
        [draft.id for draft, _, _ in numbered],
        [sequence for _, sequence, _ in numbered],
        [number for _, _, number in numbered],
        finalize_time,
        now,
        due_dates,
        [overdue_from(due, draft.tz) for due, (draft, _, _) in zip(due_dates, numbered, strict=True)],
    )


async def close(conn: Conn, tenant_id: str, ids: Sequence[str], finalize_time: datetime) -> None:
    """Close locked drafts that come to nothing, without a number."""
    await conn.execute(
        "UPDATE invoice SET state = 'closed', payment_status = 'succeeded', finalize_time = $3"
        " WHERE tenant_id = $1 AND id = ANY($2::text[]) AND state = 'draft'",
        tenant_id,
        ids,
        finalize_time,
    )
