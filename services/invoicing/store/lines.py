"""The lines and taxes of invoices."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing.domain.bill import Fee
from services.invoicing.domain.line import Line, LineKind, LineReference, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.proration import Proration
from services.invoicing.domain.tax import InvoiceTax

SOURCE = "subscription_id, phase_number, plan_code, plan_version"
_LINE = (
    f"kind, code, description, {SOURCE}, period_start, period_end, amount_minor, unrounded_amount, tax_codes,"
    " fee_minor, days, period_days, rating, watermark, prior_watermark, meter_code, is_tax_inclusive, units,"
    " unit_amount, is_adjusted, transaction_id, deducted_invoice_id, deducted_position,"
    " counted_apart_minor"
)


async def insert(conn: Conn, tenant_id: str, lines: Iterable[tuple[str, int, Line]]) -> None:
    """On drafts: (invoice's id, position, line)."""
    await copy(
        conn,
        "invoice_line",
        "tenant_id, invoice_id, position, kind, code, description, subscription_id, phase_number, plan_code,"
        " plan_version, period_start, period_end, amount_minor, unrounded_amount, tax_codes, fee_minor, days,"
        " period_days, rating, watermark, prior_watermark, meter_code, is_tax_inclusive, units, unit_amount,"
        " is_adjusted, transaction_id, deducted_invoice_id, deducted_position, counted_apart_minor",
        ((tenant_id, invoice_id, position, *_line_values(line)) for invoice_id, position, line in lines),
    )


async def insert_taxes(conn: Conn, tenant_id: str, taxes: Iterable[tuple[str, Sequence[InvoiceTax]]]) -> None:
    """On drafts: (invoice's id, its taxes)."""
    await copy(
        conn,
        "invoice_tax",
        "tenant_id, invoice_id, position, code, name, rate_percent, taxable_minor, amount_minor, unrounded_amount,"
        " is_included",
        (
            (
                tenant_id,
                invoice_id,
                position,
                tax.code,
                tax.name,
                tax.rate_percent,
                tax.taxable.minor_units,
                tax.amount.minor_units,
                tax.unrounded_amount,
                tax.is_included,
            )
            for invoice_id, its_taxes in taxes
            for position, tax in enumerate(its_taxes)
        ),
    )


async def delete(conn: Conn, tenant_id: str, invoice_ids: Sequence[str]) -> None:
    """All that are on drafts."""
    await conn.execute(
        "DELETE FROM invoice_line WHERE tenant_id = $1 AND invoice_id = ANY($2::text[])", tenant_id, invoice_ids
    )


async def fees(conn: Conn, tenant_id: str, currencies: Mapping[str, str]) -> Mapping[str, Sequence[Fee]]:
    """Of invoices, by the ids of `currencies`: what their totals are a matter of, in the order of their lines."""
    found: dict[str, list[Fee]] = {invoice_id: [] for invoice_id in currencies}
    for row in await conn.fetch(
        "SELECT invoice_id, amount_minor, tax_codes, is_tax_inclusive, plan_code, meter_code FROM invoice_line"
        " WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) ORDER BY invoice_id, position",
        tenant_id,
        list(currencies),
    ):
        invoice_id = row["invoice_id"]
        found[invoice_id].append(
            Fee(
                Money(row["amount_minor"], currencies[invoice_id]),
                tuple(row["tax_codes"]),
                row["is_tax_inclusive"],
                row["plan_code"] or "",
                row["meter_code"],
            )
        )
    return found


async def of_invoices(conn: Conn, tenant_id: str, currencies: Mapping[str, str]) -> Mapping[str, Sequence[Line]]:
    """By the ids of `currencies`."""
    found: dict[str, list[Line]] = {invoice_id: [] for invoice_id in currencies}
    for row in await conn.fetch(
        f"SELECT invoice_id, {_LINE} FROM invoice_line"  # noqa: S608
        " WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) ORDER BY invoice_id, position",
        tenant_id,
        list(currencies),
    ):
        found[row["invoice_id"]].append(_line(row, currencies[row["invoice_id"]]))
    return found


async def page(
    conn: Conn, tenant_id: str, invoice_id: str, currency: str, after: int, limit: int
) -> Sequence[tuple[int, Line]]:
    """(number, line) of up to `limit` lines with numbers above `after`, in order."""
    rows = await conn.fetch(
        f"SELECT position, {_LINE} FROM invoice_line"  # noqa: S608
        " WHERE tenant_id = $1 AND invoice_id = $2 AND position >= $3 ORDER BY position LIMIT $4",
        tenant_id,
        invoice_id,
        after,
        limit,
    )
    return [(row["position"] + 1, _line(row, currency)) for row in rows]


async def invoices_of(conn: Conn, tenant_id: str, source: Source, period: Period) -> Sequence[str]:
    """The ids of the invoices that have lines for a phase and period, which may have been cut, in order."""
    rows = await conn.fetch(
        "SELECT DISTINCT invoice_id FROM invoice_line WHERE tenant_id = $1 AND subscription_id = $2"
        " AND phase_number = $3 AND period_start = $4 ORDER BY invoice_id",
        tenant_id,
        source.subscription_id,
        source.phase_number,
        period.start,
    )
    return [row["invoice_id"] for row in rows]


async def fees_of(conn: Conn, tenant_id: str, subscription_id: str, phase_number: int, period: Period) -> Sequence[str]:
    """The ids of the invoices that have lines for a phase's base fee in a period, in order."""
    rows = await conn.fetch(
        "SELECT DISTINCT invoice_id FROM invoice_line WHERE tenant_id = $1 AND subscription_id = $2"
        " AND phase_number = $3 AND kind = 'base_fee' AND period_start < $5 AND period_end > $4 ORDER BY invoice_id",
        tenant_id,
        subscription_id,
        phase_number,
        period.start,
        period.end,
    )
    return [row["invoice_id"] for row in rows]


async def taxes(conn: Conn, tenant_id: str, currencies: Mapping[str, str]) -> Mapping[str, Sequence[InvoiceTax]]:
    """By the ids of `currencies`."""
    found: dict[str, list[InvoiceTax]] = {invoice_id: [] for invoice_id in currencies}
    for row in await conn.fetch(
        "SELECT invoice_id, code, name, rate_percent, taxable_minor, amount_minor, unrounded_amount,"
        " is_included FROM invoice_tax"
        " WHERE tenant_id = $1 AND invoice_id = ANY($2::text[]) ORDER BY invoice_id, position",
        tenant_id,
        list(currencies),
    ):
        found[row["invoice_id"]].append(_tax(row, currencies[row["invoice_id"]]))
    return found


async def copy(conn: Conn, table: str, columns: str, records: Iterable[tuple[Any, ...]]) -> None:
    """Insert many rows; `columns` are separated by ", "."""
    await conn.copy_records_to_table(table, records=records, columns=columns.split(", "))


def _line_values(line: Line) -> tuple[Any, ...]:
    part = line.proration
    return (
        line.kind,
        line.code,
        line.description,
        *(source_values(line.source) if line.source else (None, None, None, None)),
        line.period.start,
        line.period.end,
        line.amount.minor_units,
        line.unrounded_amount,
        line.tax_codes,
        part.fee.minor_units if part else None,
        part.days if part else None,
        part.period_days if part else None,
        line.rating,
        line.watermark,
        line.prior_watermark,
        line.meter_code,
        line.is_tax_inclusive,
        line.units,
        line.unit_amount,
        line.is_adjusted,
        line.transaction_id,
        *((line.deducts.invoice_id, line.deducts.position) if line.deducts else (None, None)),
        line.counted_apart.minor_units if line.counted_apart else None,
    )


def source_values(source: Source) -> tuple[Any, ...]:
    """In the order of SOURCE."""
    return source.subscription_id, source.phase_number, source.plan_code, source.plan_version


def source_of(row: asyncpg.Record) -> Source:
    """Of a row with SOURCE."""
    return Source(row["subscription_id"], row["phase_number"], row["plan_code"], row["plan_version"])


def _line(row: asyncpg.Record, currency: str) -> Line:
    fee, deducted, apart = row["fee_minor"], row["deducted_invoice_id"], row["counted_apart_minor"]
    return Line(
        kind=LineKind(row["kind"]),
        code=row["code"],
        description=row["description"],
        source=source_of(row) if row["subscription_id"] is not None else None,
        period=Period(row["period_start"], row["period_end"]),
        amount=Money(row["amount_minor"], currency),
        unrounded_amount=row["unrounded_amount"],
        tax_codes=tuple(row["tax_codes"]),
        proration=None if fee is None else Proration(Money(fee, currency), row["days"], row["period_days"]),
        rating=row["rating"],
        watermark=row["watermark"],
        prior_watermark=row["prior_watermark"],
        meter_code=row["meter_code"],
        is_tax_inclusive=row["is_tax_inclusive"],
        units=row["units"],
        unit_amount=row["unit_amount"],
        is_adjusted=row["is_adjusted"],
        transaction_id=row["transaction_id"],
        deducts=None if deducted is None else LineReference(deducted, row["deducted_position"]),
        counted_apart=None if apart is None else Money(apart, currency),
    )


def _tax(row: asyncpg.Record, currency: str) -> InvoiceTax:
    return InvoiceTax(
        code=row["code"],
        name=row["name"],
        rate_percent=row["rate_percent"],
        taxable=Money(row["taxable_minor"], currency),
        amount=Money(row["amount_minor"], currency),
        unrounded_amount=row["unrounded_amount"],
        is_included=row["is_included"],
    )
