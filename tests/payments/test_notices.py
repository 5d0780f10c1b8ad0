"""Notices by signed posts to a tenant's endpoints: what is sent, to whom, and what comes of answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.common import web
from libs.common.errors import Conflict, InvalidArgument, NotFound
from services.payments.domain.notice import DELAYS, Notice, headers, new_secret, signature
from services.payments.rotation import rewrap
from services.payments.vault import Vault
from tests.payments.shop import Shop, new_request_id
from tests.payments.test_dunning import failed, set_policy
from tests.payments.test_rotation import new_key
from weir.payments.v1 import notices_pb2 as pb
from weir.payments.v1.notices_pb2_grpc import NoticeServiceStub

if TYPE_CHECKING:
    from weir.payments.v1.notices_pb2_grpc import NoticeServiceAsyncStub

WAITING, DELIVERED, FAILED = (
    pb.NoticeDelivery.STATE_WAITING,
    pb.NoticeDelivery.STATE_DELIVERED,
    pb.NoticeDelivery.STATE_FAILED,
)


@dataclass
class Post:
    headers: dict[str, str]
    body: bytes

    def is_signed(self, secret: str) -> bool:
        expected = signature(secret, self.headers["webhook-id"], int(self.headers["webhook-timestamp"]), self.body)
        return expected in self.headers["webhook-signature"].split(" ")


@dataclass
class Listener:
    """A tenant's server. `answer` is the status of the next answers."""

    url: str = ""
    answer: int = 204
    posts: list[Post] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.posts.append(Post(dict(request.headers), await request.body()))
        return Response(status_code=self.answer, headers={"location": self.url} if self.answer == 302 else None)

    @property
    def types(self) -> list[str]:
        return [json.loads(post.body)["type"] for post in self.posts]


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()
    app = Starlette(routes=[Route("/hook", listener.take, methods=["POST"])])
    async with web.serving("127.0.0.1:0", app, drain_seconds=1) as port:
        listener.url = f"http://127.0.0.1:{port}/hook"
        yield listener


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as running:
        yield running


async def add(shop: Shop, url: str, *types: str, request_id: str = "") -> tuple[pb.NoticeEndpoint, str]:
    request = pb.CreateNoticeEndpointRequest(
        request_id=request_id or new_request_id(), notice_endpoint=pb.NoticeEndpoint(url=url, types=types)
    )
    made = await notices(shop).CreateNoticeEndpoint(request)
    return made.notice_endpoint, made.secret


def notices(shop: Shop) -> "NoticeServiceAsyncStub":
    return NoticeServiceStub(shop.deployment.channel(shop.tenant_id))


async def deliveries(shop: Shop, endpoint: pb.NoticeEndpoint) -> list[pb.NoticeDelivery]:
    """Newest first."""
    answer = await notices(shop).ListNoticeDeliveries(pb.ListNoticeDeliveriesRequest(endpoint_id=endpoint.id))
    return list(answer.notice_deliveries)


async def begin(shop: Shop) -> None:
    """A campaign with one reminder."""
    await set_policy(shop)
    await failed(shop)
    await shop.sweeps.dun()


def test_the_signature_is_that_of_the_specification() -> None:
    secret, notice_id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(secret, notice_id, 1614265330, b'{"test": 2432232314}') == expected
    assert signature(secret, notice_id, 1614265331, b'{"test": 2432232314}') != expected
    assert signature(new_secret(b"x" * 32), notice_id, 1614265330, b'{"test": 2432232314}') != expected


def test_a_notice_says_the_same_whenever_it_is_sent_and_is_signed_with_every_secret() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    notice = Notice(7, "dunning.begun", {"b": "2", "a": "1"}, now)
    first, later = (
        headers(notice, [new_secret(b"a" * 32), new_secret(b"b" * 32)], at) for at in (now, now + DELAYS[0])
    )
    assert first["webhook-id"] == later["webhook-id"] == "ntc_7"
    assert first["webhook-signature"] != later["webhook-signature"]
    assert len(first["webhook-signature"].split(" ")) == 2
    assert notice.body == b'{"data":{"a":"1","b":"2"},"timestamp":"2026-11-21T00:00:00+00:00","type":"dunning.begun"}'


async def test_each_endpoint_gets_the_notices_that_it_wants_signed_with_its_secret(
    shop: Shop, listener: Listener
) -> None:
    every, secret = await add(shop, listener.url)
    async with listening() as other:
        few, _ = await add(shop, other.url, "dunning.reminder", "dunning.recovered")
        await begin(shop)
        await shop.sweeps.notify()
        assert sorted(listener.types) == ["dunning.begun", "dunning.reminder"]
        assert other.types == ["dunning.reminder"]
        assert all(post.is_signed(secret) for post in listener.posts)
        assert not any(post.is_signed(secret) for post in other.posts)
        await shop.receive(3898)
        await shop.sweeps.notify()
        assert other.types[1:] == ["dunning.recovered"]
        told = json.loads(other.posts[-1].body)["data"]
        assert set(told) == {"campaign_id", "invoice_id", "final_action", "payment_id"}
    await shop.sweeps.notify()
    assert [each.state for each in await deliveries(shop, every)] == [DELIVERED] * 3
    assert [each.state for each in await deliveries(shop, few)] == [DELIVERED] * 2
    assert len(listener.posts) == 3, "nothing is sent twice"


