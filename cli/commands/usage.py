"""`weir usage`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli.commands.times import typed_time
from cli.connection import Connection, connected_to, pages
from cli.errors import CliError
from cli.events.instant import timestamp
from cli.output import as_dict, console, period, print_json, print_table, quantity, table
from libs.common.errors import Unavailable
from libs.common.rpc.client import typed_errors
from weir.common.v1.money_pb2 import Period
from weir.invoicing.v1.invoicing_pb2 import GetClockRequest
from weir.metering.v1.metering_pb2 import (
    GetUsageRequest,
    GetUsageResponse,
    ListMetersRequest,
    StreamUsageRequest,
    StreamUsageResponse,
)

Found: TypeAlias = GetUsageResponse | StreamUsageResponse

COLUMNS = ("meter", ">quantity", ">events")


RECONNECT_SECONDS = 1.0


async def show_usage(
    data: Path, subscription: str, meters: tuple[str, ...], start: str | None, end: str | None, *, as_json: bool
) -> None:
    async with connected_to(data) as services:
        request = await _request(services, subscription, meters, start, end)
        found = await services.metering.GetUsage(request)
    if as_json:
        print_json(_document(request, found))
        return
    _print(request, found)


async def follow_usage(
    data: Path, subscription: str, meters: tuple[str, ...], start: str | None, end: str | None, *, as_json: bool
) -> None:
    """Until it is cancelled. On a terminal the table changes in place; a server that stops is asked again."""
    async with connected_to(data) as services, AsyncExitStack() as stack:
        request = await _request(services, subscription, meters, start, end)
        live = Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
        if live:
            stack.enter_context(live)
        async for found in _answers(services, StreamUsageRequest(query=request)):
            if as_json:
                print(json.dumps(_document(request, found)), flush=True)
            elif live:
                live.update(Group(Text(_title(request, found)), "", table(COLUMNS, _rows(found))), refresh=True)
            else:
                _print(request, found)


async def _answers(services: Connection, request: StreamUsageRequest) -> AsyncIterator[StreamUsageResponse]:
    """Never ends. The first answer must come; after it, a server that is away is waited for."""
    answered = False
    while True:
        try:
            with typed_errors():
                async for found in services.usage_streams.StreamUsage(request):
                    answered = True
                    yield found
        except Unavailable:
            if not answered:
                raise
        await asyncio.sleep(RECONNECT_SECONDS)


async def _request(
    services: Connection, subscription: str, meters: tuple[str, ...], start: str | None, end: str | None
) -> GetUsageRequest:
    begin = typed_time(start, "--from") if start else _month_start(await _now(services))
    finish = typed_time(end, "--to") if end else _next_month(begin)
    codes = meters or tuple(await _all_meters(services))
    if not codes:
        raise CliError("there are no meters yet: `weir apply` makes them")
    asked = Period(start_time=timestamp(begin), end_time=timestamp(finish))
    return GetUsageRequest(subscription_id=subscription, meter_codes=codes, period=asked)


def _print(request: GetUsageRequest, found: Found) -> None:
    console.print(_title(request, found) + "\n", markup=False)
    print_table(COLUMNS, _rows(found), nothing="Nothing.")


def _document(request: GetUsageRequest, found: Found) -> dict[str, Any]:
    return {"subscription_id": request.subscription_id, "period": as_dict(request.period), **as_dict(found)}


def _title(request: GetUsageRequest, found: Found) -> str:
    return f"{request.subscription_id}, {period(request.period)}, watermark {found.watermark}"


def _rows(found: Found) -> list[tuple[str, str, str]]:
    return [(each.meter_code, quantity(each.quantity), f"{each.event_count:,}") for each in found.usages]


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
