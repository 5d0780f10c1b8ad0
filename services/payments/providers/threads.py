"""Calls of SDKs that block, in threads: so many at a time, and none waited for longer than a call may take.

A call whose time is up goes on in its thread until its own HTTP timeout; what comes of it is found out under its key.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MOST_THREADS = 32


class Threads:
    def __init__(self, name: str, timeout_seconds: float) -> None:
        self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix=name)
        self._timeout_seconds = timeout_seconds

    async def call(self, function: Callable[[], T]) -> T:
        """Raises TimeoutError; then the call is not begun any more if it had still been waiting for a thread."""
        async with asyncio.timeout(self._timeout_seconds):
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def close(self) -> None:
        """Waits for what is under way, which its HTTP timeouts end."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
