"""Every source, at every interruption: each record counts once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest
from structlog.testing import capture_logs

from services.metering import main as metering
from tests.metering.connectors.feeds import Feed, SqsFeed, record
from tests.metering.connectors.world import World, killed, process
from tests.metering.requests import NOW, used


def sum_to(count: int) -> int:
    """Tokens of the first records."""
    return count * (count + 1) // 2


@asynccontextmanager
async def another_server(world: World, port: int = 0) -> AsyncIterator[int]:
    """Of the same database, as long as the context lasts."""
    settings = metering.Settings(world.database.dsns["metering"], world.keys.public_pem, f"127.0.0.1:{port}")
    async with metering.running(settings, lambda: NOW) as actual:
        yield actual


async def test_a_connector_killed_in_the_middle_neither_loses_nor_doubles(world: World, feed: Feed) -> None:
    count = 150 if isinstance(feed, SqsFeed) else 3000
    await feed.put(*map(record, range(count)), b"broken")
    settings = world.settings(feed.source, batch_size=str(count // 30))
    async with process(settings) as first:
        async with asyncio.timeout(20):
            while int((await used(world.metering, "requests"))["requests"]) < count / 10:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        await killed(first)
    assert int((await used(world.metering, "requests"))["requests"]) < count
    async with process(settings) as second:
        await world.until_used(count, sum_to(count))
        [letter] = await world.until_dead(1)
        second.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await second.wait() == 0
    assert (letter.record, letter.reason) == ("broken", "RECORD_MALFORMED")


@pytest.mark.parametrize("feed", ["folder"], indirect=True)
async def test_what_was_delivered_and_not_confirmed_changes_nothing_when_it_comes_again(
    world: World, feed: Feed
) -> None:
    """As after a crash between the two, at any place of the object."""
    await feed.put(*map(record, range(100)), b"broken", record(100, at=None))
    settings = world.settings(feed.source, batch_size="40")
    conn = await asyncpg.connect(settings.dsn)
    for confirmed in (102, 80, 0, 101):
        async with world.connector(settings):
            await world.until_used(100, sum_to(100))
            first = await world.until_dead(2)
            async with asyncio.timeout(10):
                while not await conn.fetchval("SELECT bool_and(is_complete) FROM source_object"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await conn.execute("UPDATE source_object SET is_complete = false, records = $1", confirmed)
    await conn.close()
    assert await world.dead_letters() == first
    assert [(each.position[-4:], each.field) for each in first] == [("#101", ""), ("#102", "timestamp")]


@pytest.mark.parametrize("feed", ["redis_streams"], indirect=True)
async def test_while_metering_is_away_records_wait(world: World, feed: Feed) -> None:
    settings = world.settings(feed.source)
    async with another_server(world) as port:
        pass
    async with world.connector(replace(settings, target=f"127.0.0.1:{port}")):
        await feed.put(*map(record, range(50)))
        await asyncio.sleep(0.5)
        assert (await used(world.metering, "requests"))["requests"] == "0"
        async with another_server(world, port):
            await world.until_used(50, sum_to(50))
        await feed.put(*map(record, range(50, 100)))
        async with another_server(world, port):
            await world.until_used(100, sum_to(100))


@pytest.mark.parametrize("feed", ["redis_streams"], indirect=True)
async def test_a_connector_that_waits_for_metering_still_stops(world: World, feed: Feed) -> None:
    await feed.put(*map(record, range(50)))
    settings = world.settings(feed.source)
    async with asyncio.timeout(20):
        with capture_logs() as logs:
            async with world.connector(replace(settings, target="127.0.0.1:1")):
                while not any(each["event"] == "waiting" for each in logs):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
    async with world.connector(settings):
        await world.until_used(50, sum_to(50))


@pytest.mark.parametrize("feed", ["folder", "s3"], indirect=True)
async def test_what_comes_later_is_read_too(world: World, feed: Feed) -> None:
    async with world.connector(world.settings(feed.source)):
        for batch in range(2):
            await feed.put(*map(record, range(batch * 10, batch * 10 + 10)))
            await world.until_used(batch * 10 + 10, sum_to(batch * 10 + 10))
    assert await world.dead_letters() == []
