"""What invoices settle."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from libs.common.postgres import Conn
from services.invoicing.domain.period import Period
from services.invoicing.domain.settlement import Portion, SettledUsage, Settlement
from services.invoicing.store.lines import SOURCE, copy, source_of, source_values

_COLUMNS = (
    f"{SOURCE}, period_start, period_end, due_time, is_opening, fee_start, fee_end, usage_start, usage_end,"
    " is_addition, is_fixed"
)


async def insert(conn: Conn, tenant_id: str, portions: Iterable[tuple[str, Portion]]) -> None:
    """On drafts: (invoice's id, portion). Raises UniqueViolationError when something is settled already;
    `subscriptions.advance` rules that out.
    """
    await copy(
        conn,
        "invoice_settlement",
        f"tenant_id, invoice_id, {_COLUMNS}",
        ((tenant_id, invoice_id, *_values(portion.settlement)) for invoice_id, portion in portions),
    )


async def of_invoices(conn: Conn, tenant_id: str, invoice_ids: Iterable[str]) -> Mapping[str, Sequence[Settlement]]:
    """By invoice, in the order of their subscriptions and phases."""
    found: dict[str, list[Settlement]] = {invoice_id: [] for invoice_id in invoice_ids}
    for row in await conn.fetch(
        f"SELECT invoice_id, {_COLUMNS} FROM invoice_settlement WHERE tenant_id = $1 AND invoice_id = ANY($2::text[])"
        " ORDER BY invoice_id, subscription_id, phase_number, due_time, is_opening, is_addition",
        tenant_id,
        list(found),
    ):
        found[row["invoice_id"]].append(_settlement(row))
    return found


async def usage_of(conn: Conn, tenant_id: str, subscription_ids: Sequence[str]) -> Mapping[str, Sequence[SettledUsage]]:
    """By subscription, in the order of time."""
    found: dict[str, list[SettledUsage]] = {subscription_id: [] for subscription_id in subscription_ids}
    for row in await conn.fetch(
        f"SELECT {SOURCE}, usage_start, usage_end, CASE WHEN s.is_fixed THEN 0 ELSE i.watermark END AS watermark,"
        " CASE WHEN i.state = 'draft' AND i.regenerated_from IS NULL AND NOT s.is_fixed THEN i.id END AS draft_id"
        " FROM invoice_settlement s JOIN invoice i ON i.tenant_id = s.tenant_id AND i.id = s.invoice_id"
        " WHERE s.tenant_id = $1 AND s.subscription_id = ANY($2::text[]) AND usage_start IS NOT NULL AND NOT is_void"
        " ORDER BY subscription_id, phase_number, usage_start",
        tenant_id,
        subscription_ids,
    ):
        period = Period(row["usage_start"], row["usage_end"])
        found[row["subscription_id"]].append(SettledUsage(source_of(row), period, row["watermark"], row["draft_id"]))
    return found


def _values(of: Settlement) -> tuple[Any, ...]:
    """In the order of _COLUMNS."""
    return (
        *source_values(of.source),
        of.period.start,
        of.period.end,
        of.due_time,
        of.is_opening,
        *((of.fee.start, of.fee.end) if of.fee else (None, None)),
        *((of.usage.start, of.usage.end) if of.usage else (None, None)),
        of.is_addition,
        of.is_fixed,
    )


def _settlement(row: asyncpg.Record) -> Settlement:
    return Settlement(
        source_of(row),
        Period(row["period_start"], row["period_end"]),
        row["due_time"],
        row["is_opening"],
        Period(row["fee_start"], row["fee_end"]) if row["fee_start"] else None,
        Period(row["usage_start"], row["usage_end"]) if row["usage_start"] else None,
        row["is_addition"],
        row["is_fixed"],
    )
