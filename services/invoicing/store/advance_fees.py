"""What events were charged in advance, and up to where each subscription's are."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import asyncpg

from libs.common.money import Money
from libs.common.paging import Page
from libs.common.postgres import Conn
from services.invoicing.domain.advance_fee import Advance, AdvanceFee, Charged, Group, Key, Renewed
from services.invoicing.domain.line import Line, LineKind, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.settlement import Portion
from services.invoicing.store.lines import source_values

LINE = (
    "subscription_id, phase_number, plan_code, plan_version, charge_code, transaction_id, period_start, period_end,"
    " description, currency, amount_minor, unrounded_amount, rating, watermark, tax_codes, meter_code,"
    " is_tax_inclusive, is_renewal"
)


async def followed(conn: Conn) -> Mapping[str, Sequence[tuple[str, int]]]:
    """By tenant, the subscriptions with charges in advance, and up to which watermark their events are charged."""
    rows = await conn.fetch(
        "SELECT s.tenant_id, s.id, s.charged_watermark"
        " FROM (SELECT DISTINCT tenant_id, subscription_id FROM subscription_phase WHERE has_advance_usage) p"
        " JOIN subscription s ON s.tenant_id = p.tenant_id AND s.id = p.subscription_id"
        " WHERE NOT s.is_closed OR s.late_check_time IS NOT NULL"
    )
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        found.setdefault(row["tenant_id"], []).append((row["id"], row["charged_watermark"]))
    return found


async def marks(conn: Conn, tenant_id: str, subscription_id: str) -> Mapping[Key, Decimal]:
    """The highest quantity that was charged, by what it is of."""
    rows = await conn.fetch(
        "SELECT phase_number, plan_code, plan_version, charge_code, period_start, max(period_end) AS period_end, part,"
        " group_values, max(quantity) AS mark FROM advance_fee WHERE tenant_id = $1 AND subscription_id = $2"
        " AND NOT is_renewal"
        " GROUP BY phase_number, plan_code, plan_version, charge_code, period_start, part, group_values",
        tenant_id,
        subscription_id,
    )
    return {
        (
            Source(subscription_id, row["phase_number"], row["plan_code"], row["plan_version"]),
            row["charge_code"],
            Period(row["period_start"], row["period_end"]),
            row["part"],
            _group_in(row["group_values"]),
        ): row["mark"]
        for row in rows
    }


async def charged_otherwise(conn: Conn, tenant_id: str, of: Advance) -> Mapping[tuple[str, Group], Decimal]:
    """By filter and group, the units of a charge's events that were charged in another phase, before it was known that
    they are of this one.
    """
    rows = await conn.fetch(
        "SELECT part, group_values, sum(quantity - quantity_before) AS units FROM advance_fee"
        " WHERE tenant_id = $1 AND subscription_id = $2 AND phase_number <> $3 AND meter_code = $4 AND NOT is_renewal"
        " AND event_time >= $5 AND event_time < $6 GROUP BY part, group_values",
        tenant_id,
        of.source.subscription_id,
        of.source.phase_number,
        of.charge.meter_code,
        of.period.start,
        of.period.end,
    )
    return {(row["part"], _group_in(row["group_values"])): row["units"] for row in rows}


async def move(conn: Conn, tenant_id: str, subscription_id: str, since: int, watermark: int) -> bool:
    """Whether the events up to `watermark` are this transaction's to charge: nobody has since `since`."""
    moved = await conn.fetchval(
        "UPDATE subscription SET charged_watermark = $4 WHERE tenant_id = $1 AND id = $2 AND charged_watermark = $3"
        " RETURNING true",
        tenant_id,
        subscription_id,
        since,
        watermark,
    )
    return moved is not None


async def insert(conn: Conn, tenant_id: str, fees: Iterable[AdvanceFee], now: datetime) -> None:
    await conn.executemany(
        "INSERT INTO advance_fee (tenant_id, subscription_id, phase_number, plan_code, plan_version, charge_code,"
        " transaction_id, sequence, event_time, period_start, period_end, part, group_values, quantity_before,"
        " quantity, description, currency, amount_minor, unrounded_amount, rating, watermark, tax_codes, meter_code,"
        " is_tax_inclusive, is_billed, create_time, is_regrouped) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
        " $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)",
        [
            (
                tenant_id,
                fee.of.source.subscription_id,
                fee.of.source.phase_number,
                fee.of.source.plan_code,
                fee.of.source.plan_version,
                fee.of.charge.code,
                fee.step.event.transaction_id,
                fee.step.event.sequence,
                fee.step.event.event_time,
                fee.of.period.start,
                fee.of.period.end,
                fee.step.event.part,
                json.dumps(fee.step.event.group),
                fee.step.before,
                fee.step.after,
                fee.name,
                fee.amount.currency,
                fee.amount.minor_units,
                fee.unrounded_amount,
                fee.rating,
                fee.watermark,
                fee.tax_codes,
                fee.of.charge.meter_code,
                fee.is_tax_inclusive,
                fee.of.charge.is_invoiceable or not fee.amount.minor_units,
                now,
                fee.of.charge.is_regrouped,
            )
            for fee in fees
        ],
    )


