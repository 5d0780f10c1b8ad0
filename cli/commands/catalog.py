"""`weir meters`, `weir plans`, `weir export` and `weir schema`."""

import json
from pathlib import Path
from typing import Any

from cli.catalog.applying import read_existing
from cli.catalog.exporting import catalog_text
from cli.catalog.kinds import METER, PLAN
from cli.catalog.messages import table_of
from cli.catalog.schema import published
from cli.connection import connected_to
from cli.output import print_list, print_table
from weir.pricing.v1.pricing_pb2 import Plan


async def export(data: Path, file: Path | None) -> None:
    async with connected_to(data) as services:
        text = catalog_text(await read_existing(services))
    if file is None:
        print(text, end="")
    else:
        file.write_text(text, encoding="utf-8")


def print_schema() -> None:
    print(json.dumps(published(), indent=2, ensure_ascii=False))


async def list_meters(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        meters = [messages[0] for messages in (await read_existing(services))[METER].values()]
    if as_json:
        print_list("meters", meters)
        return
    tables = [table_of(meter) for meter in meters]
    rows = [
        (each["code"], each["name"], each["aggregation"], each.get("value_property", "-"), each["event_code"])
        for each in tables
    ]
    print_table(("code", "name", "aggregation", "of", "events"), rows, nothing="No meters yet.")


async def list_plans(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        plans: list[Any] = [messages[0] for messages in (await read_existing(services))[PLAN].values()]
    if as_json:
        print_list("plans", plans)
        return
    columns = ("code", ">version", "name", "interval", ">base fee", "taxes", "charges")
    print_table(columns, [_plan_row(plan) for plan in plans], nothing="No plans yet.")


def _plan_row(plan: Plan) -> tuple[str, ...]:
    version = plan.latest_version
    table = table_of(version)
    base_fee = f"{table.get('base_fee', '0')} {version.currency_code}"
    taxes, charges = ", ".join(version.tax_codes), ", ".join(charge.code for charge in version.charges)
    interval = table["billing_interval"]
    return plan.code, str(version.version), plan.name, interval, base_fee, taxes or "-", charges or "-"
