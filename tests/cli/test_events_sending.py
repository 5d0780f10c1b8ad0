"""The sender against the real service, with the service gone in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from cli.errors import CliError
from cli.events import sending
from cli.events.rows import BadRow, Place, Row
from cli.events.sending import Batch, Outcome, Sender, batches
from libs.common.clock import system_clock
from libs.common.rpc.client import channel
from libs.embedded.process import free_port
from services.metering.main import Settings, running
from tests.conftest import Database, Keys
from weir.metering.v1.metering_pb2 import (
    CreateMeterRequest,
    Event,
    IngestEventsResponse,
    Meter,
)
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

Serve = Callable[[], AbstractAsyncContextManager[str]]
METER = Meter(code="calls", aggregation=Meter.AGGREGATION_SUM, value_property="n")


def event(row: int, n: str = "1") -> Event:
    made = Event(transaction_id=f"row-{row}", subscription_id="s", code="calls", properties={"n": n})
    made.timestamp.FromJsonString("2023-11-16T18:17:03Z")
    return made


def rows(count: int, wrong: frozenset[int] = frozenset()) -> list[Row | BadRow]:
    return [Row(Place(row, row + 2), event(row, "many" if row in wrong else "1")) for row in range(count)]


class Run:
    """One client that sends `rows`; `after` is called with the number of batches answered."""

    def __init__(self, target: str, api_key: str, after: Callable[[int], None] = lambda _count: None) -> None:
        self.outcome = Outcome()
        self._answers = 0
        self._after = after
        self._channel = channel(target, api_key, retries=False)
        self.sender = Sender(MeteringServiceStub(self._channel), self._answered, in_flight=2)

    def _answered(self, batch: Batch, result: IngestEventsResponse) -> None:
        self.outcome.record(batch, result, lambda field: field)
        self._answers += 1
        self._after(self._answers)

    async def send(self, given: list[Row | BadRow]) -> Outcome:
        await self.sender.send(batches(given, self.outcome))
        await self._channel.close()
        return self.outcome


@pytest.fixture
def serve(database: Database, keys: Keys) -> Serve:
    """Starts the service, at the same address each time, with the meter that the events are for."""
    listen = f"127.0.0.1:{free_port()}"
    settings = Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen=listen)

    @asynccontextmanager
    async def serving() -> AsyncIterator[str]:
        async with running(settings, system_clock):
            async with channel(listen, keys.api_key()) as opened:
                request_id = "6b3b1d8e-0d0f-4b52-9a43-2a64b3b8a9f0"
                await MeteringServiceStub(opened).CreateMeter(CreateMeterRequest(request_id=request_id, meter=METER))
            yield listen

    return serving


@pytest.fixture
async def target(serve: Serve) -> AsyncIterator[str]:
    async with serve() as address:
        yield address


async def test_every_row_is_sent_and_sending_again_is_safe(target: str, keys: Keys) -> None:
    first = await Run(target, keys.api_key()).send(rows(2_500))
    again = await Run(target, keys.api_key()).send(rows(2_500))
    assert (first.sent, first.accepted, first.duplicates) == (2_500, 2_500, 0)
    assert (again.sent, again.accepted, again.duplicates) == (2_500, 0, 2_500)


async def test_a_row_that_is_refused_is_named_and_the_others_are_recorded(target: str, keys: Keys) -> None:
    outcome = await Run(target, keys.api_key()).send(rows(2_500, wrong=frozenset({3, 1_700})))
    assert (outcome.accepted, outcome.failure_count) == (2_498, 2)
    assert [(bad.place.line, bad.column, bad.reason) for bad in outcome.failures] == [
        (5, "properties.n", "DECIMAL_MALFORMED"),
        (1_702, "properties.n", "DECIMAL_MALFORMED"),
    ]


async def test_nothing_to_send_needs_no_service(keys: Keys) -> None:
    outcome = await Run(f"127.0.0.1:{free_port()}", keys.api_key()).send([])
    assert outcome == Outcome()


async def test_what_was_not_answered_is_sent_again_when_the_service_is_back(serve: Serve, keys: Keys) -> None:
    halfway = asyncio.Event()
    async with serve() as address:
        run = Run(address, keys.api_key(), after=lambda answers: halfway.set() if answers == 3 else None)
        sending_all = asyncio.create_task(run.send(rows(8_000)))
        await halfway.wait()
    assert not sending_all.done()
    async with serve():
        outcome = await sending_all
    assert (outcome.sent, outcome.accepted + outcome.duplicates, outcome.failure_count) == (8_000, 8_000, 0)
    assert run.sender.confirmed_row == 8_000


async def test_it_gives_up_on_a_service_that_stays_away(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PATIENCE_SECONDS", 0.3)
    run = Run(f"127.0.0.1:{free_port()}", keys.api_key())
    with pytest.raises(CliError, match=r"gave up after 0 s without an answer: .*\[PEER_UNAVAILABLE\]"):
        await run.send(rows(1_500))
    assert run.sender.confirmed_row == 0
