"""A parent of an embedded server, to be killed: `python -m tests.embedded.launcher (Postgres|Valkey) DATA_DIR PORT`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.embedded.postgres import Postgres
from libs.embedded.process import Server
from libs.embedded.valkey import Valkey

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def launched_elsewhere(server: Server) -> AsyncIterator[int]:
    """Start such a server from a process of its own, whose id is yielded, and kill that process at the end.

    Where the system does not tie a server to its parent (macOS), the server is then stopped by its own signal.
    """
    arguments = (type(server).__name__, str(server.data_dir), str(server.port))
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.embedded.launcher", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    server_pid = int(await parent.stdout.readline())
    try:
        yield parent.pid
    finally:
        parent.kill()
        await parent.wait()
        if sys.platform != "linux":
            os.kill(server_pid, server.stop_signal)


async def launch(kind: str, data_dir: Path, port: int) -> None:
    async with {"Postgres": Postgres, "Valkey": Valkey}[kind](data_dir, port) as server:
        print(server.pid, flush=True)
        await server.wait()


if __name__ == "__main__":
    asyncio.run(launch(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
