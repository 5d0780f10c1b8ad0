"""deploy/postgres/provision.sql by psql, on a real server: what an operator runs, and Compose at its first start."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from libs.common.postgres import migrate
from libs.embedded.postgres import RELEASE, WHEEL, Postgres
from libs.embedded.process import wheel
from services.__main__ import SERVICES, migrations
from tests.deploy.manifests import ROOT

SCRIPT = ROOT / "deploy" / "postgres" / "provision.sql"
PSQL = wheel(WHEEL) / RELEASE / "bin" / "psql"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Postgres]:
    server = Postgres(tmp_path / "postgres", durable=False)
    await server.start()
    yield server
    await server.stop()


async def test_each_service_gets_a_role_that_can_migrate_its_schema_and_enter_no_other(server: Postgres) -> None:
    database = server.admin_dsn
    await provision(database, "first")
    await provision(database, "wo'rd")  # again, with passwords renewed
    for service in SERVICES:
        dsn = as_role(database, service, f"wo%27rd-{service}")
        await migrate(dsn, migrations(service))
        conn = await asyncpg.connect(dsn)
        assert await conn.fetchval("SELECT current_schema()") == service
        for other in (*SERVICES, "public"):
            may = await conn.fetchval("SELECT has_schema_privilege($1, 'USAGE')", other)
            assert may == (other == service), f"{service} in {other}"
        await conn.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(as_role(database, "metering", "first-metering"))


async def test_a_missing_password_changes_nothing(server: Postgres) -> None:
    assert await run_psql(server.admin_dsn, {"METERING_PASSWORD": "only this one"}) != 0
    admin = await asyncpg.connect(server.admin_dsn)
    assert await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = ANY($1)", SERVICES) == 0
    await admin.close()


async def provision(dsn: str, password: str) -> None:
    passwords = {f"{service.upper()}_PASSWORD": f"{password}-{service}" for service in SERVICES}
    assert await run_psql(dsn, passwords) == 0


async def run_psql(dsn: str, passwords: dict[str, str]) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_PASSWORD")} | passwords
    psql = await asyncio.create_subprocess_exec(
        PSQL, "--no-psqlrc", "--quiet", f"--file={SCRIPT}", dsn, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    return await psql.wait()


def as_role(dsn: str, role: str, password: str) -> str:
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}").geturl()
