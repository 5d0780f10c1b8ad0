"""Sends events over IngestEventStream: several batches in flight, every one until it is answered.

Sending a batch again is always safe: the services count each transaction_id once.
"""

import asyncio
from bisect import insort
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

import grpc

from cli.errors import CliError
from cli.events.rows import BadRow, Place, Row
from libs.common.errors import ResourceExhausted, Unavailable
from libs.common.rpc.client import typed_errors
from weir.metering.v1.metering_pb2 import (
    Event,
    IngestEventsResponse,
    IngestEventStreamRequest,
    IngestEventStreamResponse,
)

if TYPE_CHECKING:
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

BATCH_EVENTS = 1000
BATCHES_IN_FLIGHT = 4
Outbox: TypeAlias = "asyncio.Queue[IngestEventStreamRequest | None]"
"""What goes out on a stream; None ends it."""

PATIENCE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
DEFECT = "internal error"
"""What a service says of an error of its own, which sending again would only repeat."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events of a file, where they stand in it, and the row after the last one that belongs to the batch."""

    request: IngestEventStreamRequest
    places: Sequence[Place]
    end_row: int


@dataclass(slots=True)
class Outcome:
    """What became of the rows so far. At most MAX_KEPT failures are kept, by row; all are counted."""

    MAX_KEPT = 1000

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    failure_count: int = 0
    failures: list[BadRow] = field(default_factory=list)

    def fail(self, bad: BadRow) -> None:
        self.failure_count += 1
        if len(self.failures) < self.MAX_KEPT:
            insort(self.failures, bad, key=lambda each: each.place.row)

    def record(self, batch: Batch, result: IngestEventsResponse, column_of: Callable[[str], str]) -> None:
        self.sent += len(batch.places)
        self.accepted += result.accepted_count
        self.duplicates += len(result.duplicate_indexes)
        for failure in result.failures:
            place = batch.places[failure.index]
            self.fail(BadRow(place, column_of(failure.field), failure.reason, failure.message))


def batches(
    rows: Iterable[Row | BadRow], outcome: Outcome, *, from_row: int = 0, backfill_id: str = ""
) -> Iterator[Batch]:
    """Good rows from `from_row` on, by the thousand; bad ones go to `outcome`."""

    def batch() -> Batch:
        request = IngestEventStreamRequest(batch_id=number, events=events, backfill_id=backfill_id)
        return Batch(request, tuple(places), end_row)

    events: list[Event] = []
    places: list[Place] = []
    number = end_row = 0
    for row in rows:
        if row.place.row < from_row:
            continue
        end_row = row.place.row + 1
        if isinstance(row, BadRow):
            outcome.fail(row)
            continue
        events.append(row.event)
        places.append(row.place)
        if len(events) == BATCH_EVENTS:
            yield batch()
            number += 1
            events, places = [], []
    if events or end_row:
        yield batch()


class Sender:
    """One client, on a channel without retries. `answered` is called with each batch and its result, as they come."""

    def __init__(
        self,
        metering: "MeteringServiceAsyncStub",
        answered: Callable[[Batch, IngestEventsResponse], None],
        in_flight: int = BATCHES_IN_FLIGHT,
    ) -> None:
        self._metering = metering
        self._answered = answered
        self._in_flight = in_flight
        self._unanswered: dict[int, Batch] = {}
        self._answer_time = monotonic()
        self._end_row = 0

    async def send(self, source: Iterable[Batch]) -> None:
        """Return when every batch is answered. Raises CliError when the service stays away for a minute."""
        waiting = iter(source)
        pause = FIRST_PAUSE_SECONDS
        self._answer_time = monotonic()
        while True:
            last_answer = self._answer_time
            try:
                await self._stream(waiting)
                return
            except (Unavailable, ResourceExhausted) as error:
                if self._answer_time > last_answer:
                    pause = FIRST_PAUSE_SECONDS
                if monotonic() - self._answer_time > PATIENCE_SECONDS:
                    raise CliError(f"gave up after {PATIENCE_SECONDS:.0f} s without an answer: {error}") from None
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _stream(self, waiting: Iterator[Batch]) -> None:
        """One stream, until all is answered or it breaks (Unavailable)."""
        outbox: Outbox = asyncio.Queue()
        for batch in self._unanswered.values():
            outbox.put_nowait(batch.request)
        self._fill(outbox, waiting)
        if not self._unanswered:
            return
        call = self._metering.IngestEventStream(_until_none(outbox))
        try:
            with _stream_errors():
                async for answer in call:
                    self._answer_time = monotonic()
                    await self._take(answer, outbox, waiting)
        finally:
            outbox.put_nowait(None)
            call.cancel()
        if self._unanswered:
            raise Unavailable("STREAM_ENDED", "the service ended the stream before it had answered")

    async def _take(
        self,
        answer: IngestEventStreamResponse,
        outbox: Outbox,
        waiting: Iterator[Batch],
    ) -> None:
        if answer.retry_after_ms:
            await asyncio.sleep(answer.retry_after_ms / 1000)
            outbox.put_nowait(self._unanswered[answer.batch_id].request)
            return
        self._done(self._unanswered.pop(answer.batch_id), answer.result)
        self._fill(outbox, waiting)
        if not self._unanswered:
            outbox.put_nowait(None)

    def _fill(self, outbox: Outbox, waiting: Iterator[Batch]) -> None:
        while len(self._unanswered) < self._in_flight and (batch := next(waiting, None)) is not None:
            if not batch.places:  # nothing but bad rows at the end
                self._done(batch, IngestEventsResponse())
                continue
            self._unanswered[batch.request.batch_id] = batch
            outbox.put_nowait(batch.request)

    def _done(self, batch: Batch, result: IngestEventsResponse) -> None:
        self._end_row = max(self._end_row, batch.end_row)
        self._answered(batch, result)

    @property
    def confirmed_row(self) -> int:
        """Every row before this one has been answered."""
        return min((batch.places[0].row for batch in self._unanswered.values()), default=self._end_row)


@contextmanager
def _stream_errors() -> Iterator[None]:
    """BillingError. What gRPC itself says of a connection that is cut (INTERNAL, CANCELLED …) is Unavailable."""
    try:
        with typed_errors():
            yield
    except grpc.aio.AioRpcError as error:
        if error.details() == DEFECT:
            raise
        raise Unavailable("STREAM_BROKEN", f"the stream broke: {error.details()}") from None


async def _until_none(
    outbox: Outbox,
) -> AsyncIterator[IngestEventStreamRequest]:
    while (request := await outbox.get()) is not None:
        yield request
