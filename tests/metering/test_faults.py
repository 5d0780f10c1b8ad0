"""Processes are killed while events arrive; whoever sends until acknowledged finds each event counted once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from libs.common.errors import Unavailable
from libs.common.postgres import migrate
from libs.common.rpc.client import channel
from libs.embedded.postgres import Postgres, provision
from libs.embedded.process import free_port
from services.__main__ import migrations
from services.metering.main import Settings, running
from tests.conftest import Database, Keys
from tests.metering.processes import Server, Tally, in_batches, send_all, stream_all
from tests.metering.requests import NOW, event, ingest, make_meters, used
from weir.metering.v1.metering_pb2 import IngestEventsRequest, ListMetersRequest
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

EVENTS = [event(f"t-{number}", f"sub-{number % 5}", tokens="2") for number in range(12_000)]


async def rows(dsn: str) -> int:
    """Events recorded."""
    conn = await asyncpg.connect(dsn)
    try:
        return int(await conn.fetchval("SELECT count(*) FROM event"))
    finally:
        await conn.close()


async def first_rows(dsn: str) -> None:
    """Return once something is recorded."""
    for _ in range(2000):
        if await rows(dsn):
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("nothing was recorded")


async def require_exact(target: str, api_key: str) -> None:
    async with channel(target, api_key) as opened:
        for number in range(5):
            usage = await used(MeteringServiceStub(opened), "tokens", "requests", subscription_id=f"sub-{number}")
            assert usage == {"tokens": "4800", "requests": "2400"}


async def test_a_server_killed_while_events_arrive_loses_and_doubles_nothing(database: Database, keys: Keys) -> None:
    server = Server(free_port(), database.dsns["metering"], keys.public_pem)
    api_key, tally = keys.api_key(), Tally()
    async with server.process() as first:
        async with channel(server.target, api_key) as opened:
            metering = MeteringServiceStub(opened)
            await metering.ListMeters(ListMetersRequest(), wait_for_ready=True)
            await make_meters(metering)
        sending = asyncio.gather(
            send_all(server.target, api_key, list(in_batches(EVENTS, 200)), tally),
            stream_all(server.target, api_key, list(in_batches(EVENTS[::-1], 300))),
        )
        await first_rows(server.dsn)
        first.kill()
        await first.wait()
    assert 0 < await rows(server.dsn) < len(EVENTS)
    async with server.process():
        await sending
        await require_exact(server.target, api_key)
    assert tally.failures == 0
    assert tally.accepted + tally.duplicates == len(EVENTS)
    assert await rows(server.dsn) == len(EVENTS)


async def test_a_server_told_to_stop_records_what_it_has_taken(database: Database, keys: Keys) -> None:
    server = Server(free_port(), database.dsns["metering"], keys.public_pem)
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(server.process())
        metering = MeteringServiceStub(await stack.enter_async_context(channel(server.target, keys.api_key())))
        await metering.ListMeters(ListMetersRequest(), wait_for_ready=True)
        await make_meters(metering)
        calls = [asyncio.create_task(ingest(metering, events)) for events in in_batches(EVENTS[:5000], 500)]
        await first_rows(server.dsn)
        process.terminate()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    acknowledged = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert acknowledged
    assert all(isinstance(answer, Unavailable) for answer in answers if isinstance(answer, BaseException))
    assert await rows(server.dsn) >= sum(answer.accepted_count for answer in acknowledged)


@pytest.fixture
async def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Postgres, str]]:
    """A durable Postgres that a test may kill, and the service's DSN."""
    folder: Path = tmp_path_factory.mktemp("durable")
    async with Postgres(folder, durable=True) as postgres:
        dsns = await provision(postgres.admin_dsn, ["metering"], {"metering": "secret"})
        await migrate(dsns["metering"], migrations("metering"))
        yield postgres, dsns["metering"]


async def test_a_postgres_killed_while_events_arrive_loses_and_doubles_nothing(
    own_postgres: tuple[Postgres, str], keys: Keys
) -> None:
    postgres, dsn = own_postgres
    api_key, tally = keys.api_key(), Tally()
    settings = Settings(dsn=dsn, public_keys=keys.public_pem, listen="127.0.0.1:0")
    async with running(settings, lambda: NOW) as port:
        target = f"127.0.0.1:{port}"
        async with channel(target, api_key) as opened:
            await make_meters(MeteringServiceStub(opened))
        sending = asyncio.gather(
            send_all(target, api_key, list(in_batches(EVENTS, 200)), tally),
            stream_all(target, api_key, list(in_batches(EVENTS[::-1], 300))),
        )
        for wait_for in (0.0, 0.3):
            await first_rows(dsn)
            await asyncio.sleep(wait_for)
            os.kill(postgres.pid, signal.SIGKILL)
            await postgres.wait()
            await postgres.restart()
        await sending
        await require_exact(target, api_key)
    assert tally.failures == 0
    assert tally.accepted + tally.duplicates == len(EVENTS)
    assert await rows(dsn) == len(EVENTS)


async def test_while_postgres_is_away_callers_are_told_so_and_nothing_is_half_done(
    own_postgres: tuple[Postgres, str], keys: Keys
) -> None:
    postgres, dsn = own_postgres
    settings = Settings(dsn=dsn, public_keys=keys.public_pem, listen="127.0.0.1:0")
    async with running(settings, lambda: NOW) as port, channel(f"127.0.0.1:{port}", keys.api_key()) as opened:
        metering = MeteringServiceStub(opened)
        await make_meters(metering)
        await postgres.stop()
        for call in (ingest(metering, EVENTS[:10]), used(metering, "requests")):
            with pytest.raises(Unavailable) as refused:
                await call
            assert refused.value.reason == "DATABASE_UNAVAILABLE"
            assert refused.value.retry_after_ms > 0
        await postgres.start()
        assert await rows(dsn) == 0
        request = IngestEventsRequest(events=EVENTS[:10])
        assert (await metering.IngestEvents(request)).accepted_count == 10
