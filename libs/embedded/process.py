"""A real server as a child process: claim its directory, start it, wait until it answers, stop it, start it again."""

import asyncio
import fcntl
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

from libs.embedded.account import Account
from libs.embedded.errors import EmbeddedServerError

HOST = "127.0.0.1"
GUARD = Path(__file__).with_name("guard.py")
# Below the ports that Linux and macOS hand to outgoing connections, so that a restart finds its port free.
PORTS = range(15_000, 32_000)
POLL_S = 0.01
CLAIM_TIMEOUT_S = 5.0
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
LOG_LINES = 15


class Server(ABC):
    """A server that lives in one data directory and listens on one loopback port.

    Usable from any event loop, and in `async with`. On Linux it ends when its parent does, however that ends: to the
    kernel the parent is the *thread* that called `start`, so call it from one that lasts. On macOS it survives a killed
    parent, and the next start on its directory says so.

    A data directory has one server at a time. The claim is a lock on a file in it which the server inherits, so that it
    holds exactly as long as any process of that server lives, and no recorded process id has to be trusted. `start`
    waits a few seconds for a server that is on its way out, then raises `EmbeddedServerError`.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, data_dir: Path, port: int | None = None, account: Account | None = None) -> None:
        """`port` None picks a free one, which stays the same over restarts; `account` None is our own."""
        self._account = account or Account()
        self.data_dir = data_dir.resolve()
        self.port = free_port() if port is None else port
        self.log = self.data_dir / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @abstractmethod
    async def _prepare(self, claim: int) -> None:
        """Write what the server needs in its data directory before it starts."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The server's command line, beginning with an absolute path."""

    @abstractmethod
    async def _is_ready(self, pid: int) -> bool:
        """Whether the process `pid`, and no stranger on its port, takes connections."""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} has not been started")
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return once the server takes connections; raise `EmbeddedServerError`, with nothing running, if it cannot."""
        if self._process is not None:
            raise EmbeddedServerError(f"{self.name} has already been started (process {self.pid})")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        async with _claimed(self.name, self.data_dir) as claim:
            _require_free(self.name, self.port)
            await self._prepare(claim)
            self._process = self._spawn(self._command(), claim)
        try:
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Shut the server down and wait for its end; a no-op when it has ended already."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.wait()
        except TimeoutError:
            self._process.kill()
            await self.wait()
        self._process = None

    async def restart(self) -> None:
        """Start again on the same data and port, after a shutdown or, when it was killed, a recovery."""
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Exit code of the server, once it has ended for whatever reason (-9: killed)."""
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} has not been started")
        return await _ended(self._process)

    async def _until_ready(self) -> None:
        assert self._process is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while self._process.poll() is None:
                    if await self._is_ready(self._process.pid):
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise self._error(f"was not ready after {START_TIMEOUT_S:.0f} s") from None
        raise self._error(f"ended with exit code {self._process.returncode} before it was ready")

    async def _run(self, command: Sequence[str], claim: int) -> None:
        """Run a set-up command to its end."""
        process = self._spawn(command, claim)
        try:
            code = await _ended(process)
        except asyncio.CancelledError:
            process.kill()
            process.wait()
            raise
        if code != 0:
            raise self._error(f"could not be set up: {Path(command[0]).name} ended with exit code {code}")

    def _spawn(self, command: Sequence[str], claim: int) -> subprocess.Popen[bytes]:
        """Start `command` behind the guard, in a session of its own: Ctrl-C in the terminal is for the parent only."""
        uid = "-" if self._account.uid is None else str(self._account.uid)
        guard = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(int(self.stop_signal)), uid]
        with open(os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            return subprocess.Popen(
                [*self._account.prefix, *guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                # Nothing of the caller's locale, and no PGDATA or PGPORT of another server.
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                pass_fds=[claim],
                start_new_session=True,
            )

    def _error(self, what: str) -> EmbeddedServerError:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        return EmbeddedServerError("\n  ".join([f"{self.name} {what}; {self.log} ends with", *lines]))


def free_port() -> int:
    """A loopback port nobody listens on now; raise `EmbeddedServerError` if there is none."""
    for port in random.sample(PORTS, 100):
        if _obstacle(port) is None:
            return port
    raise EmbeddedServerError(f"no free port found between {PORTS.start} and {PORTS.stop} on {HOST}")


def secret(path: Path) -> str:
    """The password kept in `path`, which only its owner can read; generated on first use."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        write_private(fresh, secrets.token_urlsafe(24))
        fresh.rename(path)
    return path.read_text()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def wheel(package: str) -> Path:
    """Folder of an installed package, found without importing it; raise `EmbeddedServerError` if there is none."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(f"package {package} is not installed: pip install 'weir[embedded]'")
    return Path(spec.submodule_search_locations[0])


def _obstacle(port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error
    return None


def _require_free(name: str, port: int) -> None:
    obstacle = _obstacle(port)
    if obstacle is not None:
        raise EmbeddedServerError(f"{name} cannot listen on {HOST}:{port}: {obstacle.strerror}")


async def _ended(process: subprocess.Popen[bytes]) -> int:
    while True:
        code = process.poll()
        if code is not None:
            return code
        await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _claimed(name: str, data_dir: Path) -> AsyncIterator[int]:
    """Hold the lock of `data_dir` as an open file for the server to inherit; raise `EmbeddedServerError` if it is held.

    The file names the launcher: while that lives there is nothing to wait for; without it, its server is about to end.
    """
    claim = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            async with asyncio.timeout(CLAIM_TIMEOUT_S):
                while not _lock(claim):
                    _refuse_if_launcher_lives(name, data_dir, claim)
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise EmbeddedServerError(
                f"{data_dir} is in use by a {name} whose launcher has gone: stop that server first"
            ) from None
        os.truncate(claim, 0)
        os.pwrite(claim, str(os.getpid()).encode(), 0)
        yield claim
    finally:
        os.close(claim)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_if_launcher_lives(name: str, data_dir: Path, claim: int) -> None:
    launcher = int(os.pread(claim, 20, 0) or 0)
    if launcher in (0, os.getpid()):
        return
    try:
        os.kill(launcher, 0)
    except ProcessLookupError:
        return
    except PermissionError:
        pass
    raise EmbeddedServerError(f"{data_dir} is in use by the {name} of process {launcher}")
