"""Group commit of webhooks: whatever is waiting is recorded by one statement, and answered when that is committed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from libs.common.clock import Clock
from libs.common.postgres import Pool
from libs.common.worker import Alarm
from services.payments.domain.webhook import WebhookEvent
from services.payments.inbox import received
from services.payments.providers import Event
from services.payments.store import events

log = structlog.get_logger()

GROUP_WEBHOOKS = 200
"""A group takes no more: one statement never writes more than 200 MiB."""

QUEUE_BYTES = 64 * 1024 * 1024
"""More are refused, and sent again by the processor."""


class IntakeFull(Exception):
    """Nothing of the webhook is recorded."""


@dataclass(frozen=True, slots=True, eq=False)
class _Webhook:
    events: Sequence[WebhookEvent]
    size: int
    recorded: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Intake:
    """A bounded queue, and the writer that empties it. The worker is rung once for a group."""

    def __init__(self, pool: Pool, alarm: Alarm, clock: Clock) -> None:
        self._pool = pool
        self._alarm = alarm
        self._clock = clock
        self._queue: deque[_Webhook] = deque()
        self._queued_bytes = 0
        self._closed = False
        self._is_due = asyncio.Event()
        self._ring = asyncio.Event()

    async def record(self, tenant_id: str, account_id: str, told: Sequence[Event]) -> None:
        """Return once all are committed. Raises IntakeFull, and what Postgres raises."""
        size = sum(len(each.body) for each in told)
        if self._closed or self._queued_bytes + size > QUEUE_BYTES:
            raise IntakeFull
        webhook = _Webhook(received(tenant_id, account_id, told, self._clock()), size)
        self._queue.append(webhook)
        self._queued_bytes += size
        self._is_due.set()
        await webhook.recorded

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writer; on leaving, it first records what is queued."""
        writer, ringer = asyncio.create_task(self._write()), asyncio.create_task(self._ring_worker())
        try:
            yield
        finally:
            self._closed = True
            self._is_due.set()
            await writer
            ringer.cancel()

    async def _write(self) -> None:
        while group := await self._next_group():
            try:
                async with self._pool.acquire() as conn:
                    new = await events.insert(conn, [event for webhook in group for event in webhook.events])
            except Exception as error:  # noqa: BLE001 those who wait for the group are told
                for webhook in group:
                    if not webhook.recorded.done():
                        webhook.recorded.set_exception(error)
                continue
            for webhook in group:
                if not webhook.recorded.done():  # its sender may have gone
                    webhook.recorded.set_result(None)
            self._ring.set()
            log.info("webhooks received", webhooks=len(group), new=new)

    async def _next_group(self) -> list[_Webhook]:
        """Wait until some are there, and take them. Empty when the queue has been closed and emptied."""
        while not self._queue and not self._closed:
            self._is_due.clear()
            await self._is_due.wait()
        group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_WEBHOOKS))]
        self._queued_bytes -= sum(webhook.size for webhook in group)
        return group

    async def _ring_worker(self) -> None:
        """Beside the writer: Redis may be slow, or away. Rings that come while one is under way are one."""
        while True:
            await self._ring.wait()
            self._ring.clear()
            await self._alarm.ring("events")
