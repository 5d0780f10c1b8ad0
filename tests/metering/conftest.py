from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeAlias

import pytest

from libs.common.rpc.client import channel
from services.metering.main import Settings, running
from tests.conftest import Database, Keys
from tests.metering.requests import NOW
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

Client: TypeAlias = "MeteringServiceAsyncStub"
Connect: TypeAlias = "Callable[..., MeteringServiceAsyncStub]"
"""connect(tenant_id, *scopes, server=0): a client of a running server; without scopes it has all."""


@pytest.fixture
async def connect(database: Database, keys: Keys) -> AsyncIterator[Connect]:
    """Two servers of the service over one database."""
    settings = Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen="127.0.0.1:0")
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(running(settings, lambda: NOW)) for _ in range(2)]

        def client(tenant_id: str, *scopes: str, server: int = 0) -> Client:
            opened = channel(f"127.0.0.1:{ports[server]}", keys.api_key(tenant_id, *scopes), retries=False)
            stack.push_async_callback(opened.close)
            return MeteringServiceStub(opened)

        yield client


@pytest.fixture
def metering(connect: Connect) -> Client:
    return connect("acme")


@pytest.fixture
def other_server(connect: Connect) -> Client:
    """The same tenant, at another server of the same database."""
    return connect("acme", server=1)
