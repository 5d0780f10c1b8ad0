import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from libs.embedded.errors import EmbeddedServerError
from libs.embedded.process import HOST
from libs.embedded.valkey import Valkey
from tests.embedded.launcher import launched_elsewhere


async def remember(url: str, value: str) -> None:
    async with Redis.from_url(url) as client:
        await client.set("remembered", value)


async def remembered(url: str) -> bytes:
    async with Redis.from_url(url) as client:
        return bytes(await client.get("remembered"))


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Valkey]:
    async with Valkey(data_dir) as running:
        yield running


async def test_a_restart_keeps_the_data(server: Valkey) -> None:
    await remember(server.url, "kept")
    await server.restart()
    assert await remembered(server.url) == b"kept"


async def test_a_killed_server_restarts_on_its_port_with_its_data(server: Valkey) -> None:
    await remember(server.url, "kept")
    killed = server.pid
    os.kill(killed, signal.SIGKILL)
    assert await server.wait() == -signal.SIGKILL
    await server.restart()
    assert server.pid != killed
    assert await remembered(server.url) == b"kept"


async def test_the_second_start_finds_its_data(data_dir: Path) -> None:
    async with Valkey(data_dir) as first:
        await remember(first.url, "kept")
    async with Valkey(data_dir) as second:
        assert await remembered(second.url) == b"kept"


async def test_only_the_holder_of_the_password_is_let_in(server: Valkey) -> None:
    async with Redis(host=HOST, port=server.port) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.ping()
    for name in ("password", "valkey.conf"):
        assert (server.data_dir / name).stat().st_mode & 0o777 == 0o600


async def test_a_port_that_somebody_listens_on_is_refused(data_dir: Path) -> None:
    with socket.create_server((HOST, 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(EmbeddedServerError, match=f"Valkey cannot listen on {HOST}:{port}"):
            await Valkey(data_dir, port).start()


async def test_a_server_ends_with_its_launcher_and_only_then_can_another_take_its_data(data_dir: Path) -> None:
    server = Valkey(data_dir)
    async with launched_elsewhere(server) as launcher:
        await remember(server.url, "kept")
        with pytest.raises(EmbeddedServerError, match=f"in use by the Valkey of process {launcher}"):
            await server.start()
    async with server:
        assert await remembered(server.url) == b"kept"
