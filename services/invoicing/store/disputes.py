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
        " ON CONFLICT (tenant_id, id) DO UPDATE SET revision = $3, state = $7 WHERE d.revision < $3",
        tenant_id,
        dispute_id,
        revision,
        invoice_id,
        amount.minor_units,
        amount.currency,
        state,
    )
