import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import stripe

from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from tests.conftest import TEMPLATE, Database, Keys
from tests.payments.shop import Deployment, Shop, deployed
from tests.sandbox.running import RunningSandbox, running_sandbox


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running_sandbox(tmp_path_factory.mktemp("processor")) as running:
        yield running


@pytest.fixture(scope="session")
def payments_database(postgres: Postgres, template: dict[str, str]) -> Database:
    """One for all tests of this folder: emptying eight tables is quicker than cloning a database."""
    name = f"test_payments_{secrets.token_hex(4)}"
    asyncio.run(_execute(postgres.admin_dsn, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    return Database(
        name, {service: urlsplit(dsn)._replace(path=f"/{name}").geturl() for service, dsn in template.items()}
    )


@pytest.fixture
async def database(payments_database: Database) -> Database:
    tables = (
        "processor_account, payment, payment_request, receipt_counter, dunning_policy, notice, notice_endpoint,"
        " routing_policy"
    )
    await _execute(payments_database.dsns["payments"], f"TRUNCATE {tables} CASCADE")
    return payments_database


async def _execute(dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


@pytest.fixture(autouse=True)
def impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Stripe's SDK waits before it repeats a request."""
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.01)


@pytest.fixture
def processor(shared_sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    """The sandbox; each test has accounts of its own there."""
    yield shared_sandbox
    shared_sandbox.post("/_sandbox/webhooks/resume")
    assert shared_sandbox.get("/_sandbox/faults") == {"faults": []}, "a fault was ordered that did not happen"


@pytest.fixture
async def deployment(
    database: Database, keys: Keys, processor: RunningSandbox, valkey: Valkey
) -> AsyncIterator[Deployment]:
    async with deployed(database, keys, processor, valkey.url) as running:
        yield running


@pytest.fixture
async def shop(deployment: Deployment) -> Shop:
    return await Shop(deployment).open()
