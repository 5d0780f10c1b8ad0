"""Children that crash, played by the sandbox, which is the quickest to start."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.stack import health
from cli.stack.process import Process
from cli.stack.supervision import supervise
from libs.embedded.process import free_port


def sandbox(directory: Path, *, port: int, name: str = "sandbox") -> Process:
    url = f"http://127.0.0.1:{port}/_sandbox/health"
    arguments = ("sandbox", "--port", str(port))
    return Process(name, arguments, os.environ, directory / f"{name}.log", lambda: health.http_is_ok(url))


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[Process]:
    process = sandbox(tmp_path, port=free_port())
    await process.start()
    yield process
    await process.stop()


async def test_a_child_that_is_killed_is_started_again_and_it_is_said(child: Process) -> None:
    said: list[str] = []
    restarted = asyncio.Event()
    watcher = asyncio.create_task(supervise(child, said.append, restarted.set))
    killed = child.pid
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(10):
        await restarted.wait()
    watcher.cancel()
    assert child.pid != killed
    assert said == ["sandbox ended (SIGKILL); starting it again in 0.2 s", f"sandbox is back (process {child.pid})"]


async def test_a_child_that_cannot_start_says_why(child: Process, tmp_path: Path) -> None:
    port = int(child._arguments[-1])
    second = sandbox(tmp_path, port=port, name="second")
    second._check = _never
    with pytest.raises(
        CliError, match=r"second ended with exit code 1 before it was ready: .*[Aa]ddress already in use"
    ):
        await second.start()


async def _never() -> bool:
    return False


async def test_a_child_stops_when_asked_and_stopping_twice_is_fine(child: Process) -> None:
    await child.stop()
    await child.stop()
    assert await child.wait() == 0


async def test_a_child_leaves_ctrl_c_in_the_terminal_to_us(child: Process) -> None:
    assert os.getsid(child.pid) != os.getsid(0)


async def test_nobody_listening_is_unhealthy_and_no_error() -> None:
    address = f"127.0.0.1:{free_port()}"
    assert not await health.http_is_ok(f"http://{address}/health")
    assert not await health.grpc_is_serving(address)
    assert not await health.worker_is_polling(f"redis://{address}/0", "invoicing")
