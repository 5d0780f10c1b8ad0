"""What customers' next invoices are a matter of."""

from libs.common.postgres import Conn
from services.invoicing.domain.coupon import CouponState
from services.invoicing.domain.standing import Standing
from services.invoicing.store import applied_coupons, balances


async def of_customer(conn: Conn, tenant_id: str, customer_id: str) -> Standing:
    """Of a customer that there is."""
    tax_codes = await conn.fetchval(
        "SELECT tax_codes FROM customer_terms WHERE tenant_id = $1 AND customer_id = $2", tenant_id, customer_id
    )
    had = await applied_coupons.of_customer(conn, tenant_id, customer_id)
    return Standing(
        tuple(tax_codes),
        [each for each in had if each.state is CouponState.ACTIVE],
        await balances.of_customer(conn, tenant_id, customer_id),
    )
