"""`python -m bench.usage [--events N] [--json]`: what reading usage costs, and folding.

A server process of metering on a durable Postgres answers GetUsage for two subscriptions, with ten thousand and with
ten million events in one month, and BatchGetUsage for ten thousand subscriptions with five meters each. Events are made
in the database, as ingestion would have recorded them (but for their identities, which reading never looks at), and
folded as the worker does.

- p99_ms_10k, p99_ms_10m: of GetUsage for a month; ragged_p99_ms_10m: of one from and to any microsecond;
  tail_p99_ms_10m: of a month while 50,000 events are not folded yet.
- divided_p99_ms_10m: by parts and groups, over eight combinations of model and region; latest_p99_ms_10m and
  weighted_p99_ms_10m: of these aggregations. All three from and to any microsecond.
- batch_10k_s: of BatchGetUsage for a month, the median; batch_ragged_10k_s: for a month that begins on the 15th.
- folded_events_per_s: of the ten million, in eight rollups.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg

from bench.stack import new_database, percentile, postgres, service
from libs.common import logs
from libs.common.postgres import create_pool
from libs.common.rpc.client import channel
from libs.common.wire import period_out
from services.metering import store
from services.metering.worker import Folder
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

START, END = datetime(2023, 11, 1, tzinfo=UTC), datetime(2023, 12, 1, tzinfo=UTC)
FROM_THE_15TH = datetime(2023, 10, 15, tzinfo=UTC), datetime(2023, 11, 15, tzinfo=UTC)
SMALL_EVENTS = 10_000
SUBSCRIPTIONS = 10_000
BATCH_EVENTS = 100 * SUBSCRIPTIONS
TAIL_EVENTS = 50_000
GROUP = 4_000
CALLS = 500
BATCH_CALLS = 5
METERS = ("requests", "input_tokens", "output_tokens", "cached_tokens", "longest_input")
DIVIDED, LATEST, WEIGHTED = "priced_input", "latest_input", "input_level"
DIMENSIONS = "model", "region"


PLAIN = metering_pb2.GetUsageRequest(meter_codes=METERS[:3])


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds and seconds are of one call, seen by the caller, one call at a time."""

    p50_ms_10k: float
    p99_ms_10k: float
    p50_ms_10m: float
    p99_ms_10m: float
    ragged_p99_ms_10m: float
    tail_p99_ms_10m: float
    divided_p99_ms_10m: float
    latest_p99_ms_10m: float
    weighted_p99_ms_10m: float
    batch_10k_s: float
    batch_ragged_10k_s: float
    folded_events_per_s: float
    buckets_10m: int


async def create_meters(stub: "MeteringServiceAsyncStub") -> None:
    properties = {name: name for name in METERS[1:4]} | {"requests": ""}
    aggregations = {
        "requests": metering_pb2.Meter.AGGREGATION_COUNT,
        "longest_input": metering_pb2.Meter.AGGREGATION_MAX,
        LATEST: metering_pb2.Meter.AGGREGATION_LATEST,
        WEIGHTED: metering_pb2.Meter.AGGREGATION_WEIGHTED_SUM,
    }
    for number, code in enumerate((*METERS, DIVIDED, LATEST, WEIGHTED)):
        meter = metering_pb2.Meter(
            code=code,
            event_code="llm_request",
            aggregation=aggregations.get(code, metering_pb2.Meter.AGGREGATION_SUM),
            value_property=properties.get(code, "input_tokens"),
            dimensions=DIMENSIONS if code == DIVIDED else (),
        )
        request_id = f"00000000-0000-4000-8000-{number:012d}"
        await stub.CreateMeter(metering_pb2.CreateMeterRequest(request_id=request_id, meter=meter))


