from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.embedded.valkey import Valkey
from services.metering import main as metering
from tests.conftest import Database, Keys
from tests.metering.connectors.feeds import AWS, FEEDS, Feed
from tests.metering.connectors.world import World
from tests.metering.requests import NOW


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def world(database: Database, keys: Keys, tmp_path: Path) -> AsyncIterator[World]:
    """A metering server, and what it takes to run connectors to it."""
    settings = metering.Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen="127.0.0.1:0")
    async with metering.running(settings, lambda: NOW) as port, World(database, keys, tmp_path, port).opened() as world:
        yield world


@pytest.fixture(params=FEEDS)
async def feed(request: pytest.FixtureRequest, valkey: Valkey, aws: str, tmp_path: Path) -> AsyncIterator[Feed]:
    """A source of each kind, empty."""
    async with FEEDS[request.param](tmp_path, valkey.url, aws) as opened:
        yield opened
