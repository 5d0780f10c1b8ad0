"""Real servers for the tests: one Postgres and one Valkey a session, and for each test a database of its own.

The database is a clone of a template into which every service has migrated, which takes some twenty milliseconds;
commits, locks and several connections behave as they do in production.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from libs.common.clock import system_clock
from libs.common.credentials import ALL_SCOPES, Issuer, Verifier, generate_private_key, load_private_key, public_pem
from libs.common.postgres import migrate
from libs.embedded.postgres import Postgres, provision
from libs.embedded.valkey import Valkey
from services.__main__ import SERVICES, migrations

TEMPLATE = "weir_template"
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 4 * 2**30  # noqa: S108 the directory made in it is ours alone
IN_MEMORY = "weir-tests-"


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database: `dsns` by service, each with that service's own role."""

    name: str
    dsns: dict[str, str]


@dataclass(frozen=True, slots=True)
class Keys:
    """One deployment's signing key, and what it issues."""

    private_pem: str
    public_pem: str
    issuer: Issuer
    verifier: Verifier

    def api_key(self, tenant_id: str = "acme", *scopes: str, live: bool = False) -> str:
        """A key of `tenant_id` with `scopes`, or with all that a tenant may have."""
        return self.issuer.api_key(tenant_id, scopes or ALL_SCOPES, live=live)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """In memory where there is room: a clone is some six hundred files, which a busy disk takes a second to make."""
    _clear_memory()
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    directory = MEMORY / f"{IN_MEMORY}{os.getpid()}" if in_memory else tmp_path_factory.mktemp("postgres")
    directory.mkdir(mode=0o700, exist_ok=not in_memory)
    server = Postgres(directory, durable=False)
    try:
        asyncio.run(server.start())
        yield server
        asyncio.run(server.stop())
    finally:
        if in_memory:
            shutil.rmtree(directory)


def _clear_memory() -> None:
    """Of what sessions that were killed have left."""
    for left in MEMORY.glob(f"{IN_MEMORY}*"):
        process_id = left.name.removeprefix(IN_MEMORY)
        if process_id == str(os.getpid()) or not Path("/proc", process_id).exists():
            shutil.rmtree(left, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> dict[str, str]:
    """DSNs by service of the database that tests clone."""
    return asyncio.run(_make_template(postgres))


async def _make_template(postgres: Postgres) -> dict[str, str]:
    passwords = {service: secrets.token_hex(8) for service in SERVICES}
    dsns = await provision(postgres.admin_dsn, SERVICES, passwords, database=TEMPLATE)
    for service in SERVICES:
        await migrate(dsns[service], migrations(service))
    return dsns


@pytest.fixture
async def database(postgres: Postgres, template: dict[str, str]) -> AsyncIterator[Database]:
    async with cloned(postgres, template) as made:
        yield made


@asynccontextmanager
async def cloned(postgres: Postgres, template: dict[str, str]) -> AsyncIterator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres.admin_dsn)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
    dsns = {service: urlsplit(dsn)._replace(path=f"/{name}").geturl() for service, dsn in template.items()}
    yield Database(name, dsns)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture(scope="session")
def keys() -> Keys:
    private_pem = generate_private_key()
    private_key = load_private_key(private_pem)
    return Keys(
        private_pem=private_pem,
        public_pem=public_pem(private_pem),
        issuer=Issuer(private_key, system_clock),
        verifier=Verifier([private_key.public_key()], system_clock),
    )
