from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import pytest

from libs.common.rpc.client import channel
from services.pricing.main import Settings, running
from tests.conftest import Database, Keys
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceStub

if TYPE_CHECKING:
    from weir.pricing.v1.pricing_pb2_grpc import PricingServiceAsyncStub

NOW = datetime(2023, 11, 1, 12, 30, 0, 123456, tzinfo=UTC)
"""What the service's clock always shows."""

Client: TypeAlias = "PricingServiceAsyncStub"
Connect: TypeAlias = "Callable[..., PricingServiceAsyncStub]"
"""connect(tenant_id, *scopes): a client of the running service; without scopes it has all."""


@pytest.fixture
async def connect(database: Database, keys: Keys) -> AsyncIterator[Connect]:
    settings = Settings(dsn=database.dsns["pricing"], public_keys=keys.public_pem, listen="127.0.0.1:0")
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(running(settings, lambda: NOW))

        def client(tenant_id: str, *scopes: str) -> Client:
            opened = channel(f"127.0.0.1:{port}", keys.api_key(tenant_id, *scopes))
            stack.push_async_callback(opened.close)
            return PricingServiceStub(opened)

        yield client


@pytest.fixture
def pricing(connect: Connect) -> Client:
    return connect("acme")
