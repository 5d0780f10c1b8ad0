"""The client, for programs with an event loop and for those without."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from libs.client.recording import Recorder

FLUSH_SECONDS = 30.0
CLOSE_SECONDS = 5.0


class UsageClient(Recorder):
    """`async with UsageClient(target, api_key, spool_directory) as usage: usage.record(event)`.

    Events are sent while the block is being run, in its event loop.
    """

    async def __aenter__(self) -> Self:
        self._sender.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        """Return when everything recorded so far has been answered. Raises TimeoutError, which names the trouble."""
        await self._sender.flush(timeout_seconds)

    async def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Send what can be sent in this time, and stop. The rest stays in the spool for the next process."""
        await self._sender.close(timeout_seconds)


class BlockingUsageClient(Recorder):
    """`with BlockingUsageClient(target, api_key, spool_directory) as usage: usage.record(event)`.

    Events are sent in a thread of the client's own, which is also where `on_refused` is called.
    """

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="weir usage sender", daemon=True)
        self._thread.start()
        self._loop.call_soon_threadsafe(self._sender.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        """As UsageClient.flush."""
        self._wait_for(self._sender.flush(timeout_seconds))

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """As UsageClient.close."""
        if self._loop.is_closed():
            return
        try:
            self._wait_for(self._sender.close(timeout_seconds))
        finally:
            self._wait_for(self._loop.shutdown_default_executor())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()
