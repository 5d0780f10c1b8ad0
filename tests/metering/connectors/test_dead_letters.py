"""Records that are no events: kept once, listed, and replayed after a fix."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from libs.common.errors import InvalidArgument, PermissionDenied
from libs.common.rpc.client import channel
from tests.metering.connectors.feeds import Feed, record
from tests.metering.connectors.world import MAPPING, World
from tests.metering.requests import used
from weir.metering.v1.metering_pb2 import DeadLetter, ListDeadLettersRequest, ReplayDeadLettersRequest
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

pytestmark = pytest.mark.parametrize("feed", ["folder"], indirect=True)

WAITING, REQUESTED, REPLAYED = (
    DeadLetter.STATE_WAITING,
    DeadLetter.STATE_REQUESTED,
    DeadLetter.STATE_REPLAYED,
)


async def replay(world: World, *ids: str, connector: str = "", reason: str = "") -> int:
    request = ReplayDeadLettersRequest(ids=ids, connector=connector, reason=reason)
    return (await world.metering.ReplayDeadLetters(request)).requested_count


async def until_none_is_requested(world: World) -> list[DeadLetter]:
    async with asyncio.timeout(20):
        while any(letter.state == REQUESTED for letter in await world.dead_letters()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return await world.dead_letters()


async def test_a_refused_record_is_kept_as_it_came_with_the_reason(world: World, feed: Feed) -> None:
    await feed.put(
        b'{"id": "t", "tokens": 1.50',
        record(1, at="yesterday"),
        record(2, tokens="many"),
        record(3, at=1_900_000_000_000),
        record(4, id="\0"),
        record(5),
        record(5, tokens=7),
        record(6, tokens="x" * 100_000),
        b'{"id": "\xff\x00"}',
    )
    async with world.connector(world.settings(feed.source)):
        letters = await world.until_dead(8)
        await world.until_used(1, 6)
    assert [(each.field, each.reason) for each in letters] == [
        ("", "RECORD_MALFORMED"),
        ("timestamp", "TIMESTAMP_MALFORMED"),
        ("properties.tokens", "DECIMAL_MALFORMED"),
        ("timestamp", "TIMESTAMP_IN_FUTURE"),
        ("transaction_id", "TEXT_MALFORMED"),
        ("transaction_id", "TRANSACTION_ID_REUSED"),
        ("", "EVENT_TOO_LARGE"),
        ("", "RECORD_MALFORMED"),
    ]
    assert letters[0].record == '{"id": "t", "tokens": 1.50'
    assert letters[1].record == record(1, at="yesterday").decode()
    assert "'yesterday'" in letters[1].message
    assert len(letters[6].record) == 8 * 1024
    assert {each.connector for each in letters} == {"usage"}
    assert {each.state for each in letters} == {WAITING}
    assert letters[0].position.endswith(".ndjson#1")


async def test_dead_letters_are_replayed_by_the_mapping_that_has_been_fixed(world: World, feed: Feed) -> None:
    await feed.put(*(record(number, tokens={"total": number + 1}) for number in range(20)), b"broken")
    async with world.connector(world.settings(feed.source)):
        assert {each.reason for each in await world.until_dead(21)} == {"VALUE_NOT_SCALAR", "RECORD_MALFORMED"}
        assert await replay(world, connector="usage") == 21
        assert {each.state for each in await until_none_is_requested(world)} == {WAITING}
    fixed = world.settings(feed.source, MAPPING | {"properties": {"tokens": "tokens.total"}})
    async with world.connector(fixed):
        assert await replay(world, connector="usage", reason="VALUE_NOT_SCALAR") == 20
        *replayed, broken = await until_none_is_requested(world)
        await world.until_used(20, 210)
        assert {each.state for each in replayed} == {REPLAYED}
        assert broken.state == WAITING
        assert await replay(world, *(each.id for each in replayed)) == 0
    assert (await used(world.metering, "tokens"))["tokens"] == "210"


async def test_a_replay_that_fails_waits_for_the_reason_it_has_now(world: World, feed: Feed) -> None:
    await feed.put(record(0, at=1_900_000_000_000))
    async with world.connector(world.settings(feed.source)):
        [letter] = await world.until_dead(1)
    other = MAPPING | {"subscription_id": "customer"}
    async with world.connector(world.settings(feed.source, other)):
        assert await replay(world, letter.id) == 1
        [again] = await until_none_is_requested(world)
    assert (again.field, again.reason, again.state) == ("subscription_id", "FIELD_MISSING", WAITING)
    assert again.replay_time.seconds >= again.request_time.seconds > 0
    assert again.create_time == letter.create_time


@pytest.fixture
async def globex(world: World) -> AsyncIterator["MeteringServiceAsyncStub"]:
    """Another tenant."""
    async with channel(f"127.0.0.1:{world.port}", world.keys.api_key("globex")) as opened:
        yield MeteringServiceStub(opened)


async def test_dead_letters_are_the_tenants_own(world: World, feed: Feed, globex: "MeteringServiceAsyncStub") -> None:
    await feed.put(b"broken")
    async with world.connector(world.settings(feed.source)):
        [letter] = await world.until_dead(1)
    assert not (await globex.ListDeadLetters(ListDeadLettersRequest())).dead_letters
    for request in (ReplayDeadLettersRequest(ids=[letter.id]), ReplayDeadLettersRequest(connector="usage")):
        assert (await globex.ReplayDeadLetters(request)).requested_count == 0


async def test_a_list_is_by_connector_and_state_in_pages(world: World, feed: Feed) -> None:
    await feed.put(*(f"broken {number}".encode() for number in range(5)))
    async with world.connector(world.settings(feed.source)):
        letters = await world.until_dead(5)
    assert await replay(world, letters[0].id) == 1
    seen, token = [], ""
    while token or not seen:
        request = ListDeadLettersRequest(connector="usage", state=WAITING, page_size=3, page_token=token)
        page = await world.metering.ListDeadLetters(request)
        seen += page.dead_letters
        token = page.next_page_token
    assert seen == letters[1:]
    assert [each.record for each in letters] == [f"broken {number}" for number in range(5)]
    assert not (await world.metering.ListDeadLetters(ListDeadLettersRequest(connector="other"))).dead_letters


async def test_a_replay_must_say_of_what(world: World, feed: Feed) -> None:
    for request, reason in (
        (ReplayDeadLettersRequest(reason="FIELD_MISSING"), "FIELD_MISSING"),
        (ReplayDeadLettersRequest(ids=["dl"] * 10_001), "IDS_TOO_MANY"),
        (ReplayDeadLettersRequest(ids=[""]), "FIELD_MISSING"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await world.metering.ReplayDeadLetters(request)
        assert refused.value.reason == reason
    with pytest.raises(InvalidArgument):
        await world.metering.ListDeadLetters(ListDeadLettersRequest(state=9))  # type: ignore[arg-type]
    async with channel(f"127.0.0.1:{world.port}", world.keys.api_key("acme", "usage:read")) as opened:
        with pytest.raises(PermissionDenied):
            await MeteringServiceStub(opened).ReplayDeadLetters(ReplayDeadLettersRequest(connector="usage"))
