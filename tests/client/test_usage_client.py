import asyncio
import os
import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from libs.client import BlockingUsageClient, Event, RefusedEvent, UsageClient
from libs.common.errors import FailedPrecondition, InvalidArgument, PermissionDenied, ResourceExhausted, Unauthenticated
from services.metering import ingestion
from tests.client.conftest import Metering
from tests.conftest import Keys
from tests.metering.requests import NOW, event


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 it happens in another task, which tells nobody
            await asyncio.sleep(0.01)


def events(count: int, prefix: str = "t", tokens: str = "1") -> Iterator[Event]:
    return (event(f"{prefix}-{number}", tokens=tokens) for number in range(count))


async def test_what_is_recorded_is_delivered(metering: Metering, tmp_path: Path) -> None:
    async with UsageClient(metering.target, metering.api_key, tmp_path) as usage:
        usage.record(event("one", tokens="5"))
        usage.record_many(events(2_500))
        await usage.flush()
        assert usage.waiting() == 0
    assert await metering.used() == (2_501, 2_505)


async def test_events_leave_without_a_flush(metering: Metering, tmp_path: Path) -> None:
    async with UsageClient(metering.target, metering.api_key, tmp_path) as usage:
        usage.record(event(tokens="1"))
        await until(lambda: usage.waiting() == 0)
        assert await metering.used() == (1, 1)


async def test_leaving_the_block_sends_what_is_left(metering: Metering, tmp_path: Path) -> None:
    async with UsageClient(metering.target, metering.api_key, tmp_path, linger_ms=60_000) as usage:
        usage.record_many(events(10))
    assert await metering.used() == (10, 10)


async def test_the_order_of_recording_does_not_matter(metering: Metering, tmp_path: Path) -> None:
    made = [event(f"t-{n}", at=NOW - timedelta(minutes=n), tokens=str(n)) for n in range(3_000)]
    random.Random(1).shuffle(made)
    async with UsageClient(metering.target, metering.api_key, tmp_path) as usage:
        for part in range(0, len(made), 700):
            usage.record_many(made[part : part + 700])
            await asyncio.sleep(0.01)
        usage.record_many(made[:1_200])  # a caller that says it twice
        await usage.flush()
    assert await metering.used() == (3_000, sum(range(3_000)))


async def test_an_event_gets_its_id_and_its_time_when_it_is_recorded(away: Metering, tmp_path: Path) -> None:
    given = Event(subscription_id="sub-0", code="llm", properties={"tokens": "1"})
    usage = UsageClient(away.target, away.api_key, tmp_path, clock=lambda: NOW)
    first, second = usage.record_many([given, given])
    assert first != second
    assert not given.transaction_id
    await usage.close()
    async with away.running(), UsageClient(away.target, away.api_key, tmp_path) as later:
        await later.flush()
        assert await away.used() == (2, 2)  # in the month of the clock


async def test_a_service_that_is_away_at_first_gets_everything_later(away: Metering, tmp_path: Path) -> None:
    async with UsageClient(away.target, away.api_key, tmp_path) as usage:
        usage.record_many(events(1_500))
        with pytest.raises(TimeoutError, match=r"events are still waiting after 1 s: .*PEER_UNAVAILABLE"):
            await usage.flush(timeout_seconds=1)
        usage.record_many(events(1_500, "later"))
        async with away.running():
            await usage.flush()
            assert usage.trouble is None
            assert await away.used() == (3_000, 3_000)


async def test_refused_events_are_reported_and_kept_until_they_are_forgotten(
    metering: Metering, tmp_path: Path
) -> None:
    told: list[RefusedEvent] = []
    async with UsageClient(metering.target, metering.api_key, tmp_path, on_refused=told.append) as usage:
        usage.record_many(events(150, "bad", tokens="many"))
        usage.record_many(events(50, "good"))
        await usage.flush()
    assert await metering.used() == (50, 50)
    async with UsageClient(metering.target, metering.api_key, tmp_path) as usage:
        kept = list(usage.refused())
        assert kept == told
        assert {each.event.transaction_id for each in kept} == {f"bad-{n}" for n in range(150)}
        assert {(each.field, each.reason) for each in kept} == {("properties.tokens", "DECIMAL_MALFORMED")}
        assert "many" in kept[0].message
        usage.record_many(events(150, "bad", tokens="1"))
        usage.forget(kept)
        await usage.flush()
        assert not list(usage.refused())
    assert await metering.used() == (200, 200)


