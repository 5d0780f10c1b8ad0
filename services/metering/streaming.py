"""A stream of requests, several of them under way at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Streams:
    """The streams being served, so that all can be told to come to an end."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Task[None]] = set()
        self.closing = False

    def close(self) -> None:
        """Read no further requests; those under way are still answered."""
        self.closing = True
        for reader in self._readers:
            reader.cancel()

    async def answers(
        self, requests: AsyncIterator[Request], answer: Callable[[Request], Awaitable[Answer]], *, most: int
    ) -> AsyncIterator[Answer]:
        """Answers as they come, of at most `most` requests at once. The first error ends the stream."""
        slots = asyncio.Semaphore(most)
        done: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
        under_way: set[asyncio.Task[Any]] = set()

        def start(work: Awaitable[Any]) -> "asyncio.Task[Any]":
            task = asyncio.ensure_future(work)
            task.add_done_callback(done.put_nowait)
            under_way.add(task)
            return task

        async def read() -> None:
            await slots.acquire()
            async for request in requests:
                start(answer(request))
                await slots.acquire()

        reader = start(read())
        self._readers.add(reader)
        try:
            while under_way:
                task = await done.get()
                under_way.discard(task)
                if task is not reader:
                    yield task.result()
                    slots.release()
                elif not task.cancelled():
                    task.result()
        finally:
            self._readers.discard(reader)
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
