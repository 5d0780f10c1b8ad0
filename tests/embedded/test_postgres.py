import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from libs.embedded.account import Account, our_accounts
from libs.embedded.errors import EmbeddedServerError
from libs.embedded.postgres import Postgres, provision
from tests.embedded.launcher import launched_elsewhere


async def remember(dsn: str, value: int) -> None:
    conn = await asyncpg.connect(dsn)
    await conn.execute("CREATE TABLE IF NOT EXISTS remembered (value int)")
    await conn.execute("INSERT INTO remembered VALUES ($1)", value)
    await conn.close()


async def remembered(dsn: str) -> list[int]:
    conn = await asyncpg.connect(dsn)
    values = [row["value"] for row in await conn.fetch("SELECT value FROM remembered ORDER BY value")]
    await conn.close()
    return values


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("postgres")
    async with Postgres(data_dir, durable=False):
        return data_dir


@pytest.fixture
async def server(initialised: Path, data_dir: Path) -> AsyncIterator[Postgres]:
    shutil.copytree(initialised, data_dir)
    async with Postgres(data_dir, durable=False) as running:
        yield running


async def test_every_account_we_have_runs_a_durable_server_and_finds_the_data_of_the_others(data_dir: Path) -> None:
    available = our_accounts()
    for number, account in enumerate([*available, available[0]]):
        async with Postgres(data_dir, account=account) as server:
            await remember(server.admin_dsn, number)
            assert await remembered(server.admin_dsn) == list(range(number + 1))
            conn = await asyncpg.connect(server.admin_dsn)
            names = ("fsync", "synchronous_commit", "data_checksums", "max_connections", "TimeZone")
            assert [await conn.fetchval(f"SHOW {name}") for name in names] == ["on", "on", "on", "300", "UTC"]
            await conn.close()
    assert (data_dir / "password").stat().st_mode & 0o777 == 0o600


async def test_root_can_become_nobody_only_where_nobody_can_go(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(EmbeddedServerError, match=f"nobody cannot enter {tmp_path}"):
        await Postgres(tmp_path / "data", account=Account(uid=65534)).start()


async def test_a_wrong_password_is_refused(server: Postgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.dsn("postgres", "postgres", "guess"))


async def test_a_killed_server_restarts_on_its_port_with_what_was_committed(data_dir: Path) -> None:
    async with Postgres(data_dir) as server:
        await remember(server.admin_dsn, 1)
        killed, dsn = server.pid, server.admin_dsn
        os.kill(killed, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        await server.restart()
        assert server.pid != killed
        assert await remembered(dsn) == [1]


async def test_a_pid_file_whose_number_another_process_has_now_does_not_prevent_a_start(server: Postgres) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    pid_file = server.data_dir / "pgdata" / "postmaster.pid"
    stale = pid_file.read_text().splitlines()
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    pid_file.write_text("\n".join([str(stranger.pid), *stale[1:]]) + "\n")
    await server.restart()
    stranger.kill()
    await stranger.wait()


async def test_a_port_that_somebody_listens_on_is_refused_before_anything_is_made(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(EmbeddedServerError, match=f"Postgres cannot listen on 127.0.0.1:{port}"):
            await Postgres(data_dir, port).start()
    assert not (data_dir / "pgdata").exists()


async def test_a_server_that_cannot_start_says_so_with_its_log(server: Postgres) -> None:
    await server.stop()
    with (server.data_dir / "pgdata" / "postgresql.conf").open("a") as config:
        config.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServerError, match=r'(?s)ended with exit code 1.*parameter "no_such_setting"'):
        await server.start()


async def test_data_whose_password_is_gone_is_refused(server: Postgres) -> None:
    await server.stop()
    (server.data_dir / "password").unlink()
    with pytest.raises(EmbeddedServerError, match="password"):
        await server.start()


async def test_a_server_ends_with_its_launcher_and_only_then_can_another_take_its_data(data_dir: Path) -> None:
    server = Postgres(data_dir)
    async with launched_elsewhere(server) as launcher:
        await remember(server.admin_dsn, 1)
        with pytest.raises(EmbeddedServerError, match=f"in use by the Postgres of process {launcher}"):
            await server.start()
    async with server:
        assert await remembered(server.admin_dsn) == [1]


async def test_a_service_cannot_enter_the_schema_of_another(server: Postgres) -> None:
    passwords = {"metering": "pass", "invoicing": "wo'rd/@:?%"}
    first = await provision(server.admin_dsn, list(passwords), passwords)
    assert await provision(server.admin_dsn, list(passwords), passwords) == first
    await remember(first["metering"], 1)
    await remember(first["invoicing"], 2)
    assert await remembered(first["metering"]) == [1]

    conn = await asyncpg.connect(first["invoicing"])
    assert await conn.fetchval("SELECT current_schemas(false)") == ["invoicing"]
    for forbidden in (
        "SELECT * FROM metering.remembered",
        "CREATE TABLE metering.mine ()",
        "CREATE TABLE public.ours ()",
        "CREATE SCHEMA more",
        "SET ROLE metering",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(forbidden)
    await conn.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(first["invoicing"], database="postgres")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(first["invoicing"], user="metering")
