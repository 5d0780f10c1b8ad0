"""The coupons that customers have."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.coupon import AppliedCoupon, CouponState, Frequency
from services.invoicing.domain.discount import Reduction, Terms

_COUPON = (
    "SELECT id, customer_id, coupon_code, name, amount_minor, currency, rate_percent, frequency, periods, plan_codes,"
    " meter_codes, remaining_minor, remaining_uses, state, create_time FROM applied_coupon"
)


async def insert(conn: Conn, tenant_id: str, coupon: AppliedCoupon, request_id: UUID, request_hash: bytes) -> bool:
    """False when the request_id is taken."""
    terms = coupon.terms
    amount = terms.reduction if isinstance(terms.reduction, Money) else None
    made = await conn.fetchval(
        "INSERT INTO applied_coupon (tenant_id, id, customer_id, coupon_code, name, amount_minor, currency,"
        " rate_percent, frequency, periods, plan_codes, meter_codes, remaining_minor, remaining_uses, state,"
        " create_time, request_id, request_hash)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
        " ON CONFLICT (tenant_id, request_id) DO NOTHING RETURNING true",
        tenant_id,
        coupon.id,
        coupon.customer_id,
        terms.coupon_code,
        terms.name,
        amount.minor_units if amount else None,
        amount.currency if amount else None,
        None if isinstance(terms.reduction, Money) else terms.reduction,
        coupon.frequency,
        coupon.periods,
        terms.plan_codes,
        terms.meter_codes,
        coupon.remaining.minor_units if coupon.remaining else None,
        coupon.remaining_uses,
        coupon.state,
        coupon.create_time,
        request_id,
        request_hash,
    )
    return made is not None


async def made_by(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[AppliedCoupon, bytes] | None:
    """The coupon that a request applied, and that request's hash."""
    row = await conn.fetchrow(
        f"{_COUPON.replace(' FROM', ', request_hash FROM')} WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return (_coupon(row), row["request_hash"]) if row else None


async def get(conn: Conn, tenant_id: str, applied_id: str) -> AppliedCoupon | None:
    row = await conn.fetchrow(f"{_COUPON} WHERE tenant_id = $1 AND id = $2", tenant_id, applied_id)
    return _coupon(row) if row else None


async def remove(conn: Conn, tenant_id: str, applied_id: str) -> None:
    await conn.execute(
        "UPDATE applied_coupon SET state = 'removed' WHERE tenant_id = $1 AND id = $2 AND state <> 'removed'",
        tenant_id,
        applied_id,
    )


async def of_customer(conn: Conn, tenant_id: str, customer_id: str) -> Sequence[AppliedCoupon]:
    """All that the customer ever had, in the order they were given."""
    rows = await conn.fetch(
        f"{_COUPON} WHERE tenant_id = $1 AND customer_id = $2 ORDER BY serial", tenant_id, customer_id
    )
    return [_coupon(row) for row in rows]


async def lock(conn: Conn, tenant_id: str, customer_ids: Sequence[str]) -> Mapping[str, list[AppliedCoupon]]:
    """Active ones by customer, in the order they were given; nobody else may use or remove them."""
    found: dict[str, list[AppliedCoupon]] = {}
    for row in await conn.fetch(
        f"{_COUPON} WHERE tenant_id = $1 AND customer_id = ANY($2::text[]) AND state = 'active'"
        " ORDER BY serial FOR UPDATE",
        tenant_id,
        customer_ids,
    ):
        found.setdefault(row["customer_id"], []).append(_coupon(row))
    return found


async def page(conn: Conn, tenant_id: str, customer_id: str | None, page: Page) -> Sequence[AppliedCoupon]:
    """Newest first; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"{_COUPON} WHERE tenant_id = $1 AND ($2::text IS NULL OR customer_id = $2)"
        " AND ($3::text IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
        tenant_id,
        customer_id,
        page.after,
        page.size + 1,
    )
    return [_coupon(row) for row in rows]


def reduction_in(amount_minor: int | None, row: asyncpg.Record) -> Reduction:
    """An amount in the row's currency, or the row's percentage."""
    if amount_minor is not None:
        return Money(amount_minor, row["currency"])
    rate: Reduction = row["rate_percent"]
    return rate


def terms_in(row: asyncpg.Record, reduction: Reduction) -> Terms:
    return Terms(row["coupon_code"], row["name"], reduction, tuple(row["plan_codes"]), tuple(row["meter_codes"]))


def _coupon(row: asyncpg.Record) -> AppliedCoupon:
    remaining = row["remaining_minor"]
    return AppliedCoupon(
        id=row["id"],
        customer_id=row["customer_id"],
        terms=terms_in(row, reduction_in(row["amount_minor"], row)),
        frequency=Frequency(row["frequency"]),
        periods=row["periods"],
        remaining=None if remaining is None else Money(remaining, row["currency"]),
        remaining_uses=row["remaining_uses"],
        state=CouponState(row["state"]),
        create_time=row["create_time"],
    )
