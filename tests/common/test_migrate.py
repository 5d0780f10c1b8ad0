import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from libs.common.postgres import migrate
from libs.embedded.postgres import Postgres, provision
from services.__main__ import SERVICES, migrations
from tests.conftest import Database


@pytest.fixture
async def dsn(postgres: Postgres) -> AsyncIterator[str]:
    """An empty schema of its own role."""
    name = f"scratch_{secrets.token_hex(6)}"
    yield (await provision(postgres.admin_dsn, ["scratch"], {"scratch": "secret"}, database=name))["scratch"]
    admin = await asyncpg.connect(postgres.admin_dsn)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id int); CREATE TABLE entry (id int);")
    (tmp_path / "0002_second.sql").write_text("INSERT INTO entry VALUES (2);")
    (tmp_path / "notes.txt").write_text("not a migration")
    return tmp_path


async def rows(dsn: str) -> list[int]:
    conn = await asyncpg.connect(dsn)
    values = [row["id"] for row in await conn.fetch("SELECT id FROM entry")]
    await conn.close()
    return values


async def test_migrations_are_applied_in_order_and_once(dsn: str, directory: Path) -> None:
    assert await migrate(dsn, directory) == ["0001_first", "0002_second"]
    (directory / "0003_third.sql").write_text("INSERT INTO entry VALUES (3);")
    assert await migrate(dsn, directory) == ["0003_third"]
    assert await migrate(dsn, directory) == []
    assert await rows(dsn) == [2, 3]


async def test_of_several_migrators_at_once_one_does_the_work(dsn: str, directory: Path) -> None:
    applied = await asyncio.gather(*(migrate(dsn, directory) for _ in range(5)))
    assert sorted(applied) == [[], [], [], [], ["0001_first", "0002_second"]]
    assert await rows(dsn) == [2]


async def test_a_schema_that_newer_code_has_migrated_is_left_alone(dsn: str, directory: Path) -> None:
    await migrate(dsn, directory)
    (directory / "0002_second.sql").unlink()
    with pytest.raises(RuntimeError, match="does not know: 0002_second"):
        await migrate(dsn, directory)


async def test_a_migration_that_fails_leaves_nothing_behind(dsn: str, directory: Path) -> None:
    broken = directory / "0002_second.sql"
    broken.write_text("INSERT INTO entry VALUES (2); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(dsn, directory)
    assert await rows(dsn) == []
    broken.write_text("INSERT INTO entry VALUES (2);")
    assert await migrate(dsn, directory) == ["0002_second"]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_that_has_migrated_has_nothing_left_to_do(database: Database, service: str) -> None:
    assert await migrate(database.dsns[service], migrations(service)) == []
