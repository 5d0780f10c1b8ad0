"""`python -m bench.ingest [--mode batch|single|duplicates] [--events N] [--json]`: events per second, acknowledged.

A server process of metering on a durable Postgres is driven by client processes; acknowledged means committed. The
limit is measured beside it: the same rows into the same tables by bare asyncpg over 1, 2 and 4 connections, the best.

- batch: calls of 1,000 events, 8 at a time.
- single: calls of one event, 64 at a time.
- duplicates: as batch, but every event has been recorded before.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc

from bench.stack import Process, new_database, percentile, postgres, service
from libs.common.rpc.client import channel, credential
from libs.embedded.postgres import Postgres
from services.metering import store
from services.metering.domain.events import EventColumns
from services.metering.domain.meters import TenantCatalog, Watch, value_rules
from services.metering.events_in import events_in
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

SUBSCRIPTIONS = 1_000
MONTH = datetime(2023, 11, 1, tzinfo=UTC)
GROUP = 4_000
"""Events in one statement of the limit: what the service writes at once under load."""

CLIENTS = 2


@dataclass(frozen=True, slots=True)
class Load:
    """How the service is called: events in a call, calls at a time, and events in all."""

    batch: int
    concurrency: int
    events: int


LOADS = {"batch": Load(1_000, 8, 600_000), "duplicates": Load(1_000, 8, 600_000), "single": Load(1, 64, 20_000)}


@dataclass(frozen=True, slots=True)
class Figures:
    """`limit_events_per_s` and `ratio` compare with bare asyncpg; milliseconds are of one call, seen by the caller."""

    events_per_s: float
    limit_events_per_s: float
    ratio: float
    p50_ms: float
    p99_ms: float
    rss_mb: float


def request(seed: str, size: int) -> metering_pb2.IngestEventsRequest:
    """Events like a language model's: one of a thousand subscriptions, two token counts and a model."""
    chance = random.Random(seed)
    result = metering_pb2.IngestEventsRequest()
    for number in range(size):
        event = result.events.add(
            transaction_id=f"req_{seed}_{number:06d}",
            subscription_id=f"sub_{chance.randrange(SUBSCRIPTIONS):06d}",
            code="llm_request",
            properties={
                "input_tokens": str(chance.randrange(8_000)),
                "output_tokens": str(chance.randrange(1_000)),
                "model": chance.choice(("small", "large")),
            },
        )
        event.timestamp.FromDatetime(MONTH + timedelta(microseconds=chance.randrange(29 * 86_400 * 10**6)))
    return result


def drive(server: Process, load: Load, client: int, start_time: float) -> tuple[float, float, list[float]]:
    """One client process: when it began, when it ended, and the milliseconds of each call."""
    return asyncio.run(_drive(server, load, client, start_time))


