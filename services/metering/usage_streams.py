"""Streams of usage: one poll of the log for all of them, and an answer where something has changed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from libs.common.errors import Unavailable
from libs.common.postgres import Pool
from services.metering import store
from services.metering.domain.usage import Answers

POLL_SECONDS = 0.15
READS_AT_ONCE = 4
"""Of all streams together, so that they leave connections to others."""


def server_stopping() -> Unavailable:
    return Unavailable("SERVER_STOPPING", "this server is stopping; open another stream", retry_after_ms=100)


@dataclass(slots=True, eq=False)
class _Watch:
    """One stream: whether its subscription may have new events, and why it has to end."""

    subscription: tuple[str, str]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None


class UsageStreams:
    """The streams being served. Without any there is no poll; it ends with the last one, and with the first error."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._watches: set[_Watch] = set()
        self._poller: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(READS_AT_ONCE)
        self._stopping: Unavailable | None = None

    def close(self) -> None:
        """End every stream."""
        self._stopping = server_stopping()
        self._fail(self._stopping)

    async def answers(
        self, tenant_id: str, subscription_id: str, ask: Callable[[], Awaitable[Answers]], interval_seconds: float
    ) -> AsyncGenerator[Answers, None]:
        """What `ask` answers, now and after each change; never ends but by an error."""
        loop = asyncio.get_running_loop()
        with self._watching(tenant_id, subscription_id) as watch:
            sent: Answers | None = None
            while True:
                watch.changed.clear()
                if watch.failure is not None:
                    raise watch.failure
                async with self._slots:
                    answers = await ask()
                not_before = loop.time()
                if sent is None or answers.usages != sent.usages:
                    sent, not_before = answers, not_before + interval_seconds
                    yield answers
                await watch.changed.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(not_before):
                        await watch.ended.wait()

    @contextmanager
    def _watching(self, tenant_id: str, subscription_id: str) -> Iterator[_Watch]:
        watch = _Watch((tenant_id, subscription_id), failure=self._stopping)
        self._watches.add(watch)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            if not self._watches:
                self._poller.cancel()
                self._poller = None

    async def _poll(self) -> None:
        """Tell streams of new events of their subscriptions, and at first all of them: they may have read before it."""
        seen: int | None = None
        try:
            while True:
                async with self._pool.acquire() as conn:
                    head = await store.read_head(conn)
                    if seen is None:
                        touched = {watch.subscription for watch in self._watches}
                    elif head > seen:
                        asked = {watch.subscription for watch in self._watches}
                        touched = await store.touched_subscriptions(conn, asked, seen, head)
                    else:
                        touched = set()
                for watch in self._watches:
                    if watch.subscription in touched:
                        watch.changed.set()
                seen = head
                await asyncio.sleep(POLL_SECONDS)
        except Exception as error:  # noqa: BLE001 raised by every stream
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        for watch in self._watches:
            watch.failure = error
            watch.changed.set()
            watch.ended.set()
