"""`weir clock`."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from cli.commands.times import typed_time
from cli.connection import Connection, connected_to, new_request_id
from cli.events.instant import timestamp
from cli.output import as_dict, console, instant, print_json, state
from weir.invoicing.v1.invoicing_pb2 import (
    AdvanceClockRequest,
    BillingRun,
    BillingStep,
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


async def advance_clock(data: Path, to: str, *, wait: bool, as_json: bool) -> int:
    """Exit code 1 where a subscription could not be billed."""
    target = timestamp(typed_time(to, "--to"))
    taken: list[BillingStep] = []
    async with connected_to(data) as services:
        request = AdvanceClockRequest(request_id=new_request_id(), target_time=target)
        answer = await services.invoicing.AdvanceClock(request)
        clock, run = answer.clock, answer.billing_run
        if wait:
            async for latest, steps in _walk(services, run.id):
                run = latest
                taken += steps
                if not as_json:
                    _print_steps(steps)
            clock = (await services.invoicing.GetClock(GetClockRequest())).clock
    _print(clock, run, taken, as_json=as_json)
    return 1 if wait and run.failures else 0


async def _walk(services: Connection, run_id: str) -> AsyncIterator[tuple[BillingRun, list[BillingStep]]]:
    """The run and the steps that it has finished since, until it is completed or nothing but failures is left."""
    request = GetBillingRunRequest(id=run_id)
    while True:
        answer = await services.invoicing.GetBillingRun(request)
        run, steps = answer.billing_run, list(answer.steps)
        finished = steps if run.drained else steps[:-1]
        yield run, finished
        if finished:
            request.steps_after_time.CopyFrom(finished[-1].step_time)
        elif run.state == BillingRun.STATE_COMPLETED or (run.drained and run.due_count):
            return
        else:
            await asyncio.sleep(POLL_SECONDS)


def _print_steps(steps: Iterable[BillingStep]) -> None:
    for step in steps:
        failed = f", {step.failed_count} could not be billed" if step.failed_count else ""
        console.print(f"{instant(step.step_time)}: {step.made_count} made, {step.finalized_count} finalized{failed}")


def _print(clock: Clock, run: BillingRun | None, steps: Sequence[BillingStep] = (), *, as_json: bool) -> None:
    if as_json:
        of_run = {"billing_run": as_dict(run), "steps": [as_dict(step) for step in steps]} if run else {}
        print_json({"clock": as_dict(clock)} | of_run)
        return
    going = f", going to {instant(clock.target_time)}" if clock.HasField("target_time") else ""
    console.print(f"{instant(clock.now)} ({state(Clock.Mode, clock.mode)} clock{going})")
    if run is None:
        return
    how_far = state(BillingRun.State, run.state)
    console.print(f"Billing run {run.id}: {how_far}, {run.finalized_count} invoices finalized, {run.due_count} due.")
    for failure in run.failures:
        again = instant(failure.retry_time)
        console.print(
            f"  {failure.subscription_id}: {failure.message} [{failure.reason}], again at {again}", markup=False
        )
