"""`weir clock`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cli.billing_walk import walked
from cli.commands.billing_runs import print_run
from cli.commands.times import typed_time
from cli.connection import connected_to, new_request_id
from cli.events.instant import timestamp
from cli.output import as_dict, console, instant, print_json, state
from weir.invoicing.v1.invoicing_pb2 import (
    AdvanceClockRequest,
    BillingRun,
    BillingStep,
    Clock,
    CreateTestClockRequest,
    GetClockRequest,
)

POLL_SECONDS = 0.1


async def show_clock(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        clock = (await services.invoicing.GetClock(GetClockRequest())).clock
    _print(clock, None, as_json=as_json)


async def create_clock(data: Path, time: str, *, as_json: bool) -> None:
    start = timestamp(typed_time(time, "TIME"))
    async with connected_to(data) as services:
        request = CreateTestClockRequest(request_id=new_request_id(), start_time=start)
        clock = (await services.invoicing.CreateTestClock(request)).clock
    _print(clock, None, as_json=as_json)


async def advance_clock(data: Path, time: str, *, wait: bool, as_json: bool) -> int:
    """Exit code 1 where a subscription could not be billed."""
    target = timestamp(typed_time(time, "TIME"))
    taken: list[BillingStep] = []
    async with connected_to(data) as services:
        request = AdvanceClockRequest(request_id=new_request_id(), target_time=target)
        answer = await services.invoicing.AdvanceClock(request)
        clock, run = answer.clock, answer.billing_run
        if wait:
            async for latest, steps in walked(services, run.id, POLL_SECONDS):
                run = latest
                taken += steps
                if not as_json:
                    _print_steps(steps)
            clock = (await services.invoicing.GetClock(GetClockRequest())).clock
    _print(clock, run, taken, as_json=as_json)
    return 1 if wait and run.failures else 0


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
    if run is not None:
        print_run(run)
