"""One of our own programs as a child process that ends when we do."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.errors import CliError
from cli.stack.health import Check
from libs.embedded.process import GUARD

READY_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.05


class Process:
    """`python -m ARGUMENTS`, with its output in a log file.

    It is ready once `check` answers True. It runs in a session of its own, so that Ctrl-C in the terminal is for us,
    and behind the guard, so that on Linux it gets SIGTERM should we be killed.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        log: Path,
        check: Check,
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._environ = environ
        self._log = log
        self._check = check
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise CliError(f"{self.name} has not been started")
        return self._process.pid

    async def start(self) -> None:
        """Return once it is ready. Raises CliError, with the process ended, when it will not be."""
        command = [sys.executable, "-P", "-m", *self._arguments]
        guard = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(int(signal.SIGTERM)), "-"]
        with open(os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *guard,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._log.parent,
                env=self._environ,
                start_new_session=True,
            )
        try:
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Exit code, once it has ended for whatever reason (-9: killed)."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Let it finish what it is doing; a no-op when it has ended already."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def _until_ready(self) -> None:
        assert self._process is not None
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                while self._process.returncode is None:
                    if await self._check():
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise self._error(f"was not ready after {READY_TIMEOUT_SECONDS:.0f} s") from None
        raise self._error(f"ended with exit code {self._process.returncode} before it was ready")

    def _error(self, what: str) -> CliError:
        """With the last thing it said, which tells the reason more often than not."""
        lines = self._log.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return CliError(f"{self.name} {what}: {last} (log: {self._log})")