async def test_what_is_not_taken_is_sent_again_until_it_has_failed_and_can_be_asked_for(
    shop: Shop, listener: Listener
) -> None:
    endpoint, secret = await add(shop, listener.url, "dunning.begun")
    listener.answer = 302
    await begin(shop)
    await shop.sweeps.notify()
    await shop.sweeps.notify()
    [waiting] = await deliveries(shop, endpoint)
    assert (waiting.state, waiting.tries, waiting.error) == (WAITING, 1, "answered with 302")
    listener.answer = 500
    for wait in DELAYS:
        await shop.later(wait + timedelta(seconds=1)).notify()
    [given_up] = await deliveries(shop, endpoint)
    assert (given_up.state, given_up.tries) == (FAILED, len(DELAYS) + 1)
    assert {post.headers["webhook-id"] for post in listener.posts} == {given_up.notice_id}
    listener.answer = 200
    request = pb.RetryNoticeDeliveryRequest(endpoint_id=endpoint.id, notice_id=given_up.notice_id)
    for _ in range(2):
        assert (await notices(shop).RetryNoticeDelivery(request)).notice_delivery.state == WAITING
    await shop.sweeps.notify()
    [taken] = await deliveries(shop, endpoint)
    assert (taken.state, taken.error) == (DELIVERED, "")
    assert listener.posts[-1].is_signed(secret)


async def test_nobody_listens_and_an_endpoint_that_is_gone(shop: Shop, listener: Listener) -> None:
    away, _ = await add(shop, "http://127.0.0.1:1/nobody")
    gone, _ = await add(shop, listener.url)
    listener.answer = 410
    await begin(shop)
    await shop.sweeps.notify()
    assert {each.state for each in await deliveries(shop, away)} == {WAITING}
    assert all(each.error.startswith("ConnectError") for each in await deliveries(shop, away))
    assert {each.state for each in await deliveries(shop, gone)} == {FAILED}
    await notices(shop).DeleteNoticeEndpoint(pb.DeleteNoticeEndpointRequest(id=away.id))
    with pytest.raises(NotFound):
        await deliveries(shop, away)
    [row] = await shop.deployment.rows("SELECT DISTINCT state FROM notice_delivery WHERE endpoint_id = $1", away.id)
    assert row["state"] == "FAILED"
    listed = await notices(shop).ListNoticeEndpoints(pb.ListNoticeEndpointsRequest())
    assert [each.id for each in listed.notice_endpoints] == [gone.id]


async def test_two_workers_post_a_notice_once(shop: Shop, listener: Listener) -> None:
    await add(shop, listener.url, "dunning.begun")
    await begin(shop)
    other = await shop.deployment.another_worker()
    await asyncio.gather(shop.sweeps.notify(), other.notify())
    assert len(listener.posts) == 1


async def test_a_secret_is_changed_without_losing_a_post(shop: Shop, listener: Listener) -> None:
    endpoint, old = await add(shop, listener.url)
    request = pb.RotateNoticeSecretRequest(request_id=new_request_id(), id=endpoint.id)
    new = (await notices(shop).RotateNoticeSecret(request)).secret
    assert (await notices(shop).RotateNoticeSecret(request)).secret == new != old
    await begin(shop)
    await shop.sweeps.notify()
    assert all(post.is_signed(old) and post.is_signed(new) for post in listener.posts)
    listener.posts.clear()
    await shop.receive(3898)
    await shop.later(timedelta(hours=25)).notify()
    [post] = listener.posts
    assert (post.is_signed(old), post.is_signed(new)) == (False, True)


async def test_an_endpoint_is_made_once_and_its_secret_is_encrypted(shop: Shop, listener: Listener) -> None:
    request_id = new_request_id()
    first = await add(shop, listener.url, request_id=request_id)
    assert await add(shop, listener.url, request_id=request_id) == first
    with pytest.raises(Conflict):
        await add(shop, "https://elsewhere.example", request_id=request_id)
    [row] = await shop.deployment.rows("SELECT secret FROM notice_endpoint")
    assert first[1].removeprefix("whsec_").encode() not in row["secret"]
    for url, types, reason in (
        ("ftp://x", (), "URL_MALFORMED"),
        ("https://x.example", ("invoice.made",), "NOTICE_TYPE_UNKNOWN"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await add(shop, url, *types)
        assert refused.value.reason == reason
    stranger = Shop(shop.deployment, tenant_id="initech")
    with pytest.raises(NotFound):
        await deliveries(stranger, first[0])


async def test_a_new_key_of_the_deployment_wraps_the_secrets_too(shop: Shop, listener: Listener) -> None:
    endpoint, _ = await add(shop, listener.url)
    request = pb.RotateNoticeSecretRequest(request_id=new_request_id(), id=endpoint.id)
    await notices(shop).RotateNoticeSecret(request)
    new = Vault(f"{new_key()},{shop.deployment.encryption_key}")
    assert await rewrap(shop.sweeps.pool, new) == 3
    assert await rewrap(shop.sweeps.pool, new) == 0
