"""What a caller does with usage events at once: record them, and see to those that were refused."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import jwt

from libs.client.sending import Sender
from libs.client.spool import Durability, Refusal, Spool
from libs.common.clock import Clock, system_clock
from libs.common.errors import InvalidArgument, Unauthenticated
from weir.metering.v1.metering_pb2 import Event

MAX_EVENT_BYTES = 16 * 1024
"""More than any event that the service records. So a batch always fits into a message, and memory is bounded."""

SPOOL_BYTES = 1024**3
LINGER_MS = 50
PAGE = 100


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that the service will not record as it is: the wrong field, a stable reason, a sentence."""

    id: int
    event: Event
    field: str
    reason: str
    message: str

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        event = Event.FromString(refusal.event.message)
        return cls(refusal.event.id, event, refusal.field, refusal.reason, refusal.explanation)


class Recorder:
    """Takes events from any thread, whether the sender runs or not.

    Every event it has taken is sent until the service has answered for it, by this process or by the next one on the
    same directory, and counts once. One that the service refuses is kept.
    """

    def __init__(
        self,
        target: str,
        api_key: Callable[[], str] | str,
        spool_directory: Path,
        *,
        durable: Durability = "process",
        spool_bytes: int = SPOOL_BYTES,
        linger_ms: int = LINGER_MS,
        on_refused: Callable[[RefusedEvent], None] | None = None,
        clock: Clock = system_clock,
    ) -> None:
        """`linger_ms` is how long an event may wait for others; `on_refused` is called in the process that sends, in
        its event loop. Raises Unauthenticated CREDENTIAL_INVALID, FailedPrecondition SPOOL_OF_ANOTHER_TENANT.
        """
        tenant_id = _tenant_id(api_key if isinstance(api_key, str) else api_key())
        self._clock = clock
        self._spool = Spool(spool_directory, tenant_id, durable, spool_bytes)
        self._sender = Sender(
            self._spool,
            target,
            api_key,
            linger_ms,
            None if on_refused is None else lambda refusal: on_refused(RefusedEvent.of(refusal)),
        )

    def record(self, event: Event) -> str:
        """Return the event's transaction_id once it is in the spool: a new UUID where it had none.

        An event without a timestamp happens now. Raises ResourceExhausted SPOOL_FULL, and InvalidArgument
        EVENT_TOO_LARGE above 16 KiB; then nothing is recorded.
        """
        [transaction_id] = self.record_many((event,))
        return transaction_id

    def record_many(self, events: Iterable[Event]) -> list[str]:
        """The same for several, all or none; much cheaper for each."""
        complete = [self._completed(event) for event in events]
        self._spool.add([_message(event) for event in complete])
        return [event.transaction_id for event in complete]

    def _completed(self, event: Event) -> Event:
        if event.transaction_id and event.HasField("timestamp"):
            return event
        complete = Event()
        complete.CopyFrom(event)
        if not complete.transaction_id:
            complete.transaction_id = str(uuid.uuid4())
        if not complete.HasField("timestamp"):
            complete.timestamp.FromDatetime(self._clock())
        return complete

    def waiting(self) -> int:
        """How many events, of all processes on this directory, are without an answer. Counts them."""
        return self._spool.waiting()

    @property
    def trouble(self) -> BaseException | None:
        """Why this process can't deliver events at the moment; None while it can, or has nothing to send."""
        return self._sender.trouble

    def refused(self) -> Iterator[RefusedEvent]:
        """What the service refused, oldest first. Each is kept, and takes room in the spool, until it is forgotten."""
        page = self._spool.refusals(0, PAGE)
        while page:
            yield from map(RefusedEvent.of, page)
            page = self._spool.refusals(page[-1].event.id, PAGE)

    def forget(self, refused: Iterable[RefusedEvent]) -> None:
        """Remove what has been dealt with: corrected and recorded again, or given up."""
        self._spool.forget(each.id for each in refused)


def _tenant_id(api_key: str) -> str:
    """Whose key it says it is. The service verifies that; here it keeps tenants' events apart."""
    token = api_key.removeprefix("weir_live_").removeprefix("weir_test_")
    try:
        return str(jwt.decode(token, options={"verify_signature": False})["sub"])
    except (jwt.InvalidTokenError, KeyError):
        raise Unauthenticated("CREDENTIAL_INVALID", "this is not an API key of Weir") from None


def _message(event: Event) -> bytes:
    message = event.SerializeToString()
    if len(message) > MAX_EVENT_BYTES:
        raise InvalidArgument(
            "EVENT_TOO_LARGE",
            f"event {event.transaction_id[:255]} has {len(message)} bytes, {MAX_EVENT_BYTES} at most",
            field="event",
        )
    return message
