"""Connectors to a metering server: in this process, or as processes that can be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from services.metering.connectors import main
from tests.conftest import Database, Keys
from tests.metering.connectors.feeds import AWS
from tests.metering.requests import make_meters, used
from weir.metering.v1.metering_pb2 import DeadLetter, ListDeadLettersRequest
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

MAPPING = {
    "transaction_id": "id",
    "subscription_id": "account",
    "code": {"constant": "llm"},
    "timestamp": {"path": "at", "format": "unix_ms"},
    "properties": {"tokens": "tokens"},
}


@dataclass(slots=True)
class World:
    database: Database
    keys: Keys
    folder: Path
    port: int
    metering: "MeteringServiceAsyncStub" = field(init=False)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["World"]:
        """With the meters `requests`, which counts, and `tokens`, which sums."""
        async with channel(f"127.0.0.1:{self.port}", self.keys.api_key()) as opened:
            self.metering = MeteringServiceStub(opened)
            await make_meters(self.metering)
            yield self

    def settings(self, source: Mapping[str, Any], mapping: Any = MAPPING, **fields: Any) -> main.Settings:
        given = {"name": "usage", "source": dict(source), "mapping": mapping, **fields}
        if source["kind"] != "http":
            given["tenant"] = "acme"
        path = self.folder / "connector.yaml"
        path.write_text(yaml.safe_dump(given))
        return main.Settings(
            dsn=self.database.dsns["metering"],
            signing_key=self.keys.private_pem,
            config=str(path),
            public_keys=self.keys.public_pem,
            target=f"127.0.0.1:{self.port}",
        )

    def connector(self, settings: main.Settings) -> AbstractAsyncContextManager[int]:
        """In this process, while the context lasts."""
        return main.running(settings, system_clock)

    async def until_used(self, requests: int, tokens: int) -> None:
        """Wait until that much, and nothing else, is recorded."""
        async with asyncio.timeout(20):
            while (found := await used(self.metering, "requests", "tokens"))["requests"] != str(requests):
                assert int(found["requests"]) < requests
                await asyncio.sleep(0.02)
        assert found["tokens"] == str(tokens)

    async def dead_letters(self) -> list[DeadLetter]:
        return list((await self.metering.ListDeadLetters(ListDeadLettersRequest())).dead_letters)

    async def until_dead(self, count: int) -> list[DeadLetter]:
        async with asyncio.timeout(20):
            while len(letters := await self.dead_letters()) < count:  # noqa: ASYNC110 another process
                await asyncio.sleep(0.02)
        return letters


@asynccontextmanager
async def process(settings: main.Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m services metering connector`."""
    environ = {
        **os.environ,
        **AWS,
        "WEIR_METERING_DSN": settings.dsn,
        "WEIR_SIGNING_KEY": settings.signing_key,
        "WEIR_PUBLIC_KEYS": settings.public_keys,
        "WEIR_METERING_TARGET": settings.target,
        "WEIR_CONNECTOR_CONFIG": settings.config,
    }
    with Path(settings.config).with_suffix(".log").open("a") as logs:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", "metering", "connector", env=environ, stderr=logs
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def killed(started: asyncio.subprocess.Process) -> None:
    started.send_signal(signal.SIGKILL)
    await started.wait()
