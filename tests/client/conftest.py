"""Metering at one address, at which it may be away or be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from libs.embedded.process import free_port
from services.metering.main import Settings, running
from tests.conftest import Database, Keys
from tests.metering.requests import make_meters, used
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

ROOT = Path(__file__).parents[2]
Process = asyncio.subprocess.Process


@dataclass(slots=True)
class Metering:
    """The service for tenant acme, in this process or in one of its own, which keeps its address when it comes back."""

    dsn: str
    public_keys: str
    api_key: str
    target: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with running(Settings(self.dsn, self.public_keys, self.target), system_clock):
            yield

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Process]:
        environment = {
            "WEIR_METERING_DSN": self.dsn,
            "WEIR_METERING_LISTEN": self.target,
            "WEIR_PUBLIC_KEYS": self.public_keys,
        }
        process = await start(["-m", "services", "metering"], environment)
        async with asyncio.timeout(20), grpc.aio.insecure_channel(self.target) as opened:
            await health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        try:
            yield process
        finally:
            await stop(process, signal.SIGTERM)

    async def make_meters(self) -> None:
        async with channel(self.target, self.api_key) as opened:
            await make_meters(MeteringServiceStub(opened))

    async def used(self) -> tuple[int, int]:
        """How many events the service counts, and the sum of their tokens."""
        async with channel(self.target, self.api_key) as opened:
            found = await used(MeteringServiceStub(opened), "requests", "tokens")
        return int(found["requests"]), int(found["tokens"])


async def start(arguments: Sequence[str], environment: dict[str, str]) -> Process:
    """A Python process of the project."""
    environment = {**os.environ, **environment}
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )


async def stop(process: Process, how: signal.Signals = signal.SIGKILL) -> list[str]:
    """The lines that were still to be read."""
    if process.returncode is None:
        process.send_signal(how)
    rest, _ = await process.communicate()
    return rest.decode().splitlines()


@pytest.fixture
def address(database: Database, keys: Keys) -> Metering:
    return Metering(database.dsns["metering"], keys.public_pem, keys.api_key("acme"))


@pytest.fixture
async def metering(address: Metering) -> AsyncIterator[Metering]:
    """Metering, which runs, with the meters `requests` and `tokens`."""
    async with address.running():
        await address.make_meters()
        yield address


@pytest.fixture
async def away(address: Metering) -> Metering:
    """The same, but it does not run at the moment."""
    async with address.running():
        await address.make_meters()
    return address
