"""The estimates of `bench.rating`: calls at fixed times, whatever became of the ones before them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from bench.together import Together, together
from libs.common.rpc.client import channel
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.pricing.v1 import estimation_pb2, pricing_pb2
from weir.pricing.v1.estimation_pb2_grpc import EstimationServiceStub
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.estimation_pb2_grpc import EstimationServiceAsyncStub

CALLS_PER_S = 1_000
SECONDS = 20
WARM_UP_S = 3
PLAN = "bench"
TOKENS = ("input_tokens", "output_tokens")

Call = Callable[[int], Awaitable[object]]


async def estimate_ms(version: pricing_pb2.PlanVersion) -> tuple[list[float], list[float]]:
    """Milliseconds of EstimateEvent and of Estimate, by call, from when each was due."""
    async with together() as running:
        await _prepare(running, version)
        process = running.processes["pricing"]
        async with channel(process.target, process.api_key) as opened:
            estimation = EstimationServiceStub(opened)
            return await _milliseconds(_event(estimation)), await _milliseconds(_usage(estimation))


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
