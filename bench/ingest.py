"""`python -m bench.ingest [--mode batch|single|duplicates] [--events N] [--json]`: events per second, acknowledged.

A server process of metering on a durable Postgres is driven by client processes; acknowledged means committed. The
limit is measured beside it: the same rows, ready made, into the same tables by bare asyncpg over 1, 2 and 4
connections, the best. asyncpg writes their arrays itself there; the service has a faster way of its own.

- batch: calls of 1,000 events, 8 at a time, while a worker folds (`--no-folding`: nobody does).
- single: calls of one event, 64 at a time; beside it a server that answers at once, under the same load.
- duplicates: as batch, but every event has been recorded before.

Events happen one after the other, as in a live stream, some late; with `--times random`, at any time of a month.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace

import asyncpg

from bench.folding import caught_up, watched
from bench.load import MONTH, SUBSCRIPTIONS, Clients, Load, Sent, clients, clock, create_meters, request
from bench.size import bytes_per_event
from bench.stack import echo, new_database, percentile, postgres, processor_seconds, service, worker
from libs.common.clock import system_clock
from libs.embedded.postgres import Postgres
from services.metering import store
from services.metering.domain.events import EventColumns
from services.metering.domain.meters import TenantCatalog, Watch, value_rules
from services.metering.events_in import events_in

GROUP = 4_000
"""Events in one statement of the limit, which is the best with as many. The service writes half of it at once."""

LOADS = {"batch": Load(1_000, 8, 600_000), "duplicates": Load(1_000, 8, 600_000), "single": Load(1, 64, 20_000)}


@dataclass(frozen=True, slots=True)
class Figures:
    """`limit_events_per_s` and `ratio` compare with bare asyncpg; milliseconds are of one call, seen by the caller.

    Microseconds are of processor time for an event, that of Postgres with folding while events arrived. `fold_lag_s` is
    the greatest age of a commit that was not folded, `fold_catch_up_s` how long folding went on after the last event.
    """

    events_per_s: float
    limit_events_per_s: float
    ratio: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    server_us_per_event: float
    postgres_us_per_event: float
    bytes_per_event: float
    plain_bytes_per_event: float


@dataclass(frozen=True, slots=True)
class Folding:
    fold_lag_s: float
    fold_catch_up_s: float


@dataclass(frozen=True, slots=True)
class Echo:
    """The server that answers at once: `echo_ratio` compares calls a second, `p99_ratio` the slowest in a hundred."""

    echo_per_s: float
    echo_p99_ms: float
    echo_ratio: float
    p99_ratio: float


async def measure(load: Load, *, repeated: bool, folding: bool) -> list[Figures | Folding | Echo]:
    with clients() as senders:
        bare = await measure_echo(senders, load) if load.batch == 1 else None
        async with postgres() as server:
            limit = await measure_limit(server, load, repeated=repeated)
            figures, folded, sent = await measure_service(server, senders, load, repeated=repeated, folding=folding)
    found: list[Figures | Folding | Echo] = [
        replace(figures, limit_events_per_s=round(limit), ratio=round(figures.events_per_s / limit, 3))
    ]
    if folded is not None:
        found.append(folded)
    if bare is not None:
        found.append(compare(load, bare, sent))
    return found


async def measure_echo(senders: Clients, load: Load) -> Sent:
    async with echo() as process:
        return await senders.send(process, load)


def compare(load: Load, bare: Sent, sent: Sent) -> Echo:
    bare_p99_ms = percentile(bare.latencies_ms, 99)
    return Echo(
        echo_per_s=round(load.events / bare.seconds),
        echo_p99_ms=round(bare_p99_ms, 2),
        echo_ratio=round(bare.seconds / sent.seconds, 3),
        p99_ratio=round(percentile(sent.latencies_ms, 99) / bare_p99_ms, 2),
    )


async def measure_service(
    server: Postgres, senders: Clients, load: Load, *, repeated: bool, folding: bool
) -> tuple[Figures, Folding | None, Sent]:
    """The limit is left open. `repeated` sends all twice, measuring the second time."""
    dsn = await new_database(server, "metering")
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(service("metering", dsn))
        await create_meters(process)
        if repeated:
            await senders.send(process, load)
        lags = None
        if folding:
            await stack.enter_async_context(worker("metering", dsn))
            lags = await stack.enter_async_context(watched(dsn))
        before = processor_seconds(process.pid), processor_seconds(server.pid)
        sent = await senders.send(process, load)
        used = processor_seconds(process.pid) - before[0], processor_seconds(server.pid) - before[1]
        caught_up_s = await caught_up(dsn) if folding else 0.0
        rss_mb = process.peak_rss_mb
    log, plain = await bytes_per_event(dsn)
    figures = Figures(
        events_per_s=round(load.events / sent.seconds),
        limit_events_per_s=0,
        ratio=0,
        p50_ms=round(percentile(sent.latencies_ms, 50), 2),
        p99_ms=round(percentile(sent.latencies_ms, 99), 2),
        rss_mb=round(rss_mb, 1),
        server_us_per_event=round(used[0] / load.events * 1e6, 2),
        postgres_us_per_event=round(used[1] / load.events * 1e6, 2),
        bytes_per_event=round(log),
        plain_bytes_per_event=round(plain),
    )
    return figures, Folding(round(max(lags), 2), round(caught_up_s, 2)) if lags else None, sent


def columns_of(load: Load, events: int, size: int, salt: str) -> list[EventColumns]:
    """The rows that the service would write, ready for Postgres."""
    series = {f"sub_{number:06d}": number + 1 for number in range(SUBSCRIPTIONS)}
    catalog = TenantCatalog("bench", 1, 1, {"llm_request": Watch(value_rules([]), series)})
    result = []
    for number in range(events // size):
        columns = EventColumns()
        sent = request(f"{salt}{number}", size, clock(load.times, number * size))
        events_in(sent.events, catalog, system_clock(), columns)
        result.append(columns)
    return result


async def measure_limit(server: Postgres, load: Load, *, repeated: bool) -> float:
    """Events a second by the service's own statement on bare connections, the best of 1, 2 and 4."""
    size = GROUP if load.batch > 1 else 1
    events = load.events // 2
    rates = []
    for connections in (1, 2, 4) if load.batch > 1 else (16, 64):
        dsn = await new_database(server, "metering")
        waiting = columns_of(load, events, size, f"limit{connections}_")
        writers = [await _connect(dsn) for _ in range(connections)]
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


async def _connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    conn = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    await conn.set_type_codec("uuid", schema="pg_catalog", format="binary", encoder=bytes, decoder=bytes)
    return conn


async def _write(conn: "asyncpg.Connection[asyncpg.Record]", waiting: Iterable[EventColumns]) -> None:
    for columns in waiting:
        await store.record_events(conn, columns, MONTH)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mode", choices=LOADS, default="batch")
    parser.add_argument("--events", type=int, help="how many to send")
    parser.add_argument("--times", choices=("live", "random"), default="live", help="when the events happened")
    parser.add_argument("--folding", action=argparse.BooleanOptionalAction, help="run a worker; default for batch")
    parser.add_argument("--json", action="store_true", help="one object of plain numbers")
    options = parser.parse_args(arguments)
    load = replace(LOADS[options.mode], times=options.times)
    if options.events:
        load = replace(load, events=options.events)
    folding = options.mode == "batch" if options.folding is None else options.folding
    found = asyncio.run(measure(load, repeated=options.mode == "duplicates", folding=folding))
    figures = {name: value for each in found for name, value in asdict(each).items()}
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:>12,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
