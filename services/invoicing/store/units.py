"""Units of fixed charges that subscriptions have changed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from libs.common.postgres import Conn
from services.invoicing.domain.phase import UnitChange


async def of(conn: Conn, tenant_id: str, subscription_ids: Sequence[str]) -> Mapping[str, list[UnitChange]]:
    """By subscription, in the order of time."""
    rows = await conn.fetch(
        "SELECT subscription_id, phase_number, code, effective_time, units, in_advance FROM subscription_units"
        " WHERE tenant_id = $1 AND subscription_id = ANY($2::text[]) ORDER BY subscription_id, effective_time, code",
        tenant_id,
        subscription_ids,
    )
    found: dict[str, list[UnitChange]] = defaultdict(list)
    for row in rows:
        change = UnitChange(row["phase_number"], row["code"], row["effective_time"], row["units"], row["in_advance"])
        found[row["subscription_id"]].append(change)
    return found


async def replace(conn: Conn, tenant_id: str, subscription_id: str, units: Sequence[UnitChange]) -> None:
    """Those of a subscription that nobody else changes until the transaction ends."""
    await conn.execute(
        "DELETE FROM subscription_units WHERE tenant_id = $1 AND subscription_id = $2", tenant_id, subscription_id
    )
    if units:
        await conn.executemany(
            "INSERT INTO subscription_units (tenant_id, subscription_id, phase_number, code, effective_time, units,"
            " in_advance) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                (
                    tenant_id,
                    subscription_id,
                    each.phase_number,
                    each.code,
                    each.effective_time,
                    each.units,
                    each.in_advance,
                )
                for each in units
            ],
        )
