from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest

from libs.common.rpc.server import serving
from tests.conftest import Keys
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2_grpc import MeteringServiceServicer, add_MeteringServiceServicer_to_server

METERING = "weir.metering.v1.MeteringService"

Behaviour: TypeAlias = "Callable[[], Awaitable[str]]"
"""What a call does; its answer comes back as the name of a meter, or as an event's failure."""
Serve: TypeAlias = "Callable[..., AbstractAsyncContextManager[str]]"
"""serve(behaviour, ready): a server, yielded as its target."""


class Meters(MeteringServiceServicer):
    """One unary and one streaming method of a real contract, which do as the test says."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def GetMeter(self, request: metering_pb2.GetMeterRequest, context: Any) -> metering_pb2.GetMeterResponse:
        return metering_pb2.GetMeterResponse(meter=metering_pb2.Meter(name=await self._behaviour()))

    async def IngestEventStream(
        self, requests: AsyncIterator[metering_pb2.IngestEventStreamRequest], context: Any
    ) -> AsyncIterator[metering_pb2.IngestEventStreamResponse]:
        async for _ in requests:
            failure = metering_pb2.EventFailure(message=await self._behaviour())
            result = metering_pb2.IngestEventsResponse(failures=[failure])
            yield metering_pb2.IngestEventStreamResponse(result=result)


async def always_ready() -> None:
    pass


@pytest.fixture
def serve(keys: Keys) -> Serve:
    @asynccontextmanager
    async def start(behaviour: Behaviour, ready: Callable[[], Awaitable[None]] = always_ready) -> AsyncIterator[str]:
        meters = Meters(behaviour)  # type: ignore[abstract]  # the other methods are not called
        async with serving(
            "127.0.0.1:0",
            (METERING,),
            lambda server: add_MeteringServiceServicer_to_server(meters, server),
            keys.verifier,
            ready,
        ) as port:
            yield f"127.0.0.1:{port}"

    return start
