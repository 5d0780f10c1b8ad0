"""`weir usage`."""

from datetime import UTC, datetime
from pathlib import Path

from cli.commands.times import typed_time
from cli.connection import Connection, connected_to, pages
from cli.errors import CliError
from cli.events.instant import timestamp
from cli.output import as_dict, console, period, print_json, print_table, quantity
from weir.common.v1.money_pb2 import Period
from weir.invoicing.v1.invoicing_pb2 import GetClockRequest
from weir.metering.v1.metering_pb2 import GetUsageRequest, ListMetersRequest


async def show_usage(
    data: Path, subscription: str, meters: tuple[str, ...], start: str | None, end: str | None, *, as_json: bool
) -> None:
    async with connected_to(data) as services:
        begin = typed_time(start, "--from") if start else _month_start(await _now(services))
        finish = typed_time(end, "--to") if end else _next_month(begin)
        codes = meters or tuple(await _all_meters(services))
        if not codes:
            raise CliError("there are no meters yet: `weir apply` makes them")
        asked = Period(start_time=timestamp(begin), end_time=timestamp(finish))
        request = GetUsageRequest(subscription_id=subscription, meter_codes=codes, period=asked)
        found = await services.metering.GetUsage(request)
    if as_json:
        print_json({"subscription_id": subscription, "period": as_dict(asked), **as_dict(found)})
        return
    console.print(f"{subscription}, {period(asked)}, watermark {found.watermark}\n", markup=False)
    rows = [(each.meter_code, quantity(each.quantity), f"{each.event_count:,}") for each in found.usages]
    print_table(("meter", ">quantity", ">events"), rows, nothing="Nothing.")


async def _now(services: Connection) -> datetime:
    clock = (await services.invoicing.GetClock(GetClockRequest())).clock
    return clock.now.ToDatetime(UTC)


async def _all_meters(services: Connection) -> list[str]:
    found = await pages(lambda token: services.metering.ListMeters(ListMetersRequest(page_token=token)), "meters")
    return [meter.code for meter in found]


def _month_start(at: datetime) -> datetime:
    return datetime(at.year, at.month, 1, tzinfo=UTC)


def _next_month(at: datetime) -> datetime:
    months = at.year * 12 + at.month
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
