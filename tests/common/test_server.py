import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from libs.common.clock import system_clock
from libs.common.credentials import Issuer, generate_private_key, load_private_key
from libs.common.errors import PermissionDenied, Unauthenticated, Unavailable
from libs.common.rpc import server
from libs.common.rpc.client import channel, credential
from libs.common.rpc.server import LIVENESS, caller, required_scopes
from tests.common.conftest import METERING, Serve
from tests.conftest import Keys
from weir.metering.v1.metering_pb2 import GetMeterRequest, GetMeterResponse, IngestEventStreamRequest
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def tenant() -> str:
    return caller().tenant_id


async def health(opened: grpc.aio.Channel) -> int:
    """Of the server, which is soon that of its service; the process itself is alive all the time."""
    stub: Any = health_pb2_grpc.HealthStub(opened)
    while True:
        whole, service, process = [
            (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status for name in ("", METERING, LIVENESS)
        ]
        assert process == SERVING
        if whole == service:  # the one is told after the other
            return int(whole)


async def until_health(opened: grpc.aio.Channel, wanted: int) -> None:
    async with asyncio.timeout(10):
        while await health(opened) != wanted:  # noqa: ASYNC110 the state is another process's, in production
            await asyncio.sleep(0.01)


async def test_a_call_is_served_for_the_tenant_of_its_key(serve: Serve, keys: Keys) -> None:
    """Many at once on one channel, each with a credential of its own."""
    async with serve(tenant) as target, channel(target) as opened:
        stub = MeteringServiceStub(opened)
        tenants = [f"tenant-{number % 7}" for number in range(50)]
        answers = await asyncio.gather(
            *(stub.GetMeter(GetMeterRequest(), metadata=credential(keys.api_key(each))) for each in tenants)
        )
    assert [answer.meter.name for answer in answers] == tenants


async def request_id() -> str:
    return str(structlog.contextvars.get_contextvars()["request_id"])


async def test_a_call_has_a_request_id_which_goes_on_to_peers(serve: Serve, keys: Keys) -> None:
    async with serve(request_id) as target, channel(target, keys.api_key()) as opened:
        stub = MeteringServiceStub(opened)
        named = await stub.GetMeter(GetMeterRequest(), metadata=(("x-request-id", "from-outside"),))
        made_up = [await stub.GetMeter(GetMeterRequest()) for _ in range(2)]
        with structlog.contextvars.bound_contextvars(request_id="of-this-call"):
            passed_on = await stub.GetMeter(GetMeterRequest())
    assert named.meter.name == "from-outside"
    assert passed_on.meter.name == "of-this-call"
    assert len({answer.meter.name for answer in made_up}) == 2


def wrong_credentials(keys: Keys) -> Iterable[tuple[str, str]]:
    stranger = Issuer(load_private_key(generate_private_key()), system_clock)
    key = keys.api_key()
    yield "", "CREDENTIAL_MISSING"
    yield "Bearer", "CREDENTIAL_MISSING"
    yield f"Basic {key}", "CREDENTIAL_MISSING"
    yield "Bearer weir_live_guess", "CREDENTIAL_INVALID"
    yield f"Bearer {key}x", "CREDENTIAL_INVALID"
    yield f"Bearer {stranger.api_key('acme', ['catalog:read'], live=True)}", "CREDENTIAL_INVALID"


async def test_nobody_is_served_without_a_valid_key(serve: Serve, keys: Keys) -> None:
    async with serve(tenant) as target, channel(target) as opened:
        stub = MeteringServiceStub(opened)
        for header, reason in wrong_credentials(keys):
            with pytest.raises(Unauthenticated) as refused:
                await stub.GetMeter(GetMeterRequest(), metadata=(("authorization", header),))
            assert refused.value.reason == reason
        with pytest.raises(Unauthenticated):
            await stub.GetMeter(GetMeterRequest())


async def test_a_key_without_the_scope_of_the_method_is_refused(serve: Serve, keys: Keys) -> None:
    async with serve(tenant) as target, channel(target, keys.api_key("acme", "usage:read")) as opened:
        with pytest.raises(PermissionDenied) as refused:
            await MeteringServiceStub(opened).GetMeter(GetMeterRequest())
    assert (refused.value.reason, refused.value.metadata) == ("SCOPE_MISSING", {"scope": "catalog:read"})


async def test_a_stream_is_served_for_the_tenant_of_its_key(serve: Serve, keys: Keys) -> None:
    async with serve(tenant) as target, channel(target, keys.api_key("rival")) as opened:
        requests = iter([IngestEventStreamRequest()] * 2)
        answers = [answer async for answer in MeteringServiceStub(opened).IngestEventStream(requests)]
    assert [answer.result.failures[0].message for answer in answers] == ["rival", "rival"]


def test_a_contract_whose_methods_name_no_scope_cannot_be_served() -> None:
    assert required_scopes((METERING,))[f"/{METERING}/GetMeter"] == "catalog:read"
    with pytest.raises(RuntimeError, match="declares no required_scope"):
        required_scopes((health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,))


async def test_health_says_whether_the_service_can_do_its_work(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEALTH_PERIOD_SECONDS", 0.05)
    is_away = True

    async def ready() -> None:
        if is_away:
            raise ConnectionError("the database is away")

    async with serve(tenant, ready) as target, grpc.aio.insecure_channel(target) as opened:
        assert await health(opened) == NOT_SERVING
        is_away = False
        await until_health(opened, SERVING)
        is_away = True
        await until_health(opened, NOT_SERVING)


async def test_a_check_that_hangs_is_a_service_that_cannot_work(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEALTH_PERIOD_SECONDS", 0.05)
    async with serve(tenant, asyncio.Event().wait) as target, grpc.aio.insecure_channel(target) as opened:
        assert await health(opened) == NOT_SERVING


async def test_a_server_that_stops_finishes_what_it_has_begun_and_begins_nothing(serve: Serve, keys: Keys) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await finish.wait()
        return "finished"

    async with AsyncExitStack() as clients, AsyncExitStack() as servers:
        target = await servers.enter_async_context(serve(slow))
        early, late = [await clients.enter_async_context(channel(target, keys.api_key())) for _ in range(2)]
        under_way = asyncio.create_task(get_meter(early))
        await begun.wait()
        stopping = asyncio.create_task(servers.pop_all().aclose())
        await until_closed(target)
        for opened in (early, late):
            with pytest.raises(Unavailable):
                await get_meter(opened)
        assert not stopping.done()
        finish.set()
        assert (await under_way).meter.name == "finished"
        await stopping


async def get_meter(opened: grpc.aio.Channel) -> GetMeterResponse:
    return await MeteringServiceStub(opened).GetMeter(GetMeterRequest())


async def until_closed(target: str) -> None:
    host, _, port = target.partition(":")
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.01)


async def test_the_contract_can_be_explored_by_reflection(serve: Serve) -> None:
    async with serve(tenant) as target, grpc.aio.insecure_channel(target) as opened:
        explorer: Any = reflection_pb2_grpc.ServerReflectionStub
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        answers = [answer async for answer in explorer(opened).ServerReflectionInfo(requests)]
    assert METERING in [service.name for service in answers[0].list_services_response.service]
