"""`python -m bench.client [--events N] [--json]`: events per second that the Python client records, and delivers.

Recorded means that `record`, or `record_many` by the thousand, has returned: the event is in the spool. Delivered means
that metering, a process on a durable Postgres, has answered for it and it has left the spool; all are recorded first,
so this is how fast an outage's backlog goes. The limit beside it is as many events in ready-made calls, as many at a
time, without a spool: the better of two runs, one before and one after.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import create_meters, request
from bench.stack import Process, new_database, percentile, postgres, service
from libs.client import Event, UsageClient
from libs.client.sending import BATCH_EVENTS, BATCHES_UNDER_WAY
from libs.client.spool import Durability
from libs.common.clock import system_clock
from libs.common.credentials import ALL_SCOPES, Issuer, generate_private_key, load_private_key
from libs.common.rpc.client import channel
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

SINGLE_EVENTS = 20_000
DISK_EVENTS = 500
NOWHERE = "127.0.0.1:1"


@dataclass(frozen=True, slots=True)
class Figures:
    """Events a second, by `record`, by `record_many`, by `record` with durable="disk"; microseconds of one `record`."""

    recorded_events_per_s: float
    recorded_many_events_per_s: float
    recorded_disk_events_per_s: float
    record_p50_us: float
    record_p99_us: float
    delivered_events_per_s: float
    limit_events_per_s: float
    ratio: float


def events(seed: str, count: int) -> list[Event]:
    return list(request(seed, count).events)


async def record_singly(folder: Path, durable: Durability, count: int) -> tuple[float, list[float]]:
    """Events a second, and the microseconds of each, while the service is away."""
    issuer = Issuer(load_private_key(generate_private_key()), system_clock)
    latencies = []
    given = events(durable, count)
    async with UsageClient(NOWHERE, issuer.api_key("bench", ALL_SCOPES, live=False), folder, durable=durable) as usage:
        began = time.perf_counter()
        for number, each in enumerate(given):
            start = time.perf_counter()
            usage.record(each)
            latencies.append((time.perf_counter() - start) * 1e6)
            if number % 100 == 0:
                await asyncio.sleep(0)
        seconds = time.perf_counter() - began
        await usage.close(timeout_seconds=0)
    return count / seconds, latencies


async def deliver(process: Process, folder: Path, count: int) -> tuple[float, float]:
    """Events a second recorded by the thousand, and then delivered."""
    batches = [events(f"spool{number}", BATCH_EVENTS) for number in range(count // BATCH_EVENTS)]
    usage = UsageClient(process.target, process.api_key, folder)
    began = time.perf_counter()
    for batch in batches:
        usage.record_many(batch)
    recorded = time.perf_counter()
    async with usage:
        await usage.flush(timeout_seconds=600)
        delivered = time.perf_counter()
        assert not list(usage.refused())
    return count / (recorded - began), count / (delivered - recorded)


async def send_directly(process: Process, seed: str, count: int) -> float:
    waiting = iter([request(f"{seed}{number}", BATCH_EVENTS) for number in range(count // BATCH_EVENTS)])
    async with channel(process.target, process.api_key) as opened:
        metering = MeteringServiceStub(opened)

        async def lane() -> None:
            for batch in waiting:
                answer = await metering.IngestEvents(batch)
                assert answer.accepted_count == BATCH_EVENTS

        began = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(BATCHES_UNDER_WAY)))
        return count / (time.perf_counter() - began)


async def measure(count: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = Path(name)
        singly, latencies = await record_singly(folder / "single", "process", SINGLE_EVENTS)
        on_disk, _ = await record_singly(folder / "disk", "disk", DISK_EVENTS)
        async with postgres() as server, service("metering", await new_database(server, "metering")) as process:
            await create_meters(process)
            before = await send_directly(process, "before", count)
            many, delivered = await deliver(process, folder / "many", count)
            limit = max(before, await send_directly(process, "after", count))
    return Figures(
        recorded_events_per_s=round(singly),
        recorded_many_events_per_s=round(many),
        recorded_disk_events_per_s=round(on_disk),
        record_p50_us=round(percentile(latencies, 50), 1),
        record_p99_us=round(percentile(latencies, 99), 1),
        delivered_events_per_s=round(delivered),
        limit_events_per_s=round(limit),
        ratio=round(delivered / limit, 3),
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.client", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=200_000, help="how many to deliver")
    parser.add_argument("--json", action="store_true", help="one object of plain numbers")
    options = parser.parse_args(arguments)
    figures = asdict(asyncio.run(measure(options.events)))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
