import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

import asyncpg
import grpc
import pytest

from libs.common.errors import InvalidArgument, Unavailable
from libs.common.rpc.client import channel, typed_errors
from services.metering.main import Settings, running
from tests.conftest import Database, Keys
from tests.metering.conftest import Client
from tests.metering.requests import NOW, event, ingest, make_meters, used
from weir.metering.v1.metering_pb2 import Event, IngestEventStreamRequest, IngestEventStreamResponse
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub


def batch(batch_id: int, events: Iterable[Event]) -> IngestEventStreamRequest:
    return IngestEventStreamRequest(batch_id=batch_id, events=events)


async def send(metering: Client, batches: Iterable[IngestEventStreamRequest]) -> dict[int, IngestEventStreamResponse]:
    """Answers by batch_id."""
    with typed_errors():
        return {answer.batch_id: answer async for answer in metering.IngestEventStream(iter(batches))}


async def test_every_batch_has_an_answer_of_its_own(metering: Client) -> None:
    await make_meters(metering)
    batches = [batch(n, [event(f"t-{n}-{i}", tokens="1") for i in range(50)]) for n in range(60)]
    batches.append(batch(1000, [event("t-0-0", tokens="1"), event("t-0-1", tokens="2"), event("new", code="gpu")]))
    answers = await send(metering, batches)
    assert len(answers) == 61
    assert all(answers[n].result.accepted_count == 50 for n in range(60))
    last = answers[1000].result
    assert list(last.duplicate_indexes) == [0]
    assert [(failure.index, failure.reason) for failure in last.failures] == [
        (1, "TRANSACTION_ID_REUSED"),
        (2, "METER_UNKNOWN"),
    ]
    assert await used(metering, "requests") == {"requests": "3000"}


async def test_a_batch_is_answered_while_the_stream_stays_open(metering: Client) -> None:
    await make_meters(metering)
    stream = metering.IngestEventStream()
    for number in range(3):
        await stream.write(batch(number, [event(f"t-{number}", tokens="1")]))
        answer = await stream.read()
        assert isinstance(answer, IngestEventStreamResponse)
        assert answer.batch_id == number
        assert await used(metering, "requests") == {"requests": str(number + 1)}
    await stream.done_writing()
    assert await stream.read() == grpc.aio.EOF


async def test_two_streams_send_the_same_batches_and_each_event_counts_once(
    metering: Client, other_server: Client
) -> None:
    await make_meters(metering)
    batches = [batch(n, [event(f"t-{n}-{i}", f"sub-{i % 3}", tokens="1") for i in range(100)]) for n in range(20)]
    both = await asyncio.gather(send(metering, batches), send(other_server, batches[::-1]))
    assert sum(answer.result.accepted_count for answers in both for answer in answers.values()) == 2000
    assert sum(len(answer.result.duplicate_indexes) for answers in both for answer in answers.values()) == 2000


@pytest.mark.parametrize(("count", "reason"), [(0, "EVENTS_EMPTY"), (10_001, "EVENTS_TOO_MANY")])
async def test_a_batch_of_a_wrong_size_ends_the_stream(metering: Client, count: int, reason: str) -> None:
    await make_meters(metering)
    with pytest.raises(InvalidArgument) as refused:
        await send(metering, [batch(1, [event(f"t-{n}") for n in range(count)])])
    assert refused.value.reason == reason


async def test_a_batch_that_cannot_be_taken_is_answered_so_and_the_stream_goes_on(
    metering: Client, database: Database
) -> None:
    await make_meters(metering)
    conn = await asyncpg.connect(database.dsns["metering"])
    blocked = conn.transaction()
    await blocked.start()
    await conn.execute("LOCK TABLE event_key IN ACCESS EXCLUSIVE MODE")
    batches = [batch(n, [event(f"t-{n}-{i}", tokens="1") for i in range(10_000)]) for n in range(9)]
    stream = metering.IngestEventStream()
    sending = asyncio.create_task(write_all(stream, batches))
    refused = await stream.read()
    assert isinstance(refused, IngestEventStreamResponse)
    assert refused.retry_after_ms > 0
    assert not refused.HasField("result")
    await blocked.rollback()
    await conn.close()
    answers = [refused]
    while len(answers) < 9:
        answer = await stream.read()
        assert isinstance(answer, IngestEventStreamResponse)
        answers.append(answer)
    await sending
    again = [answer.batch_id for answer in answers if answer.retry_after_ms]
    assert await used(metering, "requests") == {"requests": str(10_000 * (9 - len(again)))}
    for batch_id in again:
        await stream.write(batches[batch_id])
        answer = await stream.read()
        assert isinstance(answer, IngestEventStreamResponse)
        assert answer.result.accepted_count == 10_000
    await stream.done_writing()


async def write_all(
    stream: "grpc.aio.StreamStreamCall[IngestEventStreamRequest, IngestEventStreamResponse]",
    batches: Iterable[IngestEventStreamRequest],
) -> None:
    for each in batches:
        await stream.write(each)


async def test_a_stopping_server_answers_what_it_has_read_and_ends_its_streams(database: Database, keys: Keys) -> None:
    settings = Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen="127.0.0.1:0")
    answered: set[int] = set()
    enough = asyncio.Event()

    async def batches(most: int) -> AsyncIterator[IngestEventStreamRequest]:
        for number in range(most):
            yield batch(number, [event(f"t-{number}-{i}", tokens="1") for i in range(10)])
        await asyncio.Event().wait()

    async def listen(metering: Client, most: int) -> None:
        answered.clear()
        enough.clear()
        with typed_errors():
            async for answer in metering.IngestEventStream(batches(most)):
                answered.add(answer.batch_id)
                if len(answered) == min(most, 20):
                    enough.set()

    # A client that is writing when the stream ends does not always see why.
    for most, reasons in (20, {"SERVER_STOPPING"}), (100_000, {"SERVER_STOPPING", "PEER_UNAVAILABLE"}):
        async with AsyncExitStack() as client, AsyncExitStack() as server:
            port = await server.enter_async_context(running(settings, lambda: NOW))
            metering = MeteringServiceStub(
                await client.enter_async_context(channel(f"127.0.0.1:{port}", keys.api_key(), retries=False))
            )
            if most == 20:
                await make_meters(metering)
            listening = asyncio.create_task(listen(metering, most))
            await enough.wait()
            async with asyncio.timeout(5):
                await server.aclose()
            with pytest.raises(Unavailable) as ended:
                await listening
            assert ended.value.reason in reasons
    conn = await asyncpg.connect(database.dsns["metering"])
    recorded = {row["transaction_id"] for row in await conn.fetch("SELECT transaction_id FROM event")}
    await conn.close()
    assert recorded >= {f"t-{number}-{i}" for number in answered for i in range(10)}


async def test_a_sender_who_leaves_takes_nobody_with_it(metering: Client) -> None:
    await make_meters(metering)
    stream = metering.IngestEventStream()
    await stream.write(batch(1, [event(f"t-{n}", tokens="1") for n in range(5000)]))
    stream.cancel()
    answer = await ingest(metering, [event("other", tokens="1")])
    assert answer.accepted_count == 1
