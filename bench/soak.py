"""`python -m bench.soak [--seconds 300] [--rate N]`: a day's wear in five minutes.

A server process and a worker of metering on a durable Postgres take a steady load: calls of 1,000 events as they
happen, one in a hundred of them late by up to two days; ten of each call have been sent before, and one call in twenty
is sent twice. Usage is asked for beside. In the end usage must be what was sent, folding may never have been behind by
more than MOST_LAG_SECONDS, and from the middle of the time to its end neither its lag may have grown nor memory by more
than MOST_GROWTH_MB, a fifth of the time against another: else the exit code is 1.

The rate is 60 % of what a short run at full speed gives, unless `--rate` says otherwise. Memory is that of server and
worker together, from a tenth of the time on, when what they keep is there.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bench.folding import caught_up, watched
from bench.load import SUBSCRIPTIONS, Load, clients, create_meters, request
from bench.stack import Process, new_database, percentile, postgres, service, worker
from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from libs.common.wire import period_out
from libs.embedded.postgres import Postgres
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

BATCH = 1_000
REPEATED = 10
TWICE_EVERY = 20
CALLS_AT_A_TIME = 16
FULL_SPEED_EVENTS = 200_000
SHARE_OF_FULL_SPEED = 0.6
TEMPLATES = 50
LATE_PERCENT = 1
LATE_SECONDS = 2 * 86_400
MOST_GROWTH_MB = 20
MOST_LAG_SECONDS = 30
LAG_SLACK_SECONDS = 1
METERS = ("requests", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Figures:
    rss_start_mb: float
    rss_end_mb: float
    rss_growth_mb: float
    lag_p50_s: float
    lag_max_s: float
    catch_up_s: float
    events_per_s: float
    usage_p99_ms: float
    events: int
    duplicates: int
    wrong_subscriptions: int
    memory_is_flat: bool
    lag_is_bounded: bool

    @property
    def is_sound(self) -> bool:
        return self.memory_is_flat and self.lag_is_bounded and not self.wrong_subscriptions


class Traffic:
    """Calls made from a few templates, which get new ids and times; and what they come to."""

    def __init__(self) -> None:
        self._templates = [request(f"soak{number}", BATCH - REPEATED) for number in range(TEMPLATES)]
        self._uses = [0] * TEMPLATES
        self._chance = random.Random(1)
        self._before: list[metering_pb2.Event] = []
        self._made = 0

    def call(self) -> metering_pb2.IngestEventsRequest:
        number, self._made = self._made, self._made + 1
        template = self._templates[number % TEMPLATES]
        self._uses[number % TEMPLATES] += 1
        now = int(time.time())
        for place, event in enumerate(template.events):
            late = self._chance.randrange(LATE_SECONDS) if self._chance.randrange(100) < LATE_PERCENT else 0
            event.transaction_id = f"req_{number:07d}_{place:04d}"
            event.timestamp.seconds = now - late
        result = metering_pb2.IngestEventsRequest(events=[*template.events, *self._before])
        self._before = list(result.events[:REPEATED])
        return result

    def expected(self) -> Counter[tuple[str, str]]:
        """By subscription and meter."""
        total: Counter[tuple[str, str]] = Counter()
        for template, uses in zip(self._templates, self._uses, strict=True):
            for event in template.events:
                total[event.subscription_id, "requests"] += uses
                for name in METERS[1:]:
                    total[event.subscription_id, name] += uses * int(event.properties[name])
        return total


class Soak:
    def __init__(self, stub: "MeteringServiceAsyncStub", rate: float) -> None:
        self._stub = stub
        self._rate = rate
        self.traffic = Traffic()
        self.accepted = self.duplicates = 0
        self.seconds = 0.0
        self.usage_ms: list[float] = []

    async def send(self, seconds: float) -> None:
        slots = asyncio.Semaphore(CALLS_AT_A_TIME)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as calls:
            for number in range(int(seconds * self._rate / BATCH)):
                await asyncio.sleep(max(0.0, began + number * BATCH / self._rate - time.perf_counter()))
                await slots.acquire()
                calls.create_task(self._call(self.traffic.call(), number, slots))
        self.seconds = time.perf_counter() - began

    async def _call(self, call: metering_pb2.IngestEventsRequest, number: int, slots: asyncio.Semaphore) -> None:
        for _ in range(2 if number % TWICE_EVERY == 0 else 1):
            answer = await self._stub.IngestEvents(call, timeout=60)
            if answer.failures:
                raise RuntimeError(f"refused: {answer.failures[0]}")
            self.accepted += answer.accepted_count
            self.duplicates += len(answer.duplicate_indexes)
        slots.release()

    async def ask(self) -> None:
        """For the usage of one subscription after the other, for ever."""
        while True:
            for number in range(SUBSCRIPTIONS):
                asked = time.perf_counter()
                await self._stub.GetUsage(_question(number), timeout=60)
                self.usage_ms.append((time.perf_counter() - asked) * 1000)
                await asyncio.sleep(0.1)

    async def wrong_subscriptions(self) -> int:
        queries = [_question(number) for number in range(SUBSCRIPTIONS)]
        answer = await self._stub.BatchGetUsage(metering_pb2.BatchGetUsageRequest(queries=queries), timeout=120)
        expected = self.traffic.expected()
        wrong = {
            query.subscription_id
            for query, each in zip(queries, answer.answers, strict=True)
            for name, usage in zip(METERS, each.usages, strict=True)
            if usage.quantity != str(expected[query.subscription_id, name])
        }
        return len(wrong)


def _question(number: int) -> metering_pb2.GetUsageRequest:
    now = system_clock()
    period = period_out(now - timedelta(days=7), now + timedelta(days=1))
    return metering_pb2.GetUsageRequest(subscription_id=f"sub_{number:06d}", meter_codes=METERS, period=period)


async def full_speed(server: Postgres) -> float:
    """Events a second."""
    dsn = await new_database(server, "metering")
    async with service("metering", dsn) as process, worker("metering", dsn):
        await create_meters(process)
        with clients() as senders:
            sent = await senders.send(process, Load(BATCH, 8, FULL_SPEED_EVENTS))
    return FULL_SPEED_EVENTS / sent.seconds


async def measure(seconds: float, rate: float | None) -> Figures:
    async with postgres() as server:
        rate = rate or SHARE_OF_FULL_SPEED * await full_speed(server)
        dsn = await new_database(server, "metering")
        async with service("metering", dsn) as process, worker("metering", dsn) as folder:
            await create_meters(process)
            async with channel(process.target, process.api_key) as opened, watched(dsn, every_seconds=1) as lags:
                return await _measure(Soak(MeteringServiceStub(opened), rate), (process, folder), seconds, lags, dsn)


async def _measure(
    soak: Soak, processes: Sequence[Process], seconds: float, lags: Sequence[float], dsn: str
) -> Figures:
    memory: list[float] = []

    async def watch_memory() -> None:
        while True:
            memory.append(sum(each.rss_mb for each in processes))
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(each) for each in (watch_memory(), soak.ask())]
        await soak.send(seconds)
        for each in beside:
            each.cancel()
    lags = list(lags)
    catch_up_s = await caught_up(dsn)
    start_mb, end_mb = memory[len(memory) // 10], memory[-1]
    return Figures(
        rss_start_mb=round(start_mb, 1),
        rss_end_mb=round(end_mb, 1),
        rss_growth_mb=round(end_mb - start_mb, 1),
        lag_p50_s=round(percentile(lags, 50), 2),
        lag_max_s=round(max(lags), 2),
        catch_up_s=round(catch_up_s, 2),
        events_per_s=round((soak.accepted + soak.duplicates) / soak.seconds),
        usage_p99_ms=round(percentile(soak.usage_ms, 99), 1),
        events=soak.accepted,
        duplicates=soak.duplicates,
        wrong_subscriptions=await soak.wrong_subscriptions(),
        memory_is_flat=_growth(memory) <= MOST_GROWTH_MB,
        lag_is_bounded=max(lags) <= MOST_LAG_SECONDS and _growth(lags) <= LAG_SLACK_SECONDS,
    )


def _growth(values: Sequence[float]) -> float:
    """From the median of the fifth in the middle to that of the last one."""
    fifth = max(1, len(values) // 5)
    return percentile(values[-fifth:], 50) - percentile(values[2 * fifth : 3 * fifth], 50)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, help="events per second")
    options = parser.parse_args(arguments)
    figures = asyncio.run(measure(options.seconds, options.rate))
    print(json.dumps(asdict(figures)))
    return 0 if figures.is_sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
