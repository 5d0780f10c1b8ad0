from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import grpc
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
Dial: TypeAlias = Callable[..., grpc.aio.Channel]
"""dial(tenant_id, *scopes): a channel to the running service, for the stubs of its other contracts."""


@pytest.fixture
async def dial(database: Database, keys: Keys) -> AsyncIterator[Dial]:
    settings = Settings(database.dsns["pricing"], keys.public_pem, keys.private_pem, "127.0.0.1:0")
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(running(settings, lambda: NOW))

        def opened(tenant_id: str, *scopes: str) -> grpc.aio.Channel:
            made = channel(f"127.0.0.1:{port}", keys.api_key(tenant_id, *scopes))
            stack.push_async_callback(made.close)
            return made

        yield opened


@pytest.fixture
def connect(dial: Dial) -> Connect:
    return lambda tenant_id, *scopes: PricingServiceStub(dial(tenant_id, *scopes))


@pytest.fixture
def pricing(connect: Connect) -> Client:
    return connect("acme")
