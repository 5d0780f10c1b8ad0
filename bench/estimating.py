"""The estimates of `bench.rating`: calls at fixed times, whatever became of the ones before them."""

import asyncio
import gc
import selectors
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from bench.stack import Process, echo, processor_seconds
from bench.together import Together, together
from libs.common.rpc.client import channel
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.pricing.v1 import estimation_pb2, pricing_pb2
from weir.pricing.v1.estimation_pb2_grpc import EstimationServiceStub
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub
    from weir.pricing.v1.estimation_pb2_grpc import EstimationServiceAsyncStub

CALLS_PER_S = 1_000
SECONDS = 20
WARM_UP_S = 3
PLAN = "bench"
TOKENS = ("input_tokens", "output_tokens")

Call = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Called:
    """Milliseconds of each call, from when it was due; what one takes of the server's processor time."""

    ms: list[float]
    server_us: float


@dataclass(frozen=True, slots=True)
class Estimated:
    """EstimateEvent, Estimate, and calls of a server that answers at once: what gRPC and the caller take of them."""

    event: Called
    usage: Called
    echo: Called


def punctual_loop() -> asyncio.AbstractEventLoop:
    """Whose sleeps end to the microsecond: epoll, which asyncio chooses, wakes at the end of a millisecond."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def estimate(version: pricing_pb2.PlanVersion) -> Estimated:
    """In a `punctual_loop`."""
    async with together() as running, echo() as bare:
        await _prepare(running, version)
        process = running.processes["pricing"]
        async with channel(process.target, process.api_key) as opened, channel(bare.target) as beside:
            estimation = EstimationServiceStub(opened)
            return Estimated(
                event=await _called(_event(estimation), process),
                usage=await _called(_usage(estimation), process),
                echo=await _called(_echo(MeteringServiceStub(beside)), bare),
            )


async def _prepare(running: Together, version: pricing_pb2.PlanVersion) -> None:
    process = running.processes["metering"]
    async with channel(process.target, process.api_key) as opened:
        for charge in version.charges:
            is_sum = charge.meter_code in TOKENS
            meter = metering_pb2.Meter(
                code=charge.meter_code,
                event_code="llm_request" if is_sum else charge.meter_code,
                aggregation=metering_pb2.Meter.AGGREGATION_SUM if is_sum else metering_pb2.Meter.AGGREGATION_COUNT,
                value_property=charge.meter_code if is_sum else "",
            )
            request = metering_pb2.CreateMeterRequest(request_id=str(uuid4()), meter=meter)
            await MeteringServiceStub(opened).CreateMeter(request)
    process = running.processes["pricing"]
    async with channel(process.target, process.api_key) as opened:
        plan = pricing_pb2.Plan(code=PLAN, name="Bench")
        made = pricing_pb2.CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
        await PricingServiceStub(opened).CreatePlan(made)


def _used(number: int) -> list[pricing_pb2.ChargeQuantity]:
    return [pricing_pb2.ChargeQuantity(charge_code=code, quantity=f"{999_000 + number}") for code in TOKENS]


def _event(estimation: "EstimationServiceAsyncStub") -> Call:
    async def call(number: int) -> None:
        request = estimation_pb2.EstimateEventRequest(
            plan_code=PLAN,
            version=1,
            code="llm_request",
            properties={"input_tokens": f"{number}", "output_tokens": "500", "model": "large"},
            used=_used(number),
        )
        if len((await estimation.EstimateEvent(request)).costs) != len(TOKENS):
            raise RuntimeError("an estimate lacks a charge")

    return call


def _usage(estimation: "EstimationServiceAsyncStub") -> Call:
    async def call(number: int) -> None:
        request = estimation_pb2.EstimateRequest(plan_code=PLAN, version=1, used=_used(number), added=_used(5))
        await estimation.Estimate(request)

    return call


def _echo(metering: "MeteringServiceAsyncStub") -> Call:
    async def call(number: int) -> None:
        await metering.IngestEvents(metering_pb2.IngestEventsRequest())

    return call


async def _called(call: Call, process: Process) -> Called:
    gc.collect()
    gc.freeze()  # or a collection of all that this process has imported delays what is due meanwhile
    used = processor_seconds(process.pid)
    ms = await _milliseconds(call)
    used = processor_seconds(process.pid) - used
    return Called(ms, used / ((WARM_UP_S + SECONDS) * CALLS_PER_S) * 1e6)


async def _milliseconds(call: Call) -> list[float]:
    found: list[float] = []

    async def timed(number: int, due: float) -> None:
        await call(number)
        if number >= WARM_UP_S * CALLS_PER_S:
            found.append((time.perf_counter() - due) * 1000)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as calls:
        for number in range((WARM_UP_S + SECONDS) * CALLS_PER_S):
            due = begin + number / CALLS_PER_S
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            calls.create_task(timed(number, due))
    return found
