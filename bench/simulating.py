"""The simulation of `bench.rating`: a month of many subscriptions, with usage of five meters each.

Subscriptions and events are made in the databases, as the services would have recorded them. Each subscription has ten
events, five in the month; how many there are makes no difference, since they are read as one bucket.
"""

import time
from dataclasses import dataclass
from datetime import date
from uuid import uuid4

import asyncpg
from google.type.date_pb2 import Date

from bench.subscribing import subscribe
from bench.together import Together, together
from bench.usage import METERS, create_meters, fold_all, make_events
from libs.common.rpc.client import channel, typed_errors
from services.metering import store
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.pricing.v1 import pricing_pb2, simulation_pb2
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from weir.pricing.v1.simulation_pb2_grpc import SimulationServiceStub

EVENTS_EACH = 10
NOVEMBER = Date(year=2023, month=11)


@dataclass(frozen=True, slots=True)
class Simulated:
    seconds: float
    rss_mb: float


async def simulate(subscriptions: int) -> Simulated:
    async with together() as running:
        await make_plans(running)
        await make_usage(running, subscriptions)
        await subscribe(running.dsns["invoicing"], subscriptions)
        seconds = await _seconds(running, subscriptions)
        return Simulated(seconds, running.processes["pricing"].peak_rss_mb)


async def _seconds(running: Together, subscriptions: int) -> float:
    process = running.processes["pricing"]
    candidate = simulation_pb2.PlanVersionName(plan_code="modern")
    request = simulation_pb2.SimulateRequest(month=NOVEMBER, candidates=[candidate])
    async with channel(process.target, process.api_key) as opened:
        begin = time.perf_counter()
        count = 0
        with typed_errors():
            async for part in SimulationServiceStub(opened).Simulate(request):
                count += len(part.changes)
                sums = part.simulation
        seconds = time.perf_counter() - begin
    outcome = sums.after[0]
    if count != sums.subscription_count or count != subscriptions or not outcome.less_count + outcome.more_count:
        raise RuntimeError(f"{subscriptions} subscriptions were simulated as {sums}")
    return seconds


async def make_plans(running: Together) -> None:
    process = running.processes["pricing"]
    async with channel(process.target, process.api_key) as opened:
        for code, price in (("classic", "0.01"), ("modern", "0.009")):
            charges = [_charge(meter, index, price) for index, meter in enumerate(METERS)]
            version = pricing_pb2.PlanVersion(
                currency_code="USD",
                billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY,
                charges=charges,
            )
            plan = pricing_pb2.Plan(code=code, name=code)
            request = pricing_pb2.CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
            await PricingServiceStub(opened).CreatePlan(request)


def _charge(meter: str, index: int, price: str) -> pricing_pb2.Charge:
    """Of three charge models in turn."""
    charge = pricing_pb2.Charge(code=meter, meter_code=meter)
    tiers = [pricing_pb2.PriceTier(up_to="10000", unit_price=price), pricing_pb2.PriceTier(unit_price="0.005")]
    match index % 3:
        case 0:
            charge.standard.unit_price = price
        case 1:
            charge.graduated.tiers.extend(tiers)
        case _:
            charge.package.CopyFrom(pricing_pb2.PackagePrice(package_size="100", package_price=price))
    return charge


async def make_usage(running: Together, subscriptions: int) -> None:
    process, dsn = running.processes["metering"], running.dsns["metering"]
    async with channel(process.target, process.api_key) as opened:
        await create_meters(MeteringServiceStub(opened))
    conn = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    for month in (date(2023, 10, 1), date(2023, 11, 1)):
        await store.create_partition(conn, month)
    await make_events(conn, "sub", subscriptions, EVENTS_EACH * subscriptions)
    await fold_all(dsn)
    await conn.execute("VACUUM (ANALYZE) event, bucket, series")
    await conn.close()
