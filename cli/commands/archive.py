"""`weir archive`."""

import asyncio
from pathlib import Path

from cli.connection import Connection, connected_to, pages
from cli.output import as_dict, instant, print_json, print_list, print_table, state
from weir.metering.v1.archive_pb2 import ArchivedMonth, ListArchivedMonthsRequest, RestoreMonthRequest

POLL_SECONDS = 1


async def list_months(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await _months(services)
    if as_json:
        print_list("months", found)
    else:
        _print(found)


async def restore(data: Path, month: str, hold_days: int, *, wait: bool, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = RestoreMonthRequest(month=month, hold_days=hold_days)
        found = (await services.archive.RestoreMonth(request)).month
        while wait and found.state == ArchivedMonth.STATE_RESTORING:
            await asyncio.sleep(POLL_SECONDS)
            found = next(each for each in await _months(services) if each.month == month)
    if as_json:
        print_json(as_dict(found))
    else:
        _print([found])


async def _months(services: Connection) -> list[ArchivedMonth]:
    return await pages(
        lambda token: services.archive.ListArchivedMonths(ListArchivedMonthsRequest(page_token=token)), "months"
    )


def _print(months: list[ArchivedMonth]) -> None:
    rows = [
        (
            each.month,
            state(ArchivedMonth.State, each.state),
            ", ".join(state(ArchivedMonth.Obstacle, one).replace("_", " ") for one in each.obstacles) or "-",
            f"{each.event_count:,}",
            str(len(each.locations)),
            instant(each.archive_time),
            instant(each.hold_end_time),
        )
        for each in months
    ]
    columns = ("month", "state", "obstacles", ">events", ">files", "archived", "held until")
    print_table(columns, rows, nothing="No month is old enough.")
