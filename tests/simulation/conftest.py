from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.invoicing.world import CLOSED, Tenant, World, deployed
from tests.simulation.weir import Weir


@pytest.fixture
async def world(database: Database, keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with deployed(database, keys, valkey.url) as running:
        yield running


@pytest.fixture
def acme(world: World) -> Tenant:
    return world.tenant("acme")


@pytest.fixture
def weir(world: World, keys: Keys, tmp_path: Path) -> Weir:
    return Weir(
        {
            "WEIR_HOME": str(tmp_path),
            "WEIR_API_KEY": keys.api_key(),
            "WEIR_METERING_TARGET": world.settings.metering_target,
            "WEIR_PRICING_TARGET": world.settings.pricing_target,
            "WEIR_INVOICING_TARGET": world.settings.listen,
            "WEIR_PAYMENTS_TARGET": CLOSED,
        }
    )