async def make_events(conn: "asyncpg.Connection[asyncpg.Record]", prefix: str, subscriptions: int, events: int) -> None:
    """Events of `subscriptions` subscriptions named `prefix`_0 and so on, in the order of time through October and
    November, committed in groups.
    """
    await conn.execute(
        "INSERT INTO series (tenant_id, subscription_id, event_code)"
        " SELECT 'bench', $1 || '_' || n, 'llm_request' FROM generate_series(0, $2::int - 1) AS n",
        prefix, subscriptions,
    )  # fmt: skip
    first_series = await conn.fetchval("SELECT min(series_no) FROM series WHERE subscription_id LIKE $1 || '%'", prefix)
    first = (await conn.fetchval("SELECT max(sequence) FROM event_batch") or 1) + 1
    await conn.execute(
        "INSERT INTO event_batch (record_time) SELECT now() FROM generate_series(1, $1::int)", -(-events // GROUP)
    )
    period = END - START if subscriptions == 1 else END - START + timedelta(days=31)
    await conn.execute(
        """
        INSERT INTO event (event_time, sequence, tenant_no, series_no, transaction_id, properties)
        SELECT $1::timestamptz - $2::interval * ((n + 0.5) / $3::int), $4::bigint + ($3::int - 1 - n) / $5::int,
            (SELECT tenant_no FROM tenant), $6::int + n % $7::int, 'req_' || n,
            ('{"input_tokens": "' || n * 7919 % 8000 || '", "model": "model-' || n / $7::int % 4
                || '", "region": "' || CASE n / $7::int % 3 WHEN 0 THEN 'eu' ELSE 'us' END
                || '", "output_tokens": "' || n % 1000 || '", "cached_tokens": "0.25"}')::jsonb
        FROM generate_series($3::bigint - 1, 0, -1) AS n
        """,
        END, period, events, first, GROUP, first_series, subscriptions, timeout=1_800,
    )  # fmt: skip


async def fold_all(dsn: str) -> float:
    """Seconds."""
    async with await create_pool(dsn) as pool:
        folder = Folder(pool)
        began = time.perf_counter()
        while await folder.fold():
            pass
        return time.perf_counter() - began


async def latencies(
    stub: "MeteringServiceAsyncStub",
    subscription_id: str,
    period: Callable[[], tuple[datetime, datetime]],
    calls: int = CALLS,
    query: metering_pb2.GetUsageRequest = PLAIN,
) -> list[float]:
    """Milliseconds by call, after a few that are not measured."""
    result = []
    request = metering_pb2.GetUsageRequest()
    request.CopyFrom(query)
    request.subscription_id = subscription_id
    for number in range(calls + 20):
        request.period.CopyFrom(period_out(*period()))
        sent = time.perf_counter()
        answer = await stub.GetUsage(request, timeout=60)
        if number >= 20:
            result.append((time.perf_counter() - sent) * 1000)
        assert answer.usages[0].event_count > 0
    return result


def divided() -> metering_pb2.GetUsageRequest:
    query = metering_pb2.GetUsageRequest(meter_codes=[DIVIDED], group_by=["region"])
    for model in ("model-0", "model-1"):
        query.parts.add(code=model).filters.add(property="model", values=[model])
    return query


async def batch_seconds(stub: "MeteringServiceAsyncStub", period: tuple[datetime, datetime]) -> float:
    queries = [
        metering_pb2.GetUsageRequest(subscription_id=f"batch_{n}", meter_codes=METERS, period=period_out(*period))
        for n in range(SUBSCRIPTIONS)
    ]
    request = metering_pb2.BatchGetUsageRequest(queries=queries)
    seconds = []
    for _ in range(BATCH_CALLS):
        sent = time.perf_counter()
        answer = await stub.BatchGetUsage(request, timeout=120)
        seconds.append(time.perf_counter() - sent)
        assert len(answer.answers) == SUBSCRIPTIONS
        assert all(each.usages[0].event_count > 0 for each in answer.answers)
    return statistics.median(seconds)


def anywhen() -> tuple[datetime, datetime]:
    """A week or more, from and to any microsecond."""
    micros = random.sample(range(10 * 86_400 * 10**6), 2)
    return START + timedelta(microseconds=micros[0]), END - timedelta(microseconds=micros[1])


async def measure(events: int) -> Figures:
    async with postgres() as server:
        dsn = await new_database(server, "metering")
        async with service("metering", dsn) as process, channel(process.target, process.api_key) as opened:
            return await _measure(MeteringServiceStub(opened), dsn, events)


async def _measure(stub: "MeteringServiceAsyncStub", dsn: str, events: int) -> Figures:
    await create_meters(stub)
    conn = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    for month in (date(2023, 10, 1), date(2023, 11, 1)):
        await store.create_partition(conn, month)
    await make_events(conn, "large", 1, events)
    folding_seconds = await fold_all(dsn)
    buckets = await conn.fetchval("SELECT count(*) FROM bucket")
    await make_events(conn, "small", 1, SMALL_EVENTS)
    await make_events(conn, "batch", SUBSCRIPTIONS, BATCH_EVENTS)
    await fold_all(dsn)
    await conn.execute("VACUUM (ANALYZE) event, bucket, series")
    small = await latencies(stub, "small_0", lambda: (START, END))
    large = await latencies(stub, "large_0", lambda: (START, END))
    ragged = await latencies(stub, "large_0", anywhen)
    split = await latencies(stub, "large_0", anywhen, query=divided())
    latest = await latencies(stub, "large_0", anywhen, query=metering_pb2.GetUsageRequest(meter_codes=[LATEST]))
    weighted = await latencies(stub, "large_0", anywhen, query=metering_pb2.GetUsageRequest(meter_codes=[WEIGHTED]))
    batch = await batch_seconds(stub, (START, END))
    batch_ragged = await batch_seconds(stub, FROM_THE_15TH)
    await make_events(conn, "tail", 1, TAIL_EVENTS)
    tail = await latencies(stub, "large_0", lambda: (START, END), CALLS // 5)
    await conn.close()
    return Figures(
        p50_ms_10k=round(percentile(small, 50), 2),
        p99_ms_10k=round(percentile(small, 99), 2),
        p50_ms_10m=round(percentile(large, 50), 2),
        p99_ms_10m=round(percentile(large, 99), 2),
        ragged_p99_ms_10m=round(percentile(ragged, 99), 2),
        tail_p99_ms_10m=round(percentile(tail, 99), 2),
        divided_p99_ms_10m=round(percentile(split, 99), 2),
        latest_p99_ms_10m=round(percentile(latest, 99), 2),
        weighted_p99_ms_10m=round(percentile(weighted, 99), 2),
        batch_10k_s=round(batch, 3),
        batch_ragged_10k_s=round(batch_ragged, 3),
        folded_events_per_s=round(events / folding_seconds),
        buckets_10m=buckets,
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.usage", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000, help="of the large subscription")
    parser.add_argument("--json", action="store_true", help="one object of plain numbers")
    options = parser.parse_args(arguments)
    logs.configure("bench.usage")  # to standard error: standard output is the figures alone
    figures = asdict(asyncio.run(measure(options.events)))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
