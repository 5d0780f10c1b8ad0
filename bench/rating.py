"""`python -m bench.rating [--json] [--subscriptions N]`: what rating, estimates and simulations take.

- pure_per_s: by the pure code in a second of one core's time, from quantities to amounts with all their steps.
- batch_rpc_per_s: by BatchRate of a server process, 1,000 subscriptions in a call, one call at a time; with the time
  that the caller takes to read the answers.
- estimate_p99_ms: of EstimateEvent, of an event that two charges count on top of what was used, called 1,000 times a
  second, each call at its time, however long the ones before it take; estimate_usage_p99_ms: of Estimate, likewise;
  estimate_echo_p99_ms: of a server that answers at once, by the same caller: the limit. estimate_server_us: of the
  server's processor time, by call of EstimateEvent, and estimate_echo_server_us of the other's.
- simulate_s: of Simulate, for a month of as many subscriptions under one other plan, with every change read;
  simulate_rss_mb: the most memory that pricing has had then.

The plan has one charge of each of five models; quantities are drawn from a fixed seed.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from uuid import uuid4

from bench.estimating import Estimated, estimate, punctual_loop
from bench.simulating import simulate
from bench.stack import Process, new_database, percentile, postgres, service
from libs.common import logs
from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from services.pricing import convert
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.rating import rate_version
from services.pricing.domain.usage import Usage
from weir.pricing.v1 import pricing_pb2
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub

SUBSCRIPTIONS = 100_000
CALL = 1_000
PLAN = "bench"

VERSION = pricing_pb2.PlanVersion(
    currency_code="USD",
    billing_interval=pricing_pb2.PlanVersion.BILLING_INTERVAL_MONTHLY,
    charges=[
        pricing_pb2.Charge(
            code="output_tokens", meter_code="output_tokens", standard=pricing_pb2.StandardPrice(unit_price="0.00001")
        ),
        pricing_pb2.Charge(
            code="input_tokens",
            meter_code="input_tokens",
            graduated=pricing_pb2.GraduatedPrice(
                tiers=[
                    pricing_pb2.PriceTier(up_to="1000000", unit_price="0.0000025"),
                    pricing_pb2.PriceTier(up_to="5000000", unit_price="0.000002", flat_fee="1"),
                    pricing_pb2.PriceTier(unit_price="0.0000015"),
                ]
            ),
        ),
        pricing_pb2.Charge(
            code="requests",
            meter_code="requests",
            package=pricing_pb2.PackagePrice(package_size="1000", package_price="1", free_units="500"),
        ),
        pricing_pb2.Charge(
            code="seats",
            meter_code="seats",
            volume=pricing_pb2.VolumePrice(
                tiers=[
                    pricing_pb2.PriceTier(up_to="10", unit_price="20"),
                    pricing_pb2.PriceTier(up_to="100", unit_price="15", flat_fee="10"),
                    pricing_pb2.PriceTier(unit_price="12.5"),
                ]
            ),
        ),
        pricing_pb2.Charge(
            code="card_payments",
            meter_code="card_payments",
            percentage=pricing_pb2.PercentagePrice(rate_percent="2.9", fixed_per_transaction="0.30"),
        ),
    ],
)


def subscriptions(seed: int) -> Iterator[tuple[Usage, ...]]:
    """What one subscription after the other has used."""
    chance = random.Random(seed)
    while True:
        yield (
            Usage("output_tokens", Decimal(chance.randrange(2_000_000))),
            Usage("input_tokens", Decimal(chance.randrange(8_000_000))),
            Usage("requests", Decimal(chance.randrange(30_000))),
            Usage("seats", Decimal(chance.randrange(300))),
            Usage("card_payments", Decimal(chance.randrange(10**7)).scaleb(-2), event_count=chance.randrange(1, 900)),
        )


def request(used: tuple[Usage, ...]) -> pricing_pb2.RateRequest:
    quantities = [
        pricing_pb2.ChargeQuantity(
            charge_code=usage.charge_code, quantity=f"{usage.quantity:f}", event_count=usage.event_count
        )
        for usage in used
    ]
    return pricing_pb2.RateRequest(plan_code=PLAN, version=1, quantities=quantities)


def pure_per_s(count: int) -> float:
    version: PlanVersion = convert.version_in(VERSION, PLAN, 1, system_clock())
    drawn = subscriptions(1)
    seconds = 0.0
    for start in range(0, count, CALL):
        chunk = list(islice(drawn, min(CALL, count - start)))
        begin = time.process_time()
        for used in chunk:
            rate_version(version, used)
        seconds += time.process_time() - begin
    return count / seconds


async def batch_rpc_per_s(count: int) -> float:
    async with postgres() as server, service("pricing", await new_database(server, "pricing")) as process:
        return await _batches(process, count)


async def measure(count: int, estimated: Estimated) -> dict[str, float]:
    simulation = await simulate(count)
    return {
        "pure_per_s": round(pure_per_s(count)),
        "batch_rpc_per_s": round(await batch_rpc_per_s(count)),
        "estimate_p50_ms": round(percentile(estimated.event.ms, 50), 2),
        "estimate_p99_ms": round(percentile(estimated.event.ms, 99), 2),
        "estimate_usage_p99_ms": round(percentile(estimated.usage.ms, 99), 2),
        "estimate_echo_p99_ms": round(percentile(estimated.echo.ms, 99), 2),
        "estimate_server_us": round(estimated.event.server_us),
        "estimate_echo_server_us": round(estimated.echo.server_us),
        "simulate_s": round(simulation.seconds, 2),
        "simulate_rss_mb": round(simulation.rss_mb),
    }


async def _batches(process: Process, count: int) -> float:
    async with channel(process.target, process.api_key) as opened:
        pricing = PricingServiceStub(opened)
        plan = pricing_pb2.Plan(code=PLAN, name="Bench")
        await pricing.CreatePlan(pricing_pb2.CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=VERSION))
        drawn = subscriptions(1)
        seconds = 0.0
        for start in range(0, count, CALL):
            chunk = islice(drawn, min(CALL, count - start))
            batch = pricing_pb2.BatchRateRequest(requests=[request(used) for used in chunk])
            begin = time.perf_counter()
            response = await pricing.BatchRate(batch)
            seconds += time.perf_counter() - begin
            if len(response.responses) != len(batch.requests):
                raise RuntimeError("a batch was answered in part")
    return count / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    parser.add_argument("--subscriptions", type=int, default=SUBSCRIPTIONS)
    arguments = parser.parse_args()
    logs.configure("bench.rating")  # to standard error: standard output is the figures alone
    with asyncio.Runner(loop_factory=punctual_loop) as runner:
        estimated = runner.run(estimate(VERSION))
    figures = asyncio.run(measure(arguments.subscriptions, estimated))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:>10,}")


if __name__ == "__main__":
    main()
