"""`weir clock`."""

import asyncio
from pathlib import Path

from cli.commands.times import typed_time
from cli.connection import Connection, connected_to, new_request_id
from cli.events.instant import timestamp
from cli.output import as_dict, console, instant, print_json, state
from weir.invoicing.v1.invoicing_pb2 import (
    AdvanceClockRequest,
    BillingRun,
    Clock,
    CreateTestClockRequest,
    GetBillingRunRequest,
    GetClockRequest,
)

POLL_SECONDS = 0.1


async def show_clock(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        clock = (await services.invoicing.GetClock(GetClockRequest())).clock
    _print(clock, None, as_json=as_json)


async def create_clock(data: Path, at: str, *, as_json: bool) -> None:
    start = timestamp(typed_time(at, "--at"))
    async with connected_to(data) as services:
        request = CreateTestClockRequest(request_id=new_request_id(), start_time=start)
        clock = (await services.invoicing.CreateTestClock(request)).clock
    _print(clock, None, as_json=as_json)


async def advance_clock(data: Path, to: str, *, wait: bool, as_json: bool) -> None:
    target = timestamp(typed_time(to, "--to"))
    async with connected_to(data) as services:
        request = AdvanceClockRequest(request_id=new_request_id(), target_time=target)
        answer = await services.invoicing.AdvanceClock(request)
        run = await until_completed(services, answer.billing_run) if wait else answer.billing_run
    _print(answer.clock, run, as_json=as_json)


async def until_completed(services: Connection, run: BillingRun) -> BillingRun:
    """The run once nothing that was due is left; failures are retried by the worker, so this may take its time."""
    while run.state != BillingRun.STATE_COMPLETED:
        await asyncio.sleep(POLL_SECONDS)
        run = (await services.invoicing.GetBillingRun(GetBillingRunRequest(id=run.id))).billing_run
    return run


def _print(clock: Clock, run: BillingRun | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"clock": as_dict(clock)} | ({"billing_run": as_dict(run)} if run else {}))
        return
    console.print(f"{instant(clock.now)} ({state(Clock.Mode, clock.mode)} clock)")
    if run is None:
        return
    how_far = state(BillingRun.State, run.state)
    console.print(f"Billing run {run.id}: {how_far}, {run.finalized_count} invoices finalized, {run.due_count} due.")
    for failure in run.failures:
        again = instant(failure.retry_time)
        console.print(
            f"  {failure.subscription_id}: {failure.message} [{failure.reason}], again at {again}", markup=False
        )
