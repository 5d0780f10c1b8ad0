from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import grpc
import pytest
from moto.server import ThreadedMotoServer

from libs.common.postgres import Pool, create_pool
from libs.common.rpc.client import channel
from services.metering.main import Settings, running
from tests.conftest import Database, Keys
from tests.metering.requests import NOW
from weir.metering.v1.alerts_pb2_grpc import AlertServiceStub
from weir.metering.v1.corrections_pb2_grpc import CorrectionServiceStub
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.metering.v1.meters_pb2_grpc import MeterServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.alerts_pb2_grpc import AlertServiceAsyncStub
    from weir.metering.v1.corrections_pb2_grpc import CorrectionServiceAsyncStub
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub
    from weir.metering.v1.meters_pb2_grpc import MeterServiceAsyncStub

Client: TypeAlias = "MeteringServiceAsyncStub"
Alerts: TypeAlias = "AlertServiceAsyncStub"
Connect: TypeAlias = "Callable[..., MeteringServiceAsyncStub]"
"""connect(tenant_id, *scopes, server=0, stub=MeteringServiceStub): a client of a running server; without scopes it has
all."""
Corrections: TypeAlias = "CorrectionServiceAsyncStub"
ConnectCorrections: TypeAlias = "Callable[..., CorrectionServiceAsyncStub]"
"""The same for the service of corrections."""


Open: TypeAlias = "Callable[..., grpc.aio.Channel]"
"""open_channel(tenant_id, *scopes, server=0)"""


@dataclass(slots=True)
class Hands:
    """A clock that shows what it is set to."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Hands:
    """Of both servers."""
    return Hands()


@pytest.fixture
async def open_channel(database: Database, keys: Keys, clock: Hands) -> AsyncIterator[Open]:
    """To two servers of the service over one database."""
    settings = Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen="127.0.0.1:0")
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(running(settings, clock)) for _ in range(2)]

        def opened(tenant_id: str, *scopes: str, server: int = 0) -> grpc.aio.Channel:
            each = channel(f"127.0.0.1:{ports[server]}", keys.api_key(tenant_id, *scopes), retries=False)
            stack.push_async_callback(each.close)
            return each

        yield opened


@pytest.fixture
def connect(open_channel: Open) -> Connect:
    return lambda *args, stub=MeteringServiceStub, **options: stub(open_channel(*args, **options))


@pytest.fixture
def meters(open_channel: Open) -> "MeterServiceAsyncStub":
    return MeterServiceStub(open_channel("acme"))


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The address of a server that speaks SQS and S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def connect_corrections(open_channel: Open) -> ConnectCorrections:
    return lambda *args, **options: CorrectionServiceStub(open_channel(*args, **options))


@pytest.fixture
def corrections(connect_corrections: ConnectCorrections) -> Corrections:
    return connect_corrections("acme")


@pytest.fixture
def metering(connect: Connect) -> Client:
    return connect("acme")


@pytest.fixture
def other_server(connect: Connect) -> Client:
    """The same tenant, at another server of the same database."""
    return connect("acme", server=1)


@pytest.fixture
def connect_alerts(open_channel: Open) -> "Callable[..., AlertServiceAsyncStub]":
    return lambda *arguments, **options: AlertServiceStub(open_channel(*arguments, **options))


@pytest.fixture
def alerts(connect_alerts: "Callable[..., AlertServiceAsyncStub]") -> Alerts:
    return connect_alerts("acme")


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with await create_pool(database.dsns["metering"]) as opened:
        yield opened
