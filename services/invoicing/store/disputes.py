"""Money of invoices that banks have taken back, as payments tells it."""

from libs.common.money import Money
from libs.common.postgres import Conn


async def record(
    conn: Conn, tenant_id: str, dispute_id: str, revision: int, invoice_id: str, amount: Money, state: str
) -> None:
    """Does nothing unless `revision` is newer than what there is."""
    await conn.execute(
        "INSERT INTO dispute AS d (tenant_id, id, revision, invoice_id, amount_minor, currency, state)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT (tenant_id, id) DO UPDATE SET revision = $3, state = $7"
        " WHERE d.revision < $3 AND d.invoice_id = $4",
        tenant_id,
        dispute_id,
        revision,
        invoice_id,
        amount.minor_units,
        amount.currency,
        state,
    )


async def taken_back(conn: Conn, tenant_id: str, invoice_id: str) -> int:
    """Minor units of an invoice that banks have taken back."""
    amount: int = await conn.fetchval(
        "SELECT coalesce(sum(amount_minor), 0)::bigint FROM dispute"
        " WHERE tenant_id = $1 AND invoice_id = $2 AND state = 'lost'",
        tenant_id,
        invoice_id,
    )
    return amount