async def insert_renewals(conn: Conn, tenant_id: str, renewed: Iterable[Renewed], now: datetime) -> None:
    """Fees for units that are renewed, which wait to be paid."""
    await conn.executemany(
        "INSERT INTO advance_fee (tenant_id, subscription_id, phase_number, plan_code, plan_version, charge_code,"
        " transaction_id, sequence, event_time, period_start, period_end, part, group_values, quantity_before,"
        " quantity, description, currency, amount_minor, unrounded_amount, rating, watermark, tax_codes, meter_code,"
        " is_tax_inclusive, is_billed, create_time, is_regrouped, is_renewal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8,"
        " $9, $9, $10, $11, $12, 0, $13, $14, $15, $16, $17, $18, $8, $19, $20, $21, $22, $23, true, true)",
        [
            (
                tenant_id,
                *source_values(each.source),
                each.line.code,
                f"renewal/{each.line.period.start.isoformat()}/{each.part}/{json.dumps(each.group)}",
                each.line.watermark,
                each.line.period.start,
                each.line.period.end,
                each.part,
                json.dumps(each.group),
                each.units,
                each.line.description,
                each.line.amount.currency,
                each.line.amount.minor_units,
                each.line.unrounded_amount,
                each.line.rating,
                each.line.tax_codes,
                each.line.meter_code,
                each.line.is_tax_inclusive,
                not each.line.amount.minor_units,
                now,
            )
            for each in renewed
        ],
    )


async def put_on(conn: Conn, tenant_id: str, portions: Sequence[Portion]) -> list[Portion]:
    """The portions that settle a period, with the fees of their subscriptions that wait for an invoice."""
    settling = {
        each.settlement.source.subscription_id
        for each in portions
        if not (each.settlement.is_opening or each.settlement.is_addition)
    }
    rows = await conn.fetch(
        f"UPDATE advance_fee SET is_billed = true WHERE tenant_id = $1 AND subscription_id = ANY($2::text[])"  # noqa: S608
        f" AND NOT is_billed AND NOT is_regrouped RETURNING {LINE}, serial",
        tenant_id,
        list(settling),
    )
    waiting: dict[tuple[str, str], list[Line]] = {}
    for row in sorted(rows, key=lambda row: row["serial"]):
        waiting.setdefault((row["subscription_id"], row["currency"]), []).append(line_of(row))
    return [
        replace(
            each,
            lines=each.lines + tuple(waiting.pop((each.settlement.source.subscription_id, each.currency), ()))
            if not (each.settlement.is_opening or each.settlement.is_addition)
            else each.lines,
        )
        for each in portions
    ]


async def page(conn: Conn, tenant_id: str, subscription_id: str, page: Page) -> Sequence[Charged]:
    """In the order of recording; one more than the page has, if there is one."""
    rows = await conn.fetch(
        f"SELECT {LINE}, serial, event_time, quantity - quantity_before AS units, is_regrouped,"  # noqa: S608
        " paid_time, (SELECT l.invoice_id"
        "  FROM invoice_line l WHERE l.tenant_id = $1 AND l.subscription_id = $2 AND l.code = f.charge_code"
        "  AND l.watermark = f.watermark AND CASE WHEN f.is_renewal THEN l.kind = 'renewal' AND l.rating = f.rating"
        "   ELSE l.kind = 'advance_usage' AND l.transaction_id = f.transaction_id END LIMIT 1)"
        "  AS invoice_id"
        " FROM advance_fee f WHERE f.tenant_id = $1 AND f.subscription_id = $2 AND f.serial > $3"
        " ORDER BY f.serial LIMIT $4",
        tenant_id,
        subscription_id,
        int(page.after or 0),
        page.size + 1,
    )
    return [
        Charged(
            row["serial"],
            line_of(row),
            row["event_time"],
            row["units"],
            row["invoice_id"] or "",
            row["is_regrouped"],
            row["paid_time"],
        )
        for row in rows
    ]


def line_of(row: asyncpg.Record) -> Line:
    """Of a row with LINE."""
    return Line(
        LineKind.RENEWAL if row["is_renewal"] else LineKind.ADVANCE_USAGE,
        row["charge_code"],
        row["description"],
        Source(row["subscription_id"], row["phase_number"], row["plan_code"], row["plan_version"]),
        Period(row["period_start"], row["period_end"]),
        Money(row["amount_minor"], row["currency"]),
        row["unrounded_amount"],
        tuple(row["tax_codes"]),
        rating=row["rating"],
        watermark=row["watermark"],
        meter_code=row["meter_code"],
        is_tax_inclusive=row["is_tax_inclusive"],
        transaction_id=None if row["is_renewal"] else row["transaction_id"],
    )


def _group_in(values: str) -> Group:
    return tuple((name, value) for name, value in json.loads(values))
