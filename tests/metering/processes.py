"""A server process of the service, to be killed, and a sender that does not give up."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from libs.common.errors import Unavailable
from libs.common.rpc.client import channel, typed_errors
from libs.embedded.process import HOST
from weir.metering.v1.metering_pb2 import Event, IngestEventsRequest, IngestEventStreamRequest
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server process is to listen, and what it is told."""

    port: int
    dsn: str
    public_pem: str

    @property
    def target(self) -> str:
        return f"{HOST}:{self.port}"

    @asynccontextmanager
    async def process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The process, from its start until it is killed, at the latest at the end."""
        environment = {
            **os.environ,
            "WEIR_METERING_DSN": self.dsn,
            "WEIR_METERING_LISTEN": self.target,
            "WEIR_PUBLIC_KEYS": self.public_pem,
        }
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", "metering", cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            yield started
        finally:
            if started.returncode is None:
                started.kill()
            await started.wait()


@asynccontextmanager
async def worker_process(dsn: str, redis_url: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process, until it is killed, at the latest at the end."""
    environment = {**os.environ, "WEIR_METERING_DSN": dsn, "WEIR_REDIS_URL": redis_url, **settings}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "metering", "worker",
        cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


@dataclass(slots=True)
class Tally:
    """What a sender has been told of its events."""

    accepted: int = 0
    duplicates: int = 0
    failures: int = 0


async def send_all(target: str, api_key: str, batches: Sequence[Sequence[Event]], tally: Tally) -> None:
    """Send every batch until it is acknowledged, four at a time, whatever the server goes through."""
    waiting = iter(batches)

    async def caller(opened: grpc.aio.Channel) -> None:
        for events in waiting:
            while True:
                try:
                    answer = await MeteringServiceStub(opened).IngestEvents(IngestEventsRequest(events=events))
                    break
                except (Unavailable, grpc.aio.AioRpcError):
                    await asyncio.sleep(0.05)
            tally.accepted += answer.accepted_count
            tally.duplicates += len(answer.duplicate_indexes)
            tally.failures += len(answer.failures)

    async with channel(target, api_key, retries=False) as opened:
        await asyncio.gather(*(caller(opened) for _ in range(4)))


async def stream_all(target: str, api_key: str, batches: Sequence[Sequence[Event]]) -> None:
    """The same through streams: what has no answer when one breaks goes into the next."""
    unanswered = dict(enumerate(batches))

    def requests() -> Iterable[IngestEventStreamRequest]:
        for number, events in list(unanswered.items()):
            yield IngestEventStreamRequest(batch_id=number, events=events)

    async with channel(target, api_key, retries=False) as opened:
        while unanswered:
            try:
                with typed_errors():
                    async for answer in MeteringServiceStub(opened).IngestEventStream(iter(requests())):
                        if not answer.retry_after_ms:
                            del unanswered[answer.batch_id]
            except (Unavailable, grpc.aio.AioRpcError):
                await asyncio.sleep(0.05)


def in_batches(events: Sequence[Event], size: int) -> Iterator[Sequence[Event]]:
    for start in range(0, len(events), size):
        yield events[start : start + size]
