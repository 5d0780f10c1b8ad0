"""The phases of subscriptions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from libs.common.postgres import Conn
from services.invoicing.domain.phase import Phase, UnusedFee
from services.invoicing.domain.schedule import BillingInterval, BillingTime


async def of(conn: Conn, tenant_id: str, subscription_ids: Sequence[str]) -> Mapping[str, list[Phase]]:
    """By subscription, in their order."""
    rows = await conn.fetch(
        "SELECT subscription_id, number, start_time, plan_code, plan_version, billing_interval, billing_time,"
        " anchor_time, fee_start_time, in_advance, on_unused_fee, is_paused, has_advance_units, has_advance_usage,"
        " has_thresholds, carried_charges, carried_meters, fee_interval"
        " FROM subscription_phase"
        " WHERE tenant_id = $1 AND subscription_id = ANY($2::text[]) ORDER BY subscription_id, number",
        tenant_id,
        subscription_ids,
    )
    found: dict[str, list[Phase]] = defaultdict(list)
    for row in rows:
        phase = Phase(
            number=row["number"],
            start_time=row["start_time"],
            plan_code=row["plan_code"],
            plan_version=row["plan_version"],
            billing_interval=BillingInterval(row["billing_interval"]),
            billing_time=BillingTime(row["billing_time"]),
            anchor_time=row["anchor_time"],
            fee_start_time=row["fee_start_time"],
            in_advance=row["in_advance"],
            on_unused_fee=UnusedFee(row["on_unused_fee"]),
            is_paused=row["is_paused"],
            has_advance_units=row["has_advance_units"],
            has_advance_usage=row["has_advance_usage"],
            has_thresholds=row["has_thresholds"],
            carried=tuple(zip(row["carried_charges"], row["carried_meters"], strict=True)),
            fee_interval=BillingInterval(row["fee_interval"]) if row["fee_interval"] else None,
        )
        found[row["subscription_id"]].append(phase)
    return found


async def replace(conn: Conn, tenant_id: str, subscription_id: str, phases: Sequence[Phase]) -> None:
    """Those of a subscription that nobody else changes until the transaction ends."""
    await conn.execute(
        "DELETE FROM subscription_phase WHERE tenant_id = $1 AND subscription_id = $2", tenant_id, subscription_id
    )
    await conn.executemany(
        "INSERT INTO subscription_phase (tenant_id, subscription_id, number, start_time, plan_code, plan_version,"
        " billing_interval, billing_time, anchor_time, fee_start_time, in_advance, on_unused_fee, is_paused,"
        " has_advance_units, has_advance_usage, has_thresholds, carried_charges, carried_meters, fee_interval)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        [
            (
                tenant_id,
                subscription_id,
                each.number,
                each.start_time,
                each.plan_code,
                each.plan_version,
                each.billing_interval,
                each.billing_time,
                each.anchor_time,
                each.fee_start_time,
                each.in_advance,
                each.on_unused_fee,
                each.is_paused,
                each.has_advance_units,
                each.has_advance_usage,
                each.has_thresholds,
                [code for code, _ in each.carried],
                [meter for _, meter in each.carried],
                each.fee_interval,
            )
            for each in phases
        ],
    )
