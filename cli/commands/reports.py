"""`weir report`."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from cli.commands.bars import bars
from cli.commands.ledger import iso, typed_day
from cli.connection import connected_to
from cli.errors import WrongUsage
from cli.output import amount, as_dict, console, print_json, print_table, print_whole
from libs.common.money import Money
from weir.common.v1 import money_pb2
from weir.invoicing.v1.analytics_pb2 import (
    Ageing,
    GetMonthlyRecurringRevenueRequest,
    GetOverdueAgeingRequest,
    GetRevenueRequest,
    MonthlyRevenue,
    RecurringRevenue,
)

REVENUE = ("gross", "discounts", "credited", "voided", "net")
MRR = ("mrr", "new", "reactivation", "expansion", "contraction", "churn")
BUCKETS = {
    "not_due": "not due",
    "days_1_to_30": "1-30 days",
    "days_31_to_60": "31-60 days",
    "days_61_to_90": "61-90 days",
    "over_90_days": "over 90 days",
}
AGEING = (*BUCKETS, "overdue", "total")
NOTHING_OWED = "Nobody owes anything."


async def show_revenue(data: Path, first: str, last: str, *, as_csv: bool, as_json: bool) -> None:
    _require_one(as_csv=as_csv, as_json=as_json)
    request = GetRevenueRequest(start_date=typed_day(first, "FIRST_DAY"), end_date=typed_day(last, "LAST_DAY"))
    async with connected_to(data) as services:
        found = await services.analytics.GetRevenue(request)
    if as_json:
        print_json(as_dict(found))
    else:
        _show_months(found.months, REVENUE, as_csv=as_csv, charted="net", nothing="Nothing was invoiced.")


async def show_mrr(data: Path, first: str, last: str, *, as_csv: bool, as_json: bool) -> None:
    _require_one(as_csv=as_csv, as_json=as_json)
    request = GetMonthlyRecurringRevenueRequest(
        start_date=typed_day(first, "FIRST_DAY"), end_date=typed_day(last, "LAST_DAY")
    )
    async with connected_to(data) as services:
        found = await services.analytics.GetMonthlyRecurringRevenue(request)
    if as_json:
        print_json(as_dict(found))
    else:
        _show_months(found.months, MRR, as_csv=as_csv, charted="mrr", nothing="Nothing recurs.")


async def show_ageing(data: Path, day: str, customers: int, *, as_csv: bool, as_json: bool) -> None:
    _require_one(as_csv=as_csv, as_json=as_json)
    request = GetOverdueAgeingRequest(date=typed_day(day, "DAY") if day else None, customer_count=customers)
    async with connected_to(data) as services:
        found = await services.analytics.GetOverdueAgeing(request)
    if as_json:
        print_json(as_dict(found))
        return
    owed = [*(("", each) for each in found.totals), *((each.customer_id, each.ageing) for each in found.customers)]
    if as_csv:
        cells = [(name, each.total.currency_code, *_numbers(each, AGEING)) for name, each in owed]
        _write_csv(("customer_id", "currency", *AGEING), cells)
        return
    console.print(f"owed at the end of {iso(found.date)}", style="bold", markup=False)
    names = [f">{BUCKETS.get(each, each)}" for each in AGEING]
    rows = [(name or "all", *_amounts(each, AGEING)) for name, each in owed]
    print_table(("customer", *names), rows, nothing=NOTHING_OWED)
    for total in found.totals:
        console.print(f"\n{total.total.currency_code}", style="bold", markup=False)
        values: list[tuple[str, money_pb2.Money]] = [(name, getattr(total, bucket)) for bucket, name in BUCKETS.items()]
        print_whole(bars([(name, value.minor_units, amount(value)) for name, value in values]))


def _require_one(*, as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise WrongUsage("--csv and --json: only one of them")


def _show_months(
    months: Sequence[MonthlyRevenue] | Sequence[RecurringRevenue],
    fields: Sequence[str],
    *,
    as_csv: bool,
    charted: str,
    nothing: str,
) -> None:
    """A table of `fields` by month, and bars of the `charted` one in each currency; or CSV."""
    if as_csv:
        cells = [(_month(each), _charted(each, charted).currency_code, *_numbers(each, fields)) for each in months]
        _write_csv(("month", "currency", *fields), cells)
        return
    rows = [(_month(each), *_amounts(each, fields)) for each in months]
    print_table(("month", *(f">{each}" for each in fields)), rows, nothing=nothing)
    values: dict[str, list[tuple[str, int, str]]] = {}
    for each in months:
        value = _charted(each, charted)
        values.setdefault(value.currency_code, []).append((_month(each), value.minor_units, amount(value)))
    for currency, its in sorted(values.items()):
        console.print(f"\n{charted}, {currency}", style="bold", markup=False)
        print_whole(bars(its))


def _charted(message: MonthlyRevenue | RecurringRevenue, field: str) -> money_pb2.Money:
    value: money_pb2.Money = getattr(message, field)
    return value


def _month(revenue: MonthlyRevenue | RecurringRevenue) -> str:
    return f"{revenue.month.year}-{revenue.month.month:02}"


def _amounts(message: MonthlyRevenue | RecurringRevenue | Ageing, fields: Sequence[str]) -> list[str]:
    return [amount(getattr(message, field)) for field in fields]


def _numbers(message: MonthlyRevenue | RecurringRevenue | Ageing, fields: Sequence[str]) -> list[str]:
    values: list[money_pb2.Money] = [getattr(message, field) for field in fields]
    return [f"{Money(each.minor_units, each.currency_code).amount:f}" for each in values]


def _write_csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    written = csv.writer(sys.stdout, lineterminator="\n")
    written.writerow(columns)
    written.writerows(rows)
