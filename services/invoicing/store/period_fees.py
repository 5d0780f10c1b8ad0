"""What was billed for a period of a phase besides its usage in arrears: fixed charges, and events in advance."""

from collections.abc import Sequence

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.commitment import FixedFee
from services.invoicing.domain.line import Source
from services.invoicing.domain.period import Period


async def fixed(conn: Conn, tenant_id: str, source: Source, period: Period, but: str) -> Sequence[FixedFee]:
    """Lines, and those of renewed units, for time that begins in the period; none of a void invoice, nor of the one
    with the id `but`.
    """
    rows = await conn.fetch(
        "SELECT l.code, l.period_start, l.period_end, l.amount_minor, i.currency FROM invoice_line l"
        " JOIN invoice i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id"
        " WHERE l.tenant_id = $1 AND l.subscription_id = $2 AND l.phase_number = $3"
        " AND l.kind IN ('fixed_charge', 'renewal')"
        " AND l.period_start >= $4 AND l.period_start < $5 AND i.state <> 'voided' AND i.id <> $6"
        " ORDER BY l.period_start, l.code",
        tenant_id,
        source.subscription_id,
        source.phase_number,
        period.start,
        period.end,
        but,
    )
    return [
        FixedFee(
            row["code"], Period(row["period_start"], row["period_end"]), Money(row["amount_minor"], row["currency"])
        )
        for row in rows
    ]


async def in_advance(conn: Conn, tenant_id: str, source: Source, period: Period, watermark: int) -> int:
    """What the events that were recorded up to `watermark` were charged, in minor units."""
    found: int = await conn.fetchval(
        "SELECT coalesce(sum(amount_minor), 0)::bigint FROM advance_fee WHERE tenant_id = $1 AND subscription_id = $2"
        " AND phase_number = $3 AND period_start >= $4 AND period_start < $5 AND sequence <= $6",
        tenant_id,
        source.subscription_id,
        source.phase_number,
        period.start,
        period.end,
        watermark,
    )
    return found


async def charged_watermark(conn: Conn, tenant_id: str, subscription_id: str) -> int:
    """Up to where a subscription's events are charged in advance."""
    found: int = await conn.fetchval(
        "SELECT charged_watermark FROM subscription WHERE tenant_id = $1 AND id = $2", tenant_id, subscription_id
    )
    return found
