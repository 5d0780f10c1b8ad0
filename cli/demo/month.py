"""The demo's month, step by step, against services that run. Every step may be repeated."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from cli.catalog.applying import apply_changes, find_changes
from cli.catalog.reader import read_catalog
from cli.connection import Connection, connected
from cli.demo import paying
from cli.demo.report import METERS, Billed
from cli.demo.trace import CUSTOMERS
from cli.errors import CliError
from cli.events.instant import timestamp
from cli.events.rows import Row
from cli.events.sending import Batch, Outcome, Sender, batches
from cli.stack.endpoint import Endpoint
from weir.common.v1.money_pb2 import Period
from weir.invoicing.v1 import invoicing_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.metering.v1.metering_pb2 import GetUsageRequest, IngestEventsResponse

START = datetime(2023, 11, 1, tzinfo=UTC)
END = datetime(2023, 12, 1, tzinfo=UTC)
PERIOD = Period(start_time=timestamp(START), end_time=timestamp(END))
CATALOG = Path(__file__).with_name("llm-api.yaml")
PLAN = "llm-api"
POLL_SECONDS = 0.05
WAIT_SECONDS = 90.0

_NAMESPACE = uuid.UUID("0b1d6e52-52d5-5f0e-8f5c-3d1a1f0c7a11")


async def prepare(
    services: Connection, customers: Sequence[str] = CUSTOMERS, processors: Sequence[str] = paying.PROCESSORS
) -> None:
    """The catalog, a test clock at the start of the month, customers with a subscription and a method saved at one of
    the processors in turn.
    """
    catalog = read_catalog(CATALOG.read_bytes(), CATALOG.name)
    await apply_changes(services, catalog, await find_changes(services, catalog))
    await services.invoicing.CreateTestClock(
        invoicing_pb2.CreateTestClockRequest(request_id=_request_id("clock"), start_time=timestamp(START))
    )
    await paying.connect(services, {name: _request_id("account", name) for name in processors})
    for number, customer in enumerate(customers):
        await subscribe(services, customer)
        processor = processors[number % len(processors)]
        await paying.save_method(services, customer, processor, _request_id("card", customer))


async def subscribe(services: Connection, customer: str) -> None:
    await services.invoicing.CreateCustomer(
        invoicing_pb2.CreateCustomerRequest(
            request_id=_request_id("customer", customer),
            customer=invoicing_pb2.Customer(id=customer, name=customer.replace("-", " ").capitalize()),
        )
    )
    await services.invoicing.CreateSubscription(
        invoicing_pb2.CreateSubscriptionRequest(
            request_id=_request_id("subscription", customer),
            subscription=invoicing_pb2.Subscription(
                id=customer, customer_id=customer, plan_code=PLAN, start_time=timestamp(START)
            ),
        )
    )


async def send(endpoint: Endpoint, rows: Sequence[Row], sent: Callable[[int], None]) -> Outcome:
    """One client sends every row. Raises CliError where one is refused; `sent` is told how many are through."""
    outcome = Outcome()

    def answered(batch: Batch, result: IngestEventsResponse) -> None:
        outcome.record(batch, result, _column)
        sent(outcome.sent)

    async with connected(endpoint) as services:
        await Sender(services.ingestion, answered).send(batches(rows, outcome))
    if outcome.failures:
        more = f" (and {outcome.failure_count - 1} more rows)" if outcome.failure_count > 1 else ""
        raise CliError(f"the trace has a row that was refused: {outcome.failures[0]}{more}")
    return outcome


def _column(field: str) -> str:
    columns = {"timestamp": "TIMESTAMP", "properties.input_tokens": "ContextTokens"}
    return {**columns, "properties.output_tokens": "GeneratedTokens"}.get(field, field)


async def finish_month(services: Connection, finalized: Callable[[int], None]) -> None:
    """Move the test clock to the end of the month and wait until all that falls due is billed."""
    answer = await services.invoicing.AdvanceClock(
        invoicing_pb2.AdvanceClockRequest(request_id=_request_id("advance"), target_time=timestamp(END))
    )
    run = answer.billing_run
    async with _patience(lambda: "; ".join(each.message for each in run.failures) or "the billing run did not end"):
        while run.state != invoicing_pb2.BillingRun.STATE_COMPLETED:
            await asyncio.sleep(POLL_SECONDS)
            request = invoicing_pb2.GetBillingRunRequest(id=run.id)
            run = (await services.invoicing.GetBillingRun(request)).billing_run
            finalized(run.finalized_count)


async def collect(
    services: Connection, paid: Callable[[int], None], customers: Sequence[str] = CUSTOMERS
) -> dict[str, Billed]:
    """Wait until every invoice is paid; answer with what was used and owed."""
    invoices: dict[str, Invoice] = {}
    async with _patience(lambda: f"{len(invoices)} of {len(customers)} invoices are paid"):
        while len(invoices) < len(customers):
            for customer in customers:
                invoice = await _invoice(services, customer)
                if invoice.payment_status == Invoice.PAYMENT_STATUS_SUCCEEDED:
                    invoices[customer] = invoice
                else:
                    await paying.let_bank_answer(services, customer)
            paid(len(invoices))
            if len(invoices) < len(customers):
                await asyncio.sleep(POLL_SECONDS)
    return {
        customer: Billed(
            await _usage(services, customer), invoices[customer], *await paying.paid_by(services, customer)
        )
        for customer in customers
    }


async def _invoice(services: Connection, subscription: str) -> Invoice:
    request = invoicing_pb2.ListInvoicesRequest(subscription_id=subscription)
    found = (await services.invoicing.ListInvoices(request)).invoices
    for invoice in found:
        if invoice.period == PERIOD:
            return invoice
    raise CliError(f"{subscription} has no invoice for the month")


async def _usage(services: Connection, subscription: str) -> dict[str, int]:
    request = GetUsageRequest(subscription_id=subscription, meter_codes=METERS, period=PERIOD)
    found = await services.metering.GetUsage(request)
    return {each.meter_code: int(each.quantity) for each in found.usages}


@asynccontextmanager
async def _patience(complaint: Callable[[], str]) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            yield
    except TimeoutError:
        raise CliError(f"gave up after {WAIT_SECONDS:.0f} s: {complaint()}") from None


def _request_id(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, ":".join(parts)))
