"""CloudEvents over HTTP, by a client that is not ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest

from services.metering.connectors.delivery import MAX_EVENTS
from tests.metering.connectors.world import World
from tests.metering.requests import event as event_of
from tests.metering.requests import ingest, used

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
SOURCE = {"kind": "http", "listen": "127.0.0.1:0"}


def event(number: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "/eu",
        "type": "llm",
        "subject": "sub-0",
        "time": "2023-11-20T10:00:00Z",
        "data": {"tokens": number + 1},
    } | fields


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.connector(world.settings(SOURCE, "cloudevents")) as port:
        headers = {"authorization": f"Bearer {world.keys.api_key('acme', 'events:write')}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as opened:
            yield opened


async def post(client: httpx.AsyncClient, body: Any, kind: str = STRUCTURED, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/events", content=content, headers={"content-type": kind, **names})


async def test_one_event_in_structured_mode(world: World, client: httpx.AsyncClient) -> None:
    body = json.dumps(event()).replace('"tokens": 1', '"tokens": 1.10').encode()
    answer = await post(client, body)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "duplicates": [], "failures": []})
    assert (await post(client, body, STRUCTURED + "; charset=UTF-8")).json()["duplicates"] == [0]
    assert (await used(world.metering, "requests", "tokens")) == {"requests": "1", "tokens": "1.1"}


async def test_one_event_in_binary_mode_is_the_same_event(world: World, client: httpx.AsyncClient) -> None:
    await post(client, event(subject="süb"))
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": "0",
        "ce_source": "/eu",
        "ce_type": "llm",
        "ce_subject": "s%C3%BCb",
        "ce_time": "2023-11-20T10:00:00Z",
    }
    answer = await post(client, b'{"tokens": 1}', "application/json", **attributes)
    assert (answer.status_code, answer.json()["duplicates"]) == (200, [0])


async def test_a_batch_is_answered_event_by_event(world: World, client: httpx.AsyncClient) -> None:
    await post(client, event(1))
    events = [
        event(0),
        event(1),
        event(1, data={"tokens": 5}),
        event(2, subject=""),
        event(3, time="today"),
        event(4, type="other"),
        event(5, data={"tokens": "x"}),
        event(6, specversion="0.3"),
        event(7, id=None),
        "no event",
        event(8),
    ]
    answer = await post(client, events, BATCH)
    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (2, [1])
    assert [(each["index"], each["field"], each["reason"]) for each in answer.json()["failures"]] == [
        (2, "transaction_id", "TRANSACTION_ID_REUSED"),
        (3, "subscription_id", "FIELD_MISSING"),
        (4, "timestamp", "TIMESTAMP_MALFORMED"),
        (5, "code", "METER_UNKNOWN"),
        (6, "properties.tokens", "DECIMAL_MALFORMED"),
        (7, "specversion", "SPECVERSION_UNSUPPORTED"),
        (8, "id", "FIELD_MISSING"),
        (9, "", "RECORD_MALFORMED"),
    ]
    assert (await used(world.metering, "requests", "tokens")) == {"requests": "3", "tokens": "12"}


async def test_a_batch_may_be_empty_or_as_large_as_a_request(world: World, client: httpx.AsyncClient) -> None:
    assert (await post(client, [], BATCH)).json() == {"accepted": 0, "duplicates": [], "failures": []}
    assert (await post(client, [event(n) for n in range(MAX_EVENTS)], BATCH)).json()["accepted"] == MAX_EVENTS
    answer = await post(client, [event(n) for n in range(MAX_EVENTS + 1)], BATCH)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "EVENTS_TOO_MANY")


async def test_a_single_event_that_is_refused_is_a_bad_request_and_a_dead_letter_once(
    world: World, client: httpx.AsyncClient
) -> None:
    for _ in range(2):
        answer = await post(client, event(data={"tokens": "x"}))
        assert answer.status_code == 400
        [failure] = answer.json()["failures"]
        assert (failure["field"], failure["reason"]) == ("properties.tokens", "DECIMAL_MALFORMED")
    [letter] = await world.dead_letters()
    assert (letter.position, letter.reason) == ("/eu|0", "DECIMAL_MALFORMED")
    assert json.loads(letter.record) == event(data={"tokens": "x"})


@pytest.mark.parametrize(
    ("body", "kind", "field", "reason"),
    [
        (b"{", STRUCTURED, "body", "RECORD_MALFORMED"),
        (b"[]", STRUCTURED, "body", "RECORD_MALFORMED"),
        (b"{}", BATCH, "body", "RECORD_MALFORMED"),
        (b"{}", "application/json", "content-type", "CONTENT_TYPE_UNSUPPORTED"),
    ],
)
async def test_a_request_that_holds_no_cloudevent_is_refused(
    client: httpx.AsyncClient, body: bytes, kind: str, field: str, reason: str
) -> None:
    answer = await post(client, body, kind)
    assert answer.status_code == 400
    assert (answer.json()["error"]["field"], answer.json()["error"]["reason"]) == (field, reason)


async def test_a_sender_needs_a_key_with_the_scope(world: World, client: httpx.AsyncClient) -> None:
    cases = [
        ("", 401, "CREDENTIAL_MISSING"),
        ("Bearer weir_live_nonsense", 401, "CREDENTIAL_INVALID"),
        (f"Bearer {world.keys.api_key('acme', 'usage:read')}", 403, "SCOPE_MISSING"),
    ]
    for authorization, status, reason in cases:
        answer = await post(client, event(), authorization=authorization)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (status, reason)
    assert (await used(world.metering, "requests"))["requests"] == "0"


async def test_an_event_belongs_to_the_tenant_of_the_key(world: World, client: httpx.AsyncClient) -> None:
    answer = await post(client, event(), authorization=f"Bearer {world.keys.api_key('globex')}")
    assert answer.json()["failures"][0]["reason"] == "METER_UNKNOWN"  # globex has none
    assert (await used(world.metering, "requests"))["requests"] == "0"
    assert await world.dead_letters() == []


async def test_a_sender_is_told_to_come_again_when_metering_is_full(world: World, client: httpx.AsyncClient) -> None:
    """Its writers are held up, and others have filled its queue."""
    conn = await asyncpg.connect(world.database.dsns["metering"])
    many = [event_of(f"t-{number}", tokens="1") for number in range(MAX_EVENTS)]
    others: list[asyncio.Task[Any]] = []
    async with conn.transaction():
        await conn.execute("LOCK TABLE tenant")
        async with asyncio.timeout(20):
            while not any(other.done() for other in others):
                others.append(asyncio.create_task(ingest(world.metering, many)))
                await asyncio.sleep(0.05)
        answer = await post(client, event())
        assert (answer.status_code, answer.json()["error"]["reason"]) == (429, "INGEST_QUEUE_FULL")
        assert int(answer.headers["retry-after"]) >= 1
    await asyncio.gather(*others, return_exceptions=True)
    await conn.close()
    assert (await post(client, event())).status_code == 200


async def test_a_sender_is_told_to_come_again_when_metering_is_away(world: World) -> None:
    away = replace(world.settings(SOURCE, "cloudevents"), target="127.0.0.1:1")
    headers = {"authorization": f"Bearer {world.keys.api_key()}"}
    async with (
        world.connector(away) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client,
    ):
        answer = await post(client, event())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await client.get("/health")).status_code == 200


async def test_a_body_without_end_is_not_read(client: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    head = f"POST /events HTTP/1.1\r\nhost: h\r\nauthorization: {client.headers['authorization']}\r\n"
    writer.write(f"{head}content-length: {2**40}\r\n\r\n".encode())
    assert b" 413 " in await reader.readline()
    writer.close()
