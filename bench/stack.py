"""What every bench needs: a durable Postgres of its own, service processes, client processes, and figures."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from libs.common.clock import system_clock
from libs.common.credentials import ALL_SCOPES, Issuer, generate_private_key, load_private_key, public_pem
from libs.common.postgres import migrate
from libs.embedded.postgres import Postgres, provision
from libs.embedded.process import HOST, free_port
from libs.embedded.valkey import Valkey
from services.__main__ import migrations

ROOT = Path(__file__).parents[1]
READY_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Process:
    """A service process: where it listens, its id, and what it takes to call it."""

    target: str
    pid: int
    api_key: str

    @property
    def peak_rss_mb(self) -> float:
        """The most memory that the process has had so far (Linux)."""
        return self._status_mb("VmHWM:")

    @property
    def rss_mb(self) -> float:
        """The memory that the process has now (Linux)."""
        return self._status_mb("VmRSS:")

    def _status_mb(self, name: str) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the kernel does not say how much memory the process has")


def processor_seconds(pid: int) -> float:
    """What a process and all its descendants have used (Linux). Of one that has ended, its parent has it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    used = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return used + sum(processor_seconds(int(child)) for child in children)


@asynccontextmanager
async def postgres() -> AsyncIterator[Postgres]:
    """A durable server on an empty directory, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        Path(folder).chmod(0o755)  # where Postgres runs as another user
        async with Postgres(Path(folder) / "postgres", durable=True) as server:
            yield server


async def new_database(server: Postgres, service: str) -> str:
    """DSN of a fresh database into which the service has migrated."""
    dsns = await provision(server.admin_dsn, [service], {service: token_hex(8)}, database=f"bench_{token_hex(4)}")
    await migrate(dsns[service], migrations(service))
    return dsns[service]


@asynccontextmanager
async def service(
    name: str, dsn: str, tenant_id: str = "bench", settings: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """The server process of a service, ready.

    `settings` are environment variables beside those that it gets anyway: services that call each other need one
    signing key, and where each listens.
    """
    settings = settings or {}
    private_pem = settings.get("WEIR_SIGNING_KEY") or generate_private_key()
    target = settings.get(f"WEIR_{name.upper()}_LISTEN") or f"{HOST}:{free_port()}"
    environment = {
        **settings,
        f"WEIR_{name.upper()}_DSN": dsn,
        f"WEIR_{name.upper()}_LISTEN": target,
        "WEIR_PUBLIC_KEYS": public_pem(private_pem),
        "WEIR_SIGNING_KEY": private_pem,
    }
    async with _python("services", name, environment=environment) as pid:
        await _ready(target)
        issuer = Issuer(load_private_key(private_pem), system_clock)
        yield Process(target, pid, issuer.api_key(tenant_id, ALL_SCOPES, live=False))


@asynccontextmanager
async def valkey() -> AsyncIterator[Valkey]:
    """On an empty directory, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        async with Valkey(Path(folder) / "valkey") as server:
            yield server


@asynccontextmanager
async def worker(name: str, dsn: str, settings: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """The worker process of a service, with a Valkey of its own unless `settings` name one."""
    async with AsyncExitStack() as stack:
        environment = {f"WEIR_{name.upper()}_DSN": dsn, **(settings or {})}
        if "WEIR_REDIS_URL" not in environment:
            environment["WEIR_REDIS_URL"] = (await stack.enter_async_context(valkey())).url
        pid = await stack.enter_async_context(_python("services", name, "worker", environment=environment))
        yield Process("", pid, "")


@asynccontextmanager
async def echo() -> AsyncIterator[Process]:
    """A server that answers at once."""
    target = f"{HOST}:{free_port()}"
    async with _python("bench.echo", target, environment={}) as pid:
        yield Process(target, pid, "none")


@asynccontextmanager
async def empty_endpoint() -> AsyncIterator[int]:
    """The port of an HTTP server that takes webhooks and answers at once."""
    port = free_port()
    async with _python("bench.empty_endpoint", f"{HOST}:{port}", environment={}):
        await _listening(port)
        yield port


@asynccontextmanager
async def sandbox() -> AsyncIterator[Process]:
    """The stand-in for processors, in memory; `target` is its URL."""
    port = free_port()
    async with _python("sandbox", "--port", str(port), environment={}) as pid:
        await _listening(port)
        yield Process(f"http://{HOST}:{port}", pid, "")


async def _listening(port: int) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@asynccontextmanager
async def _python(*command: str, environment: Mapping[str, str]) -> AsyncIterator[int]:
    """A process of a Python module; its id. Stopped as an orchestrator would stop it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command,
        cwd=ROOT, env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(target: str) -> None:
    async with asyncio.timeout(READY_SECONDS), grpc.aio.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__trunc__() - 1)]