async def test_an_id_used_for_two_things_is_reported_and_the_first_stands(metering: Metering, tmp_path: Path) -> None:
    async with UsageClient(metering.target, metering.api_key, tmp_path) as usage:
        usage.record(event("same", tokens="1"))
        await usage.flush()
        usage.record(event("same", tokens="2"))
        await usage.flush()
        assert [each.reason for each in usage.refused()] == ["TRANSACTION_ID_REUSED"]
    assert await metering.used() == (1, 1)


async def test_a_full_spool_refuses_clearly_and_goes_on_when_it_has_room(away: Metering, tmp_path: Path) -> None:
    async with UsageClient(away.target, away.api_key, tmp_path, spool_bytes=256 * 1024) as usage:
        recorded = len(usage.record_many(events(1_000)))
        with pytest.raises(ResourceExhausted, match=r"has no room for 5000 more events \[SPOOL_FULL\]"):
            usage.record_many(events(5_000, "more"))
        assert usage.waiting() == recorded
        async with away.running():
            await usage.flush()
            recorded += len(usage.record_many(events(1_000, "again")))
            await usage.flush()
            assert await away.used() == (recorded, recorded)


async def test_a_service_that_has_too_much_to_do_is_given_time(
    metering: Metering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't write to its tables, until its queue is full and it says so."""
    monkeypatch.setattr(ingestion, "QUEUE_EVENTS", 3_000)
    blocker = await asyncpg.connect(metering.dsn)
    tables = await blocker.fetch("SELECT tablename AS name FROM pg_tables WHERE tableowner = current_user")
    clients = [UsageClient(metering.target, metering.api_key, tmp_path / str(n)) for n in range(4)]
    async with blocker.transaction():
        await blocker.execute(f"LOCK TABLE {', '.join(table['name'] for table in tables)}")
        for number, client in enumerate(clients):
            client.record_many(events(4_000, f"client{number}"))
            await client.__aenter__()
        await until(lambda: any(isinstance(client.trouble, ResourceExhausted) for client in clients))
    await blocker.close()
    for client in clients:
        await client.flush()
        await client.close()
    assert await metering.used() == (16_000, 16_000)


async def test_a_key_that_may_not_send_delays_events_and_loses_none(
    metering: Metering, keys: Keys, tmp_path: Path
) -> None:
    async with UsageClient(metering.target, keys.api_key("acme", "usage:read"), tmp_path) as usage:
        usage.record(event(tokens="1"))
        with pytest.raises(TimeoutError, match="lacks the scope events:write"):
            await usage.flush(timeout_seconds=0.5)
        assert isinstance(usage.trouble, PermissionDenied)
        await usage.close(timeout_seconds=0)
    async with UsageClient(metering.target, metering.api_key, tmp_path) as usage:
        await usage.flush()
    assert await metering.used() == (1, 1)


async def test_another_tenants_key_is_refused(away: Metering, keys: Keys, tmp_path: Path) -> None:
    await UsageClient(away.target, away.api_key, tmp_path).close()
    with pytest.raises(FailedPrecondition, match="SPOOL_OF_ANOTHER_TENANT"):
        UsageClient(away.target, keys.api_key("globex"), tmp_path)
    with pytest.raises(Unauthenticated, match="CREDENTIAL_INVALID"):
        UsageClient(away.target, "weir_test_nothing", tmp_path)


async def test_an_event_that_is_far_too_large_is_refused_at_once(away: Metering, tmp_path: Path) -> None:
    usage = UsageClient(away.target, away.api_key, tmp_path)
    with pytest.raises(InvalidArgument, match="EVENT_TOO_LARGE"):
        usage.record_many([event("small"), event("large", note="x" * 20_000)])
    assert usage.waiting() == 0
    await usage.close()


def test_a_forked_process_needs_a_client_of_its_own(keys: Keys, tmp_path: Path) -> None:
    usage = UsageClient("127.0.0.1:1", keys.api_key(), tmp_path)
    if (child := os.fork()) == 0:
        try:
            usage.record(event())
        except FailedPrecondition as error:
            os._exit(7 if error.reason == "SPOOL_FORKED" else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    usage.record(event())
    asyncio.run(usage.close())


async def test_threads_without_an_event_loop_have_a_client_too(metering: Metering, tmp_path: Path) -> None:
    def product() -> None:
        with BlockingUsageClient(metering.target, metering.api_key, tmp_path) as usage:
            threads = [
                threading.Thread(target=lambda n=n: [usage.record(each) for each in events(300, f"thread{n}")])
                for n in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            usage.flush()
            assert usage.waiting() == 0

    await asyncio.to_thread(product)
    assert await metering.used() == (1_200, 1_200)
