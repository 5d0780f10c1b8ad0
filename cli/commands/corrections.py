"""`weir backfill` and `weir amend`."""

from collections.abc import Sequence
from datetime import UTC, timedelta
from pathlib import Path

from cli.commands.times import typed_time
from cli.connection import Connection, connected_to, new_request_id, pages
from cli.errors import CliError, WrongUsage
from cli.events.instant import timestamp
from cli.output import as_dict, console, instant, print_json, print_list, print_table, state
from weir.metering.v1.corrections_pb2 import (
    AmendEventsRequest,
    Backfill,
    CloseBackfillRequest,
    EventChange,
    ListBackfillsRequest,
    OpenBackfillRequest,
    RevertBackfillRequest,
)
from weir.metering.v1.metering_pb2 import Event, ListEventsRequest, RecordedEvent


async def open_backfill(data: Path, reason: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = OpenBackfillRequest(request_id=new_request_id(), reason=reason)
        made = (await services.corrections.OpenBackfill(request)).backfill
    _print(made, as_json=as_json)


async def close_backfill(data: Path, backfill_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = CloseBackfillRequest(request_id=new_request_id(), backfill_id=backfill_id)
        closed = (await services.corrections.CloseBackfill(request)).backfill
    _print(closed, as_json=as_json)


async def revert_backfill(data: Path, backfill_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = RevertBackfillRequest(request_id=new_request_id(), backfill_id=backfill_id)
        reverted = (await services.corrections.RevertBackfill(request)).backfill
    _print(reverted, as_json=as_json)


async def list_backfills(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.corrections.ListBackfills(ListBackfillsRequest(page_token=token)), "backfills"
        )
    if as_json:
        print_list("backfills", found)
        return
    rows = [
        (each.id, state(Backfill.State, each.state), f"{each.event_count:,}", instant(each.create_time), each.reason)
        for each in found
    ]
    print_table(("id", "state", ">events", "opened", "reason"), rows, nothing="No backfills yet.")


async def amend_event(
    data: Path,
    subscription: str,
    transaction_id: str,
    reason: str,
    properties: Sequence[str],
    happened: str | None,
    at: str | None,
    *,
    deprecate: bool,
    as_json: bool,
) -> None:
    if deprecate == bool(properties or happened):
        raise WrongUsage("say what should be, with --set or --timestamp, or --deprecate")
    async with connected_to(data) as services:
        known = await _find(services, subscription, transaction_id, at)
        change = EventChange(
            subscription_id=subscription,
            transaction_id=transaction_id,
            timestamp=known.event.timestamp,
            expected_amendment_id=known.amendment_id,
            replacement=None if deprecate else _replacement(known.event, properties, happened),
            reason=reason,
        )
        request = AmendEventsRequest(request_id=new_request_id(), changes=[change])
        answer = await services.corrections.AmendEvents(request)
    for failure in answer.failures:
        raise CliError(f"{failure.message} [{failure.reason}]")
    [made] = answer.amendments
    if as_json:
        print_json({"amendment": as_dict(made)})
    else:
        console.print(f"{'Deprecated' if deprecate else 'Replaced'} {transaction_id}: {made.id}.", markup=False)


async def _find(services: Connection, subscription: str, transaction_id: str, at: str | None) -> RecordedEvent:
    """The event as it stands."""
    request = ListEventsRequest(subscription_id=subscription, page_size=500)
    if at is not None:
        start = typed_time(at, "--at")
        request.start_time.CopyFrom(timestamp(start))
        request.end_time.CopyFrom(timestamp(start + timedelta(microseconds=1)))
    while True:
        page = await services.metering.ListEvents(request)
        for each in page.events:
            if each.event.transaction_id == transaction_id:
                return each
        if not page.next_page_token:
            raise CliError(f"{subscription} has no event {transaction_id}{f' at {at}' if at else ''}")
        request.page_token, request.watermark = page.next_page_token, page.watermark


def _replacement(event: Event, properties: Sequence[str], happened: str | None) -> Event:
    made = Event()
    made.CopyFrom(event)
    for text in properties:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise WrongUsage(f"--set {text}: expected NAME=VALUE")
        if value:
            made.properties[name] = value
        else:
            made.properties.pop(name, None)
    if happened:
        made.timestamp.CopyFrom(timestamp(typed_time(happened, "--timestamp").astimezone(UTC)))
    return made


def _print(backfill: Backfill, *, as_json: bool) -> None:
    if as_json:
        print_json({"backfill": as_dict(backfill)})
        return
    how = state(Backfill.State, backfill.state)
    console.print(f"Backfill {backfill.id} is {how}; {backfill.event_count:,} events.", markup=False)
