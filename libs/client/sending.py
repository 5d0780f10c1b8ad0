"""Sends what is in the spool, and removes it when the service has answered."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import grpc

from libs.client.spool import Refusal, Spool, SpooledEvent
from libs.common.errors import BillingError, ResourceExhausted
from libs.common.rpc.client import channel
from weir.metering.v1.metering_pb2 import IngestEventsRequest
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

log = logging.getLogger("weir.client")

BATCH_EVENTS = 1_000
BATCHES_UNDER_WAY = 4
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
CHECKPOINT_SECONDS = 0.5
CLAIM_SECONDS = 0.2
POLL_SECONDS = 0.01


class Sender:
    """Runs in the event loop in which it is started. Of all senders on one directory, one sends; others stand by."""

    def __init__(
        self,
        spool: Spool,
        target: str,
        api_key: Callable[[], str] | str,
        linger_ms: int,
        on_refused: Callable[[Refusal], None] | None,
    ) -> None:
        self._spool = spool
        self._target = target
        self._api_key = api_key
        self._linger_seconds = linger_ms / 1000
        self._on_refused = on_refused
        self._task: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._read_until = 0
        self._read_all = True
        self._hurry = asyncio.Event()
        self.trouble: BaseException | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="weir usage sender")
        self._task.add_done_callback(self._ended)

    async def flush(self, timeout_seconds: float) -> None:
        """Return when everything recorded so far, by any process, has been answered. Raises TimeoutError."""
        last = self._spool.last_id()
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                while await asyncio.to_thread(self._spool.holds_until, last):
                    await self._poll()
        except TimeoutError:
            cause = self.trouble or "no answer yet"
            raise TimeoutError(f"events are still waiting after {timeout_seconds:g} s: {cause}") from self.trouble

    async def _poll(self) -> None:
        """Wait a moment. Raises what has ended the sender, if it has ended."""
        if self._task is None:
            raise RuntimeError("nothing is sent before the client has been entered: use it in `with`")
        ended, _ = await asyncio.wait([self._task], timeout=POLL_SECONDS)
        for task in ended:
            task.result()

    async def close(self, timeout_seconds: float) -> None:
        """Flush, if that can be done in time; stop; close the spool. The second time there is nothing left to do."""
        try:
            if self._task is not None:
                await self.flush(timeout_seconds)
        except TimeoutError as error:
            log.warning("closing: %s; they stay in the spool", error)
        finally:
            task, self._task = self._task, None
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
            self._spool.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (defect := task.exception()) is not None:
            log.error("no more events are sent by this process", exc_info=defect)
            self.trouble = defect

    async def _run(self) -> None:
        """Send; where the disk fails, start again with what it holds."""
        for pause in _pauses():
            try:
                await self._send()
            except* sqlite3.OperationalError as errors:
                self._failed(errors)
            await asyncio.sleep(pause)

    async def _send(self) -> None:
        self._read_until = 0
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._checkpoint())
            while not self._spool.claim_sending():  # noqa: ASYNC110 another process has it
                await asyncio.sleep(CLAIM_SECONDS)
            async with channel(self._target, self._api_key) as opened, asyncio.TaskGroup() as lanes:
                metering = MeteringServiceStub(opened)
                for _ in range(BATCHES_UNDER_WAY):
                    lanes.create_task(self._send_batches(metering))

    async def _checkpoint(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            await asyncio.to_thread(self._spool.checkpoint)

    async def _send_batches(self, metering: "MeteringServiceAsyncStub") -> None:
        while True:
            await self._deliver(metering, await self._next_batch())

    async def _next_batch(self) -> Sequence[SpooledEvent]:
        """A full batch at once; otherwise what there is after lingering."""
        async with self._reading:
            batch: list[SpooledEvent] = []
            while not batch:
                if self._read_all:
                    await self._linger()
                batch = await asyncio.to_thread(self._spool.read, self._read_until, BATCH_EVENTS)
                self._read_all = len(batch) < BATCH_EVENTS
            self._read_until = batch[-1].id
            return batch

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(self._linger_seconds):
                await self._hurry.wait()
        except TimeoutError:
            return
        self._hurry.clear()

    async def _deliver(self, metering: "MeteringServiceAsyncStub", batch: Sequence[SpooledEvent]) -> None:
        """Try until it is answered and settled. Whatever fails, sending a batch again is safe."""
        request = IngestEventsRequest()
        for each in batch:
            request.events.add().MergeFromString(each.message)  # a fifth of the time that a list of events takes
        for pause in _pauses():
            try:
                answer = await metering.IngestEvents(request)
                refusals = [Refusal(batch[bad.index], bad.field, bad.reason, bad.message) for bad in answer.failures]
                await asyncio.to_thread(self._spool.settle, batch, refusals)
            except (BillingError, grpc.aio.AioRpcError) as error:
                self._failed(error)
                asked_ms = error.retry_after_ms if isinstance(error, ResourceExhausted) else 0
                await asyncio.sleep(asked_ms / 1000 + pause)
            else:
                self._succeeded(refusals)
                return

    def _failed(self, error: Exception) -> None:
        if self.trouble is None:
            log.warning("events can't be delivered and are kept in the spool: %s", error)
        self.trouble = error

    def _succeeded(self, refusals: Sequence[Refusal]) -> None:
        if self.trouble is not None:
            log.warning("events are being delivered again")
        self.trouble = None
        if self._on_refused is not None:
            for each in refusals:
                asyncio.get_running_loop().call_soon(self._on_refused, each)


def _pauses() -> Iterator[float]:
    """Seconds, for ever: doubling to the longest, less up to half, so that clients do not come back all at once."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
