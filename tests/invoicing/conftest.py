from collections.abc import AsyncIterator

import pytest

from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.invoicing.world import Tenant, World, deployed


@pytest.fixture
async def world(database: Database, keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with deployed(database, keys, valkey.url) as running:
        yield running


@pytest.fixture
def acme(world: World) -> Tenant:
    return world.tenant("acme")
