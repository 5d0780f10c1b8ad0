"""An answer's watermark says exactly what it contains, for ever, whatever was under way when it was given."""

import asyncio
import random

import asyncpg
import pytest

from libs.common.errors import FailedPrecondition
from services.metering import store
from services.metering.domain.events import EventColumns
from services.metering.domain.meters import TenantCatalog, Watch
from services.metering.events_in import events_in
from tests.conftest import Database
from tests.metering.conftest import Client
from tests.metering.requests import NOW, event, ingest, make_meters, usage_of, used
from weir.metering.v1.metering_pb2 import BatchGetUsageRequest

METERS = ("requests", "tokens")


async def read(client: Client, watermark: int = 0) -> tuple[int, list[tuple[str, int]]]:
    answer = await client.GetUsage(usage_of(*METERS, watermark=watermark))
    return answer.watermark, [(usage.quantity, usage.event_count) for usage in answer.usages]


async def test_an_answer_can_be_asked_again_at_its_watermark(metering: Client, other_server: Client) -> None:
    await make_meters(metering)
    answers = [await read(metering)]
    for number in range(5):
        await ingest(metering, [event(f"t-{number}", tokens=str(number))])
        answers.append(await read(metering))
    assert len({watermark for watermark, _ in answers}) == 6
    for watermark, usages in answers:
        assert await read(other_server, watermark) == (watermark, usages)


async def test_the_empty_log_has_a_watermark_that_can_be_asked_for(metering: Client) -> None:
    await make_meters(metering)
    watermark, usages = await read(metering)
    assert watermark > 0
    await ingest(metering, [event(tokens="1")])
    assert await read(metering, watermark) == (watermark, usages)


async def test_duplicates_alone_do_not_move_the_log(metering: Client) -> None:
    await make_meters(metering)
    await ingest(metering, [event(tokens="1")])
    before = await read(metering)
    await ingest(metering, [event(tokens="1"), event(tokens="2")])
    assert await read(metering) == before


async def test_a_watermark_not_reached_yet_is_refused(metering: Client) -> None:
    await make_meters(metering)
    watermark, _ = await read(metering)
    with pytest.raises(FailedPrecondition) as refused:
        await read(metering, watermark + 1)
    assert refused.value.reason == "WATERMARK_AHEAD"
    await ingest(metering, [event(tokens="1")])
    assert (await read(metering, watermark + 1))[1] == [("1", 1), ("1", 1)]


async def test_answers_given_while_servers_write_stay_true(metering: Client, other_server: Client) -> None:
    """Every answer taken during a storm of writes is asked again, on both servers, when it is over."""
    await make_meters(metering)
    chance = random.Random(7)
    recorded = 0
    answers: set[tuple[int, tuple[tuple[str, int], ...]]] = set()
    writing = True

    async def write(client: Client, writer: int) -> None:
        nonlocal recorded
        batch = 0
        while batch < 25 or len(answers) <= 20:  # until there has been something to see, however busy the machine is
            batch += 1
            events = [
                event(f"{chance.choice((writer, 'common'))}-{batch}-{n}", f"sub-{n % 2}", tokens="3")
                for n in range(chance.randrange(1, 120))
            ]
            recorded += (await ingest(client, events)).accepted_count

    async def watch(client: Client) -> None:
        last = 0
        while writing:
            acknowledged = recorded
            both = [usage_of(*METERS, subscription_id=f"sub-{n}") for n in range(2)]
            answer = await client.BatchGetUsage(BatchGetUsageRequest(queries=both))
            assert answer.watermark >= last
            assert sum(each.usages[0].event_count for each in answer.answers) >= acknowledged
            last = answer.watermark
            first = tuple((usage.quantity, usage.event_count) for usage in answer.answers[0].usages)
            answers.add((answer.watermark, first))

    watchers = [asyncio.create_task(watch(client)) for client in (metering, other_server) for _ in range(2)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(write((metering, other_server)[writer % 2], writer) for writer in range(8)))
    writing = False
    await asyncio.gather(*watchers)
    assert len(answers) > 20
    assert len({watermark for watermark, _ in answers}) == len(answers)
    for watermark, usages in answers:
        for client in (metering, other_server):
            assert await read(client, watermark) == (watermark, list(usages))


async def test_a_transaction_in_flight_is_after_every_answer_given_before_it_commits(
    metering: Client, other_server: Client, database: Database
) -> None:
    await make_meters(metering)
    await ingest(metering, [event("first", tokens="1")])
    before = await read(metering)
    conn = await store.connect_writer(database.dsns["metering"])
    slow = conn.transaction()
    await slow.start()
    await store.record_events(conn, await columns_of(conn, "slow", "10"), NOW)
    waiting = asyncio.create_task(ingest(other_server, [event("late", tokens="100")]))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    assert await read(metering) == before
    await slow.commit()
    await conn.close()
    await waiting
    after, usages = await read(metering)
    assert usages == [("3", 3), ("111", 3)]
    assert await read(metering, before[0]) == before
    assert after == before[0] + 2
    assert (await read(other_server, before[0] + 1))[1] == [("2", 2), ("11", 2)]


async def test_a_transaction_that_fails_leaves_nothing_and_hides_nothing(metering: Client, database: Database) -> None:
    await make_meters(metering)
    await ingest(metering, [event("first", tokens="1")])
    conn = await store.connect_writer(database.dsns["metering"])
    failing = conn.transaction()
    await failing.start()
    await store.record_events(conn, await columns_of(conn, "never", "10"), NOW)
    waiting = asyncio.create_task(ingest(metering, [event("never", tokens="20")]))
    await asyncio.sleep(0.1)
    await failing.rollback()
    await conn.close()
    assert (await waiting).accepted_count == 1
    assert await used(metering, "tokens") == {"tokens": "21"}


async def columns_of(conn: "asyncpg.Connection[asyncpg.Record]", transaction_id: str, tokens: str) -> EventColumns:
    """The row of one event, as a server would write it."""
    [(tenant_id, tenant_no, version, _)] = await store.catalog_versions(conn, ["acme"])
    numbers = await store.number_series(conn, [("acme", "sub-0", "llm")])
    series = {"sub-0": numbers["acme", "sub-0", "llm"]}
    columns = EventColumns()
    catalog = TenantCatalog(tenant_id, tenant_no, version, {"llm": Watch((), series)})
    events_in([event(transaction_id, tokens=tokens)], catalog, NOW, columns)
    return columns
