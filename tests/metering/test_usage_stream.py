"""StreamUsage: an answer now, and one after each change."""

import asyncio
from typing import Any

import asyncpg
import grpc
import pytest

from libs.common.errors import BillingError, Unavailable
from libs.common.postgres import Pool
from libs.common.rpc.client import channel, typed_errors
from libs.embedded.process import free_port
from services.metering import convert, store
from services.metering.domain.usage import Answers
from services.metering.usage_streams import UsageStreams
from tests.conftest import Database, Keys
from tests.metering.conftest import Client, Connect, Corrections
from tests.metering.processes import Server
from tests.metering.requests import amend, change, close_backfill, event, ingest, make_meters, open_backfill, usage_of
from weir.metering.v1.metering_pb2 import (
    GetUsageRequest,
    ListMetersRequest,
    StreamUsageRequest,
    StreamUsageResponse,
)
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub


def request(subscription_id: str = "sub-0", min_interval_ms: int = 0) -> StreamUsageRequest:
    query = usage_of("tokens", subscription_id=subscription_id)
    return StreamUsageRequest(query=query, min_interval_ms=min_interval_ms)


async def answer(stream: Any) -> str:
    """The quantity of the next answer."""
    with typed_errors():
        async with asyncio.timeout(10):
            found = await stream.read()
    assert isinstance(found, StreamUsageResponse)
    return found.usages[0].quantity


async def test_an_answer_comes_at_once_and_after_each_change(metering: Client, other_server: Client) -> None:
    """Whichever server recorded the events."""
    await make_meters(metering)
    stream = metering.StreamUsage(request())
    assert await answer(stream) == "0"
    for number, sender in enumerate((metering, other_server, metering), 1):
        await ingest(sender, [event(f"t-{number}", tokens="5")])
        assert await answer(stream) == str(5 * number)


async def test_corrections_are_told_as_events_are(metering: Client, corrections: Corrections) -> None:
    await make_meters(metering)
    sent = event("t", tokens="5")
    await ingest(metering, [sent])
    stream = metering.StreamUsage(request())
    assert await answer(stream) == "5"
    backfill_id = await open_backfill(corrections)
    await ingest(metering, [event("u", tokens="2")], backfill_id)
    await close_backfill(corrections, backfill_id)
    assert await answer(stream) == "7"
    await amend(corrections, change(sent))
    assert await answer(stream) == "2"


async def test_an_answer_can_be_asked_for_again_at_its_watermark(metering: Client) -> None:
    await make_meters(metering)
    stream = metering.StreamUsage(request())
    await stream.read()
    await ingest(metering, [event("t", tokens="5")])
    found = await stream.read()
    await ingest(metering, [event("u", tokens="5")])
    again = await metering.GetUsage(usage_of("tokens", watermark=found.watermark))
    assert (list(again.usages), again.watermark) == (list(found.usages), found.watermark)


async def test_what_does_not_change_the_answer_is_not_told(metering: Client, connect: Connect) -> None:
    """Others' events, of other subscriptions and tenants, and duplicates."""
    await make_meters(metering)
    stranger = connect("stranger")
    await make_meters(stranger)
    await ingest(metering, [event("t", tokens="5")])
    stream = metering.StreamUsage(request())
    assert await answer(stream) == "5"
    for number in range(5):
        await ingest(stranger, [event(f"s-{number}", tokens="1")])
        await ingest(metering, [event(f"o-{number}", "sub-1", tokens="1"), event("t", tokens="5")])
        await asyncio.sleep(0.1)
    await ingest(metering, [event("u", tokens="2")])
    assert await answer(stream) == "7"


async def test_changes_that_come_faster_than_the_interval_are_one_answer(metering: Client) -> None:
    await make_meters(metering)
    stream = metering.StreamUsage(request(min_interval_ms=1_500))
    assert await answer(stream) == "0"
    for number in range(20):
        await ingest(metering, [event(f"t-{number}", tokens="1")])
    assert await answer(stream) == "20"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (StreamUsageRequest(), "FIELD_MISSING"),
        (StreamUsageRequest(query=GetUsageRequest(subscription_id="s")), "FIELD_MISSING"),
        (StreamUsageRequest(query=usage_of("none")), "METER_NOT_FOUND"),
        (StreamUsageRequest(query=usage_of("tokens", watermark=3)), "WATERMARK_MISPLACED"),
        (request(min_interval_ms=-1), "INTERVAL_OUT_OF_RANGE"),
    ],
    ids=["query", "period", "meter", "watermark", "interval"],
)
async def test_what_cannot_be_streamed_is_refused(metering: Client, asked: StreamUsageRequest, reason: str) -> None:
    await make_meters(metering)
    with pytest.raises(BillingError) as refused:
        await answer(metering.StreamUsage(asked))
    assert refused.value.reason == reason


async def test_a_stream_needs_the_scope_to_read(connect: Connect) -> None:
    with pytest.raises(BillingError, match="SCOPE_MISSING"):
        await answer(connect("acme", "events:write").StreamUsage(request()))


async def test_a_server_that_stops_ends_its_streams_in_order(database: Database, keys: Keys) -> None:
    server = Server(free_port(), database.dsns["metering"], keys.public_pem)
    async with server.process() as process, channel(server.target, keys.api_key(), retries=False) as opened:
        metering = MeteringServiceStub(opened)
        await metering.ListMeters(ListMetersRequest(), wait_for_ready=True)
        await make_meters(metering)
        waiting, paused = metering.StreamUsage(request()), metering.StreamUsage(request(min_interval_ms=3_600_000))
        assert [await answer(each) for each in (waiting, paused)] == ["0", "0"]
        await ingest(metering, [event("t", tokens="1")])
        assert await answer(waiting) == "1"
        process.terminate()
        for stream in (waiting, paused):
            with pytest.raises(Unavailable, match="SERVER_STOPPING"):
                await answer(stream)
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_hundreds_of_streams_share_one_poll_and_leave_nothing(pool: Pool, metering: Client) -> None:
    await make_meters(metering)
    streams, asked = UsageStreams(pool), convert.asked_in(usage_of("tokens", subscription_id="sub-7"))
    reads = 0

    async def ask() -> Answers:
        nonlocal reads
        reads += 1
        async with pool.acquire() as conn:
            return await store.read_usage(conn, "acme", [asked], None)

    opened = [streams.answers("acme", f"sub-{n}", ask, 0) for n in range(300)]
    for each in opened:
        await anext(each)
    following = [asyncio.ensure_future(anext(each)) for each in opened]
    await asyncio.sleep(0.5)
    assert reads <= 600  # the first answer, and one look when the poll begins
    settled = reads
    await ingest(metering, [event("t", "sub-7", tokens="1")])
    await following[7]
    await asyncio.sleep(0.5)
    assert reads - settled == 1
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    await opened[7].aclose()
    assert not streams._watches
    assert streams._poller is None


async def test_a_stream_whose_database_goes_away_is_told_so(metering: Client, database: Database) -> None:
    """The connections are cut; the caller opens another stream, which is served again."""
    await make_meters(metering)
    stream = metering.StreamUsage(request())
    assert await answer(stream) == "0"
    admin = await asyncpg.connect(database.dsns["metering"])
    try:
        await admin.execute("ALTER TABLE event_batch RENAME TO event_batch_away")
        with pytest.raises(grpc.aio.AioRpcError):
            await answer(stream)
        await admin.execute("ALTER TABLE event_batch_away RENAME TO event_batch")
    finally:
        await admin.close()
    assert await answer(metering.StreamUsage(request())) == "0"
