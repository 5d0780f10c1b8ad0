"""Which usage was billed progressively, and up to where each subscription's is looked at."""

from collections.abc import Mapping, Sequence

from libs.common.postgres import Conn
from services.invoicing.domain.line import LineKind
from services.invoicing.domain.progressive import Progress
from services.invoicing.domain.subscription import Subscription
from services.invoicing.store import lines


async def followed(conn: Conn) -> Mapping[str, Sequence[tuple[str, int]]]:
    """By tenant, the subscriptions whose phase has thresholds, and up to which watermark they are looked at."""
    rows = await conn.fetch(
        "SELECT s.tenant_id, s.id, s.threshold_watermark FROM subscription_phase p"
        " JOIN subscription s ON s.tenant_id = p.tenant_id AND s.id = p.subscription_id AND s.phase_number = p.number"
        " WHERE p.has_thresholds AND NOT s.is_closed"
    )
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        found.setdefault(row["tenant_id"], []).append((row["id"], row["threshold_watermark"]))
    return found


async def progress(conn: Conn, tenant_id: str, of: Subscription) -> Progress | None:
    """Of the current period."""
    rows = await conn.fetch(
        "SELECT invoice_id, usage_minor, currency FROM progressive_invoice p"
        " JOIN invoice i ON i.tenant_id = p.tenant_id AND i.id = p.invoice_id"
        " WHERE p.tenant_id = $1 AND p.subscription_id = $2 AND p.phase_number = $3 AND p.period_start = $4"
        " ORDER BY p.watermark DESC",
        tenant_id,
        of.id,
        of.phase_number,
        of.current_period.start,
    )
    if not rows:
        return None
    last = rows[0]["invoice_id"]
    its_lines = await lines.of_invoices(conn, tenant_id, {last: rows[0]["currency"]})
    usage = tuple(each for each in its_lines[last] if each.kind is LineKind.USAGE)
    return Progress(usage, max(row["usage_minor"] for row in rows))


async def invoiced(conn: Conn, tenant_id: str, subscription_id: str, currency: str) -> int:
    """What usage of the periods that are over was billed, in minor units, nothing that is void."""
    found: int = await conn.fetchval(
        "SELECT coalesce(sum(l.amount_minor), 0)::bigint FROM invoice_line l"
        " JOIN invoice i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id"
        " WHERE l.tenant_id = $1 AND l.subscription_id = $2 AND l.kind IN ('usage', 'late_usage')"
        " AND i.kind = 'subscription' AND i.state <> 'voided' AND i.currency = $3",
        tenant_id,
        subscription_id,
        currency,
    )
    return found


async def move(conn: Conn, tenant_id: str, of: Subscription, since: int, watermark: int, *, bills: bool) -> bool:
    """Whether the usage up to `watermark` is this transaction's to bill: nobody has since `since`, and the period is
    still the current one. If it `bills`, whoever is about to bill the period looks again.
    """
    moved = await conn.fetchval(
        "UPDATE subscription SET threshold_watermark = $6, revision = revision + $7 WHERE tenant_id = $1 AND id = $2"
        " AND revision = $3 AND period_start = $4 AND threshold_watermark = $5 AND NOT is_closed RETURNING true",
        tenant_id,
        of.id,
        of.revision,
        of.current_period.start,
        since,
        watermark,
        int(bills),
    )
    return moved is not None


async def insert(
    conn: Conn, tenant_id: str, of: Subscription, watermark: int, usage_minor: int, invoice_id: str
) -> None:
    """All usage of the current period is on an invoice."""
    await conn.execute(
        "INSERT INTO progressive_invoice (tenant_id, subscription_id, phase_number, period_start, watermark,"
        " usage_minor, invoice_id) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant_id,
        of.id,
        of.phase_number,
        of.current_period.start,
        watermark,
        usage_minor,
        invoice_id,
    )
