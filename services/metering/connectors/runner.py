"""A connector at work: read, deliver, confirm; and deliver again what somebody has asked to replay."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import grpc
import structlog

from libs.common.errors import BillingError, ResourceExhausted, Unavailable
from libs.common.rpc.status import from_postgres_error
from services.metering.connectors.delivery import Delivery
from services.metering.connectors.records import Source, SourceAway

log = structlog.get_logger()

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
REPLAY_PERIOD_SECONDS = 1.0


class Stopping(Exception):
    """The process is to end, and what it waits for is still away."""


class Runner:
    """Stops between two batches once `stopping` is set; a batch that can't be delivered then stays unconfirmed."""

    def __init__(self, delivery: Delivery, stopping: asyncio.Event) -> None:
        self._delivery = delivery
        self._stopping = stopping

    async def run(self, source: Source) -> None:
        """Bring what `source` has to metering, in its order, each batch confirmed before the next is read."""
        tenant_id = self._delivery.tenant_id
        with suppress(Stopping):
            while not self._stopping.is_set():
                batch = await self._persistently("read", source.read)
                if batch is None:
                    continue
                delivered = await self._persistently(
                    "deliver", partial(self._delivery.deliver, tenant_id, batch.records)
                )
                await self._persistently("confirm", partial(source.confirm, batch.position))
                log.info(
                    "records delivered",
                    tenant=tenant_id,
                    records=len(batch.records),
                    accepted=delivered.accepted,
                    duplicates=len(delivered.duplicates),
                    refused=len(delivered.refusals),
                )

    async def replay(self) -> None:
        """Deliver the dead letters that somebody asks for."""
        with suppress(Stopping):
            while not self._stopping.is_set():
                replayed, refused = await self._persistently("replay", self._delivery.replay)
                if replayed or refused:
                    log.info("dead letters replayed", replayed=replayed, refused=refused)
                else:
                    await self._pause(REPLAY_PERIOD_SECONDS)

    async def _persistently(self, step: str, do: Callable[[], Awaitable[T]]) -> T:
        """Do it until it is done. Raises Stopping, and what waiting does not mend."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await do()
            except Exception as error:
                least_seconds = _retry_after_seconds(error)
                if least_seconds is None:
                    raise
                log.warning("waiting", step=step, cause=str(error) or repr(error))
                await self._pause(max(pause_seconds, least_seconds))
            if self._stopping.is_set():
                raise Stopping
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _retry_after_seconds(error: Exception) -> float | None:
    """How long to wait at least before the same is tried again; None where that is of no use."""
    known = error if isinstance(error, BillingError) else from_postgres_error(error)
    if isinstance(known, Unavailable | ResourceExhausted):
        return known.retry_after_ms / 1000
    if isinstance(error, SourceAway | grpc.aio.AioRpcError):
        return 0.0
    return None
