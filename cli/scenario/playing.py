"""Plays a scenario in its tenant, step by step, and says where it went otherwise than it should."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from google.protobuf.message import Message

from cli.billing_walk import walked
from cli.catalog.applying import apply_changes, find_changes
from cli.catalog.messages import Table
from cli.catalog.nodes import CatalogError
from cli.catalog.reader import Catalog
from cli.connection import Connection, new_request_id
from cli.events.instant import parse_time_or_date, timestamp
from cli.sandbox_account import CARD, connect_sandbox
from cli.scenario.comparing import Difference
from cli.scenario.expectations import listed, unmet
from cli.scenario.reading import Scenario, Step
from cli.scenario.verbs import VERBS, Verb
from libs.common.errors import BillingError, InvalidArgument
from weir.invoicing.v1.credit_notes_pb2 import ListCreditNotesRequest
from weir.invoicing.v1.invoicing_pb2 import AdvanceClockRequest, CreateTestClockRequest, ListInvoicesRequest
from weir.metering.v1.metering_pb2 import Event, IngestEventsRequest
from weir.payments.v1.payments_pb2 import SavePaymentMethodRequest

ACCOUNT = "sandbox"
BATCH = 10_000
LAST_OF = "last of "
PATIENCE_SECONDS = 5.0
"""What follows a step in another service is there soon after; an expectation is given this long to come true."""
POLL_SECONDS = 0.02


class StepFailed(Exception):
    """The step did not go as it should: `differences` say how."""

    def __init__(self, *differences: Difference) -> None:
        super().__init__("; ".join(f"{each.path}: {each.found}" for each in differences))
        self.differences = differences


class Player:
    """`services` are the scenario's tenant's. `played` is told of each step that is through."""

    def __init__(self, scenario: Scenario, services: Connection, played: Callable[[], None]) -> None:
        self._scenario = scenario
        self._services = services
        self._played = played
        self._now = scenario.start
        self._has_account = False

    async def play(self) -> None:
        """Raises StepFailed at the first step that goes wrong."""
        start = timestamp(self._scenario.start)
        await self._services.invoicing.CreateTestClock(
            CreateTestClockRequest(request_id=new_request_id(), start_time=start)
        )
        for step in self._scenario.steps:
            if step.at is not None:
                await self._advance(step.at, step.path.rpartition(".")[0] + ".at")
            await self._taken(step)
            self._played()

    async def _taken(self, step: Step) -> None:
        try:
            await self._do(step)
        except BillingError as error:
            if error.reason == step.fails:
                return
            expected = f"refused with {step.fails}" if step.fails else "done"
            raise StepFailed(Difference(step.path, expected, f"{error.reason}: {error.message}")) from error
        except CatalogError as error:
            raise StepFailed(
                *(Difference(step.path, "applied", f"{each.path}: {each.message}") for each in error.problems)
            ) from error
        if step.fails:
            raise StepFailed(Difference(step.path, f"refused with {step.fails}", "done"))

    async def _do(self, step: Step) -> None:
        match step.contents:
            case Catalog() as catalog:
                await apply_changes(self._services, catalog, await find_changes(self._services, catalog))
            case Message() as request:
                await self._call(VERBS[step.name], request)
            case datetime() as time:
                await self._advance(time, step.path)
            case table if step.name == "events":
                await self._send(table, step.path)
            case table if step.name == "payment_method":
                await self._save_card(table, step.path)
            case table:
                await self._expect(table, step.path)

    async def _advance(self, time: datetime, path: str) -> None:
        if time < self._now:
            raise StepFailed(
                Difference(path, "a time at or after the clock's", f"{time:%FT%TZ}, the clock is at {self._now:%FT%TZ}")
            )
        if time == self._now:
            return
        request = AdvanceClockRequest(request_id=new_request_id(), target_time=timestamp(time))
        run = (await self._services.invoicing.AdvanceClock(request)).billing_run
        async for latest, _ in walked(self._services, run.id, POLL_SECONDS):
            run = latest
        if run.failures:
            raise StepFailed(
                *(
                    Difference(path, "all that was due is billed", f"{each.subscription_id}: {each.message}")
                    for each in run.failures
                )
            )
        self._now = time

    async def _call(self, verb: Verb, request: Any) -> None:
        call: Any = verb.request()
        call.CopyFrom(request)
        target: Any = verb.target(call)
        if verb.now and not target.HasField(verb.now):
            getattr(target, verb.now).CopyFrom(timestamp(self._now))
        if verb.invoice:
            setattr(target, verb.invoice, await self._invoice_id(getattr(target, verb.invoice)))
        if verb.credit_note:
            setattr(target, verb.credit_note, await self._credit_note_id(getattr(target, verb.credit_note)))
        call.request_id = new_request_id()
        await getattr(getattr(self._services, verb.service), verb.method)(call)

    async def _invoice_id(self, named: str) -> str:
        """Of a number, or of "last of CUSTOMER"; anything else is an id already."""
        if named.startswith(LAST_OF):
            found = await listed(self._services, "invoices", named.removeprefix(LAST_OF))
            return found[-1].id if found else named
        answer = await self._services.invoicing.ListInvoices(ListInvoicesRequest(number=named))
        return answer.invoices[0].id if answer.invoices else named

    async def _credit_note_id(self, named: str) -> str:
        answer = await self._services.credit_notes.ListCreditNotes(ListCreditNotesRequest(number=named))
        return answer.credit_notes[0].id if answer.credit_notes else named

    async def _send(self, table: Table, path: str) -> None:
        first = parse_time_or_date(table["timestamp"]) if table.get("timestamp") else self._now
        count, every = int(table.get("count") or 1), timedelta(seconds=float((table.get("every") or "0s")[:-1]))
        await self._advance(max(first + every * (count - 1), self._now), path)
        for begin in range(0, count, BATCH):
            events = [
                Event(
                    transaction_id=table.get("transaction_id") or f"{path}-{index}",
                    subscription_id=table["subscription_id"],
                    code=table["code"],
                    timestamp=timestamp(first + every * index),
                    properties=table.get("properties") or {},
                    amount=table.get("amount") or "",
                )
                for index in range(begin, min(begin + BATCH, count))
            ]
            await self._ingest(events)

    async def _ingest(self, events: list[Event]) -> None:
        answer = await self._services.metering.IngestEvents(IngestEventsRequest(events=events))
        for each in answer.failures:
            raise InvalidArgument(each.reason, f"event {each.index + 1}: {each.field}: {each.message}")

    async def _save_card(self, table: Table, path: str) -> None:
        if not self._services.endpoint.sandbox_url:
            raise StepFailed(Difference(path, "a stack with the sandbox", "none"))
        if not self._has_account:
            await connect_sandbox(self._services, ACCOUNT, new_request_id())
            self._has_account = True
        await self._services.payments.SavePaymentMethod(
            SavePaymentMethodRequest(
                request_id=new_request_id(),
                customer_id=table["customer_id"],
                processor_account_id=ACCOUNT,
                processor_token=table.get("token") or CARD,
            )
        )

    async def _expect(self, table: Table, path: str) -> None:
        found: list[Difference] = []
        async for _ in _patiently():
            if not (found := await unmet(self._services, table, path)):
                return
        raise StepFailed(*found)


async def _patiently() -> AsyncIterator[None]:
    end = monotonic() + PATIENCE_SECONDS
    while True:
        yield
        if monotonic() > end:
            return
        await asyncio.sleep(POLL_SECONDS)