async def _drive(server: Process, load: Load, client: int, start_time: float) -> tuple[float, float, list[float]]:
    """Requests are made, and written out, before the clock starts: the sender's work is not what is measured."""
    calls = load.events // load.batch // CLIENTS
    requests = [request(f"{client}_{number}", load.batch).SerializeToString() for number in range(calls)]
    waiting = iter(requests)
    latencies: list[float] = []
    async with grpc.aio.insecure_channel(server.target) as opened:
        ingest: grpc.aio.UnaryUnaryMultiCallable[bytes, metering_pb2.IngestEventsResponse] = opened.unary_unary(
            "/weir.metering.v1.MeteringService/IngestEvents",
            request_serializer=None,
            response_deserializer=metering_pb2.IngestEventsResponse.FromString,
        )

        async def caller() -> None:
            for each in waiting:
                sent = time.perf_counter()
                answer = await ingest(each, metadata=credential(server.api_key), timeout=60)
                latencies.append((time.perf_counter() - sent) * 1000)
                assert answer.accepted_count + len(answer.duplicate_indexes) == load.batch

        await opened.channel_ready()
        await asyncio.sleep(max(0.0, start_time - time.time()))
        began = time.time()
        await asyncio.gather(*(caller() for _ in range(load.concurrency // CLIENTS)))
    return began, time.time(), latencies


async def create_meters(server: Process) -> None:
    sums = [
        metering_pb2.Meter(
            code=name, event_code="llm_request", aggregation=metering_pb2.Meter.AGGREGATION_SUM, value_property=name
        )
        for name in ("input_tokens", "output_tokens")
    ]
    count = metering_pb2.Meter(
        code="requests", event_code="llm_request", aggregation=metering_pb2.Meter.AGGREGATION_COUNT
    )
    async with channel(server.target, server.api_key) as opened:
        for number, meter in enumerate([count, *sums]):
            request_id = f"00000000-0000-4000-8000-{number:012d}"
            await MeteringServiceStub(opened).CreateMeter(
                metering_pb2.CreateMeterRequest(request_id=request_id, meter=meter)
            )


async def measure_service(server: Postgres, load: Load, *, repeated: bool) -> tuple[float, list[float], float]:
    """Events a second, milliseconds by call, and the server's memory; `repeated` sends all twice, timing the second."""
    dsn = await new_database(server, "metering")
    loop = asyncio.get_running_loop()
    async with service("metering", dsn) as process:
        await create_meters(process)
        with ProcessPoolExecutor(CLIENTS, multiprocessing.get_context("spawn")) as clients:
            for _ in range(2 if repeated else 1):
                start_time = time.time() + 3 + load.events / 200_000
                results = await asyncio.gather(
                    *(loop.run_in_executor(clients, drive, process, load, n, start_time) for n in range(CLIENTS))
                )
        seconds = max(ended for _, ended, _ in results) - min(began for began, _, _ in results)
        latencies = [each for _, _, mine in results for each in mine]
        return len(latencies) * load.batch / seconds, latencies, process.peak_rss_mb


def columns_of(events: int, size: int, salt: str) -> list[EventColumns]:
    """The rows that the service would write, ready for Postgres."""
    series = {f"sub_{number:06d}": number + 1 for number in range(SUBSCRIPTIONS)}
    catalog = TenantCatalog("bench", 1, 1, {"llm_request": Watch(value_rules([]), series)})
    result = []
    for number in range(events // size):
        columns = EventColumns()
        events_in(request(f"{salt}{number}", size).events, catalog, MONTH + timedelta(days=30), columns)
        result.append(columns)
    return result


async def measure_limit(server: Postgres, load: Load, *, repeated: bool) -> float:
    """Events a second by the service's own statement on bare connections, the best of 1, 2 and 4."""
    size = GROUP if load.batch > 1 else 1
    events = load.events // 2
    rates = []
    for connections in (1, 2, 4) if load.batch > 1 else (16, 64):
        dsn = await new_database(server, "metering")
        waiting = columns_of(events, size, f"limit{connections}_")
        writers = [await store.connect_writer(dsn) for _ in range(connections)]
        await store.create_partition(writers[0], MONTH.date())
        for _ in range(2 if repeated else 1):
            began = time.perf_counter()
            rest = iter(waiting)
            await asyncio.gather(*(_write(conn, rest) for conn in writers))
            seconds = time.perf_counter() - began
        rates.append(len(waiting) * size / seconds)
        for conn in writers:
            await conn.close()
    return max(rates)


async def _write(conn: "asyncpg.Connection[asyncpg.Record]", waiting: Iterable[EventColumns]) -> None:
    for columns in waiting:
        await store.record_events(conn, columns, MONTH)


async def measure(load: Load, *, repeated: bool) -> Figures:
    async with postgres() as server:
        limit = await measure_limit(server, load, repeated=repeated)
        rate, latencies, rss_mb = await measure_service(server, load, repeated=repeated)
    return Figures(
        events_per_s=round(rate),
        limit_events_per_s=round(limit),
        ratio=round(rate / limit, 3),
        p50_ms=round(percentile(latencies, 50), 2),
        p99_ms=round(percentile(latencies, 99), 2),
        rss_mb=round(rss_mb, 1),
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mode", choices=LOADS, default="batch")
    parser.add_argument("--events", type=int, help="how many to send")
    parser.add_argument("--json", action="store_true", help="one object of plain numbers")
    options = parser.parse_args(arguments)
    load = LOADS[options.mode]
    if options.events:
        load = Load(load.batch, load.concurrency, options.events)
    figures = asdict(asyncio.run(measure(load, repeated=options.mode == "duplicates")))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
