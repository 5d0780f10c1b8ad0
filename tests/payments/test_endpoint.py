"""The webhook endpoint and those who mean it ill: it refuses them, forgets them, and goes on taking webhooks."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import asyncpg
import httpx
import pytest
import stripe

from libs.common import web
from services.payments import intake
from tests.payments.shop import Shop, eventually
from tests.payments.test_webhooks import event_about

WEBHOOKS = 60
PATH = b"POST /webhooks/acme/stripe HTTP/1.1\r\nHost: localhost\r\n"


async def answers(shop: Shop, *parts: bytes) -> bytes:
    """What comes back, until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.deployment.ports.webhook)
    found = bytearray()

    async def read() -> None:
        with suppress(ConnectionResetError):
            while chunk := await reader.read(65536):
                found.extend(chunk)

    reading = asyncio.create_task(read())
    with suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
    async with asyncio.timeout(10):
        await reading
    writer.close()
    return bytes(found)


async def works(shop: Shop, event_id: str) -> bool:
    return await shop.deliver(event_about("pi_1", event_id=event_id)) == 200


NO_HTTP = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",  # TLS, to a port that has none
    b"GET /\r\nHost\r\n\r\n",
    PATH + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    PATH + b"Content-Length: -1\r\n\r\n",
    PATH + b"Content-Length: 5, 5\x00\r\n\r\nhello",
    PATH + b"Transfer-Encoding: gzip\r\n\r\n",
    PATH + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    PATH + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
)


async def test_what_is_no_http_is_answered_once_and_cut_off(shop: Shop) -> None:
    for sent in NO_HTTP:
        assert (await answers(shop, sent))[:10] in (b"", b"HTTP/1.1 4", b"HTTP/1.1 5"), sent[:40]
    assert await works(shop, "evt_after")
    assert [event["id"] for event in await shop.events()] == ["evt_after"]


async def test_a_second_request_does_not_hide_in_the_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reader takes the length, another the chunks: what is between them would be a request of its own."""
    monkeypatch.setattr(web, "HEAD_SECONDS", 0.1)
    smuggled = b"POST /webhooks/acme/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = await answers(shop, PATH + both + smuggled)
    assert answer.count(b"HTTP/1.1 200") == 0
    assert await shop.events() == []


async def test_a_head_that_comes_byte_by_byte_is_not_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEAD_SECONDS", 0.1)
    assert await answers(shop, *(bytes([byte]) for byte in PATH[:20])) == b""
    first = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await answers(shop, first, *(bytes([byte]) for byte in PATH[:20]))
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 404")


async def test_what_follows_a_refused_body_is_not_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEAD_SECONDS", 0.1)
    answer = await answers(shop, PATH + b"Content-Length: 99999999\r\n\r\n", *[b"x" * 10] * 20)
    assert answer.startswith(b"HTTP/1.1 413")


async def test_hundreds_who_hold_on_to_their_connections_hold_up_nobody(shop: Shop) -> None:
    held = [await asyncio.open_connection("127.0.0.1", shop.deployment.ports.webhook) for _ in range(300)]
    for _, writer in held:
        writer.write(PATH + b"Content-Length: 100\r\n\r\n{")
    assert await works(shop, "evt_beside")
    for _, writer in held:
        writer.close()


MADE_UP: Sequence[Mapping[str, str]] = (
    {},
    {"Stripe-Signature": "t=1700000000,v1=\xff"},
    {"Stripe-Signature": "t=9999999999999999999999999,v1=" + "0" * 64},
    {"Stripe-Signature": "v1=" + "0" * 64 + ",t=abc"},
    {"Stripe-Signature": ",".join(["v1=" + "0" * 64] * 500)},
    {"hmacsignature": "x", "Webhook-Signature": "y"},
)


async def test_no_signature_that_can_be_made_up_is_believed(shop: Shop) -> None:
    url = f"{shop.deployment.webhook_url}/webhooks/acme/stripe"
    async with httpx.AsyncClient(trust_env=False) as client:
        for headers in MADE_UP:
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            answer = await client.post(url, content=event_about("pi_1"), headers=raw)
            assert answer.status_code == 400, headers
    assert await shop.events() == []
    [row] = await shop.deployment.rows("SELECT refused_webhook_count FROM processor_account")
    assert row[0] == len(MADE_UP)


async def test_a_webhook_of_one_account_is_none_of_another_of_the_same_tenant(shop: Shop) -> None:
    other = await Shop(shop.deployment, account_id="second").open(webhooks=True)
    body = event_about("pi_1")
    stolen = stripe.WebhookSignature.generate_signature_header(body, shop.webhook_secret)
    assert await other.deliver(body, header=stolen) == 400
    assert await shop.events() == []


async def test_an_id_that_no_index_takes_harms_no_webhook_beside_it(shop: Shop) -> None:
    """Whoever has a secret may sign anything; the webhooks of others wait in the same group."""
    ids = ["x" * 100_000, *(f"evt_{number}" for number in range(20))]
    sent = await asyncio.gather(*(shop.deliver(event_about("pi_1", event_id=each)) for each in ids))
    assert sent == [200] * len(ids)
    stored = {event["id"]: event["state"] for event in await shop.events()}
    assert [stored.pop(each) for each in ids[1:]] == ["RECEIVED"] * 20
    assert list(stored.values()) == ["PARKED"]


async def test_webhooks_that_come_at_once_are_each_there_once(shop: Shop) -> None:
    ids = [f"evt_{number}" for number in range(WEBHOOKS)]
    bodies = [event_about("pi_1", event_id=each) for each in [*ids, *ids[:50]]]
    url = f"{shop.deployment.webhook_url}/webhooks/acme/stripe"
    async with httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=50)) as client:

        async def send(body: str) -> int:
            header = stripe.WebhookSignature.generate_signature_header(body, shop.webhook_secret)
            return (await client.post(url, content=body, headers={"Stripe-Signature": header})).status_code

        assert set(await asyncio.gather(*map(send, bodies))) == {200}
    assert sorted(event["id"] for event in await shop.events()) == sorted(ids)


async def test_more_than_can_wait_is_sent_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "QUEUE_BYTES", 10)
    assert await shop.deliver(event_about("pi_1")) == 503
    monkeypatch.undo()
    assert await works(shop, "evt_again")


async def test_a_webhook_that_could_not_be_stored_is_not_acknowledged(shop: Shop) -> None:
    """Somebody has the table to themselves; the statement is cut off, as when the database goes away."""
    conn = await asyncpg.connect(shop.deployment.database.dsns["payments"])
    await conn.execute("BEGIN; LOCK TABLE webhook_event")
    sending = asyncio.create_task(shop.deliver(event_about("pi_1")))

    async def waits() -> object:
        return await shop.deployment.rows("SELECT pid FROM pg_locks WHERE NOT granted AND relation IS NOT NULL")

    await eventually(waits)
    for row in await shop.deployment.rows("SELECT pid FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"):
        await conn.execute(f"SELECT pg_terminate_backend({row[0]})")
    assert await sending == 503
    await conn.close()
    assert await shop.events() == []
    assert await works(shop, "evt_again")
