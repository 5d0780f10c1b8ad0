"""What the benches of ingestion send, and the client processes that send it."""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import grpc

from bench.stack import Process
from libs.common.rpc.client import channel, credential
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

SUBSCRIPTIONS = 1_000
MONTH = datetime(2023, 11, 1, tzinfo=UTC)
LIVE = MONTH + timedelta(days=20)
LIVE_EVENTS_PER_S = 100_000
JITTER_SECONDS = 5
LATE_PERCENT = 1
LATE_SECONDS = 2 * 86_400
CLIENTS = 2

Times: TypeAlias = Literal["live", "random"]
Clock: TypeAlias = Callable[[random.Random, int], float]
"""Seconds from MONTH to when the nth event of a request happened."""


@dataclass(frozen=True, slots=True)
class Load:
    """How the service is called: events in a call, calls at a time, and events in all."""

    batch: int
    concurrency: int
    events: int
    times: Times = "live"

    def requests(self, client: int) -> list[metering_pb2.IngestEventsRequest]:
        """All that one client sends."""
        numbers = range(client, self.events // self.batch, CLIENTS)
        return [request(f"{client}_{n}", self.batch, clock(self.times, n * self.batch)) for n in numbers]


def clock(times: Times, first: int) -> Clock:
    """`live`: events happen one after the other, the `first` of a request after as many others, and arrive out of order
    by some seconds; one in a hundred is late by up to two days. `random`: at any time of the month.
    """

    def live(chance: random.Random, number: int) -> float:
        is_late = chance.randrange(100) < LATE_PERCENT
        delay = chance.random() * (LATE_SECONDS if is_late else JITTER_SECONDS)
        return (LIVE - MONTH).total_seconds() + (first + number) / LIVE_EVENTS_PER_S - delay

    return live if times == "live" else lambda chance, _: chance.random() * 29 * 86_400


def request(seed: str, size: int, at: Clock | None = None) -> metering_pb2.IngestEventsRequest:
    """Events like a language model's: one of a thousand subscriptions, two token counts and a model."""
    chance = random.Random(seed)
    happens = at or clock("random", 0)
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
        event.timestamp.FromDatetime(MONTH + timedelta(seconds=happens(chance, number)))
    return result


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


@dataclass(frozen=True, slots=True)
class Sent:
    """Seconds from the first client's start to the last one's end, and the milliseconds of each call."""

    seconds: float
    latencies_ms: Sequence[float]


class Clients:
    """Processes that send, two of them."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    async def send(self, server: Process, load: Load) -> Sent:
        start_time = time.time() + 3 + load.events / 100_000
        loop = asyncio.get_running_loop()
        runs = (loop.run_in_executor(self._pool, _drive, server, load, n, start_time) for n in range(CLIENTS))
        results = await asyncio.gather(*runs)
        seconds = max(ended for _, ended, _ in results) - min(began for began, _, _ in results)
        return Sent(seconds, [each for _, _, mine in results for each in mine])


@contextmanager
def clients() -> Iterator[Clients]:
    with ProcessPoolExecutor(CLIENTS, multiprocessing.get_context("spawn")) as pool:
        yield Clients(pool)


def _drive(server: Process, load: Load, client: int, start_time: float) -> tuple[float, float, list[float]]:
    """One client process: when it began, when it ended, and the milliseconds of each call."""
    return asyncio.run(_send_all(server, load, client, start_time))


async def _send_all(server: Process, load: Load, client: int, start_time: float) -> tuple[float, float, list[float]]:
    """Requests are made, and written out, before the clock starts: the sender's work is not what is measured."""
    waiting = iter([each.SerializeToString() for each in load.requests(client)])
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
