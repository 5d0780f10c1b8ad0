from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import stripe

from tests.sandbox.running import (
    Receiver,
    RunningSandbox,
    new_key,
    running_receiver,
    running_sandbox,
    stripe_client,
)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    """For tests that pause it, or count everything in it."""
    with running_sandbox(tmp_path) as running:
        yield running


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
async def client(sandbox: RunningSandbox, key: str) -> AsyncIterator[stripe.StripeClient]:
    async with stripe_client(sandbox.url, key) as connected:
        yield connected


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running
