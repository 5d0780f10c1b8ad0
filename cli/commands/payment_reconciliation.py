"""`weir payments reconcile` and `weir payments reconciliations`."""

import asyncio
from datetime import date, timedelta
from pathlib import Path

from google.type import date_pb2

from cli.connection import Connection, connected_to, new_request_id, pages
from cli.errors import CliError
from cli.output import as_dict, console, instant, print_json, print_list, print_table, state
from libs.common.clock import system_clock
from weir.payments.v1.reconciliations_pb2 import (
    CreateReconciliationRequest,
    GetReconciliationRequest,
    ListReconciliationDifferencesRequest,
    ListReconciliationsRequest,
    Reconciliation,
    ReconciliationDifference,
)

POLL_SECONDS = 0.1
WAIT_SECONDS = 600


async def reconcile(data: Path, account_id: str, text: str, *, as_json: bool) -> int:
    """Exit code 1 where something differs."""
    day = _typed_day(text) if text else system_clock().date() - timedelta(days=1)
    on = date_pb2.Date(year=day.year, month=day.month, day=day.day)
    async with connected_to(data) as services:
        request = CreateReconciliationRequest(request_id=new_request_id(), processor_account_id=account_id, day=on)
        await services.payment_reconciliations.CreateReconciliation(request)
        done = await _done(services, account_id, on)
        found = await pages(
            lambda token: services.payment_reconciliations.ListReconciliationDifferences(
                ListReconciliationDifferencesRequest(processor_account_id=account_id, day=on, page_token=token)
            ),
            "differences",
        )
    if as_json:
        print_json({"reconciliation": as_dict(done), "differences": [as_dict(each) for each in found]})
    else:
        counts = f"{done.charge_count} charges, {done.refund_count} refunds and {done.payout_count} payouts"
        console.print(f"{account_id} on {day}: {counts} at the processor.\n", markup=False)
        rows = [_row(each) for each in found]
        print_table(
            ("difference", "their id", "ours", "here", "there", "likely cause"), rows, nothing="No differences."
        )
    return 1 if found else 0


async def _done(services: Connection, account_id: str, day: date_pb2.Date) -> Reconciliation:
    request = GetReconciliationRequest(processor_account_id=account_id, day=day)
    found = Reconciliation()
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while found.state != Reconciliation.STATE_DONE:
                await asyncio.sleep(POLL_SECONDS)
                found = (await services.payment_reconciliations.GetReconciliation(request)).reconciliation
                if found.error:
                    raise CliError(f"{found.error}; the worker tries again")
    except TimeoutError:
        raise CliError(
            f"gave up after {WAIT_SECONDS} s; `weir payments reconciliations` shows when it is done"
        ) from None
    return found


async def list_reconciliations(data: Path, account_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.payment_reconciliations.ListReconciliations(
                ListReconciliationsRequest(processor_account_id=account_id, page_token=token)
            ),
            "reconciliations",
        )
    if as_json:
        print_list("reconciliations", found)
        return
    columns = ("day", "state", ">charges", ">refunds", ">payouts", ">differences", "ended")
    print_table(columns, [_day_row(each) for each in found], nothing="No day has been compared yet.")


def _day_row(each: Reconciliation) -> tuple[str, ...]:
    counts = each.charge_count, each.refund_count, each.payout_count, each.difference_count
    return (
        f"{each.day.year}-{each.day.month:02}-{each.day.day:02}",
        state(Reconciliation.State, each.state),
        *map(str, counts),
        instant(each.end_time) if each.HasField("end_time") else each.error,
    )


def _row(each: ReconciliationDifference) -> tuple[str, ...]:
    kind = state(ReconciliationDifference.Kind, each.kind).replace("_", " ")
    return kind, each.reference, each.name, each.here, each.there, each.likely_cause


def _typed_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CliError(f"--day is a date like 2026-11-20, not {text!r}") from None
