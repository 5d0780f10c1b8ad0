"""Subscriptions whose customer is in another time zone."""

from collections.abc import Sequence

from libs.common.postgres import Conn
from services.invoicing.domain.subscription import Subscription
from services.invoicing.store import phases, subscriptions, units

CHUNK = 5000


async def lock(conn: Conn, tenant_id: str, customer_id: str, after: str) -> Sequence[Subscription]:
    """A chunk of the customer's subscriptions, which nobody else changes until the transaction ends, by id."""
    rows = await conn.fetch(
        "SELECT id FROM subscription WHERE tenant_id = $1 AND customer_id = $2 AND id > $3 ORDER BY id LIMIT $4"
        " FOR UPDATE",
        tenant_id,
        customer_id,
        after,
        CHUNK,
    )
    found = await subscriptions.by_ids(conn, tenant_id, [row["id"] for row in rows])
    return [found[row["id"]] for row in rows]


async def save(conn: Conn, tenant_id: str, moved: Sequence[tuple[Subscription, Subscription]]) -> None:
    """Locked subscriptions, before and after a move."""
    kept = [
        after.past_zones[-1] if len(after.past_zones) > len(before.past_zones) else (None, None)
        for before, after in moved
    ]
    await conn.execute(
        "UPDATE subscription s SET period_end = m.period_end, opening_time = m.opening_time, end_time = m.end_time,"
        " addition_time = m.addition_time, revision = m.revision,"
        " past_zones = CASE WHEN m.zone IS NULL THEN s.past_zones ELSE s.past_zones || m.zone END,"
        " past_zone_ends = CASE WHEN m.zone IS NULL THEN s.past_zone_ends ELSE s.past_zone_ends || m.zone_end END,"
        " available_time = '-infinity'"
        " FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],"
        "  $7::bigint[], $8::text[], $9::timestamptz[])"
        "  AS m (id, period_end, opening_time, end_time, addition_time, revision, zone, zone_end)"
        " WHERE s.tenant_id = $1 AND s.id = m.id",
        tenant_id,
        [after.id for _, after in moved],
        [after.current_period.end for _, after in moved],
        [after.opening_time for _, after in moved],
        [after.end_time for _, after in moved],
        [after.addition_time for _, after in moved],
        [after.revision for _, after in moved],
        [name for name, _ in kept],
        [until for _, until in kept],
    )
    for before, after in moved:
        if after.phases != before.phases:
            await phases.replace(conn, tenant_id, after.id, after.phases)
        if after.units != before.units:
            await units.replace(conn, tenant_id, after.id, after.units)
