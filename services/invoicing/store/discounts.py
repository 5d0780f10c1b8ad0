"""What invoices have used of their customers' coupons."""

# ruff: noqa: S608 what is interpolated is the assignments below

from collections.abc import Mapping, Sequence
from decimal import Decimal

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.discount import Discount
from services.invoicing.store.applied_coupons import reduction_in, terms_in

_AFTER = (
    " remaining_minor = remaining_minor - u.amount, remaining_uses = remaining_uses - u.uses,"
    " state = CASE WHEN state = 'removed' THEN state"
    "  WHEN 0 IN (coalesce(remaining_minor - u.amount, 1), coalesce(remaining_uses - u.uses, 1)) THEN 'used_up'"
    "  ELSE 'active' END"
)
"""Of a coupon, once `u` has used an amount of it, on so many invoices."""


async def insert(conn: Conn, tenant_id: str, discounts: Mapping[str, Sequence[Discount]]) -> None:
    """On drafts, by id; the coupons are locked, and have that much less."""
    used = [(invoice_id, i, each) for invoice_id, its in discounts.items() for i, each in enumerate(its)]
    if not used:
        return
    await conn.executemany(
        "INSERT INTO invoice_discount (tenant_id, invoice_id, position, applied_coupon_id, available_minor,"
        " base_amount, amount_minor) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [
            (
                tenant_id,
                invoice_id,
                position,
                each.applied_coupon_id,
                each.terms.reduction.minor_units if isinstance(each.terms.reduction, Money) else None,
                each.base,
                each.amount.minor_units,
            )
            for invoice_id, position, each in used
        ],
    )
    await conn.copy_records_to_table(
        "invoice_line_discount",
        records=(
            (tenant_id, invoice_id, line_position, each.applied_coupon_id, share)
            for invoice_id, _, each in used
            for line_position, share in each.shares.items()
        ),
        columns=("tenant_id", "invoice_id", "line_position", "applied_coupon_id", "amount"),
    )
    await conn.execute(
        f"UPDATE applied_coupon c SET{_AFTER} FROM (SELECT id, sum(amount)::bigint AS amount, count(*)::integer AS uses"
        "  FROM unnest($2::text[], $3::bigint[]) AS d (id, amount) GROUP BY id) u"
        " WHERE c.tenant_id = $1 AND c.id = u.id",
        tenant_id,
        [each.applied_coupon_id for _, _, each in used],
        [each.amount.minor_units for _, _, each in used],
    )


async def give_back(conn: Conn, tenant_id: str, invoice_id: str) -> None:
    """Return what a locked invoice has used to its coupons, once. One that was removed meanwhile stays so."""
    await conn.execute(
        "SELECT FROM applied_coupon WHERE tenant_id = $1 AND id IN (SELECT applied_coupon_id FROM invoice_discount"
        "  WHERE tenant_id = $1 AND invoice_id = $2) ORDER BY serial FOR UPDATE",
        tenant_id,
        invoice_id,
    )
    await conn.execute(
        "WITH u AS (UPDATE invoice_discount SET is_returned = true"
        "  WHERE tenant_id = $1 AND invoice_id = $2 AND NOT is_returned"
        "  RETURNING applied_coupon_id AS id, -amount_minor AS amount, -1 AS uses)"
        f" UPDATE applied_coupon c SET{_AFTER} FROM u WHERE c.tenant_id = $1 AND c.id = u.id",
        tenant_id,
        invoice_id,
    )


async def of_invoices(conn: Conn, tenant_id: str, currencies: Mapping[str, str]) -> Mapping[str, Sequence[Discount]]:
    """By the ids of `currencies`, in the order they were taken off."""
    shares: dict[tuple[str, str], dict[int, Decimal]] = {}
    for row in await conn.fetch(
        "SELECT invoice_id, applied_coupon_id, line_position, amount FROM invoice_line_discount"
        " WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) ORDER BY line_position",
        tenant_id,
        list(currencies),
    ):
        shares.setdefault((row["invoice_id"], row["applied_coupon_id"]), {})[row["line_position"]] = row["amount"]
    found: dict[str, list[Discount]] = {invoice_id: [] for invoice_id in currencies}
    for row in await conn.fetch(
        "SELECT d.invoice_id, d.applied_coupon_id, d.available_minor, d.base_amount, d.amount_minor, c.coupon_code,"
        " c.name, c.currency, c.rate_percent, c.plan_codes, c.meter_codes FROM invoice_discount d"
        " JOIN applied_coupon c ON c.tenant_id = d.tenant_id AND c.id = d.applied_coupon_id"
        " WHERE d.tenant_id = $1 AND d.invoice_id = ANY($2::text[]) ORDER BY d.invoice_id, d.position",
        tenant_id,
        list(currencies),
    ):
        discount = Discount(
            applied_coupon_id=row["applied_coupon_id"],
            terms=terms_in(row, reduction_in(row["available_minor"], row)),
            base=row["base_amount"],
            amount=Money(row["amount_minor"], currencies[row["invoice_id"]]),
            shares=shares.get((row["invoice_id"], row["applied_coupon_id"]), {}),
        )
        found[row["invoice_id"]].append(discount)
    return found
