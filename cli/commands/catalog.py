"""`weir meters` and `weir plans`."""

from pathlib import Path

from cli.catalog.applying import read_existing
from cli.catalog.difference import meter_fields, plan_fields
from cli.catalog.reader import PlanSource
from cli.connection import connected_to
from cli.output import print_list, print_table
from weir.pricing.v1.pricing_pb2 import Plan


async def list_meters(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        meters = list((await read_existing(services)).meters.values())
    if as_json:
        print_list("meters", meters)
        return
    fields = [meter_fields(meter) for meter in meters]
    rows = [
        (meter.code, each["name"], each["aggregation"], each["value_property"] or "-", each["event_code"])
        for meter, each in zip(meters, fields, strict=True)
    ]
    print_table(("code", "name", "aggregation", "of", "events"), rows, nothing="No meters yet.")


async def list_plans(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        plans = list((await read_existing(services)).plans.values())
    if as_json:
        print_list("plans", plans)
        return
    columns = ("code", ">version", "name", "interval", ">base fee", "taxes", "charges")
    print_table(columns, [_plan_row(plan) for plan in plans], nothing="No plans yet.")


def _plan_row(plan: Plan) -> tuple[str, ...]:
    version = plan.latest_version
    fields = plan_fields(PlanSource(plan, version))
    base_fee = f"{fields['base_fee']} {version.currency_code}"
    interval, taxes, charges = fields["billing_interval"], fields["tax_codes"], fields["charges"]
    return plan.code, str(version.version), plan.name, interval, base_fee, taxes or "-", charges or "-"
