"""Processes are killed amid their work; afterwards the figures are exact and each customer has been charged once."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import httpx
import pytest
import pytest_asyncio

from cli.connection import Connection, connected, pages
from cli.demo import month
from cli.demo.generator import generate
from cli.demo.report import Billed, document
from cli.demo.trace import read_trace
from cli.stack.endpoint import Endpoint
from cli.stack.secrets import issue, load
from cli.stack.stack import Stack, running
from libs.common.credentials import ALL_SCOPES
from libs.common.errors import Unavailable
from tests.e2e.expectation import Expected, expected
from weir.invoicing.v1.invoicing_pb2 import ListInvoicesRequest
from weir.payments.v1.payments_pb2 import ListPaymentsRequest, Payment

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")

TRACE = b"".join(generate(requests=9_000, seed=1))
ROWS = read_trace(TRACE.splitlines(keepends=True), "made up")
MANY = 24
COLLECTED = int(os.environ.get("WEIR_TEST_INVOICES", "40"))
"""What is collected while everything is killed; more on request."""
QUICK = {
    "WEIR_INVOICING_LEASE_SECONDS": "2",
    "WEIR_INVOICING_CHUNK_SIZE": "1",
    "WEIR_PAYMENTS_PROCESSOR_TIMEOUT_SECONDS": "4",
}
"""What a worker that is killed has claimed is free again after seconds, and a run has several steps to be killed in."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    data = tmp_path_factory.mktemp("faults")
    data.chmod(0o711)
    async with running(data, print, {**os.environ, **QUICK}) as started:
        yield started


def tenant(stack: Stack, tenant_id: str) -> Endpoint:
    """The stack as a tenant of its own sees it."""
    api_key = issue(load(stack.data).signing_key, tenant_id, ALL_SCOPES, live=False)
    return replace(stack.endpoint, tenant_id=tenant_id, api_key=api_key)


async def persist(step: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a client does while something is away: the same again."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await step()
            except Unavailable:
                await asyncio.sleep(0.1)


def ignore(_number: int) -> None:
    pass


async def send_twice(endpoint: Endpoint, strike: Callable[[], None] | None = None) -> None:
    """Two clients send everything; one of them strikes when a third of its events is through."""
    waiting = [strike] if strike else []

    def sent(count: int) -> None:
        if waiting and count >= len(ROWS) // 3:
            waiting.pop()()

    await asyncio.gather(month.send(endpoint, ROWS, sent), month.send(endpoint, ROWS, ignore))
    assert waiting == []


AT = ("stripe",)
"""Where everybody pays: one account shows all charges."""


async def finish(endpoint: Endpoint) -> dict[str, Billed]:
    async with connected(endpoint) as services:
        await persist(lambda: month.finish_month(services, ignore))
        return await persist(lambda: month.collect(services, ignore))


async def require_exact(stack: Stack, endpoint: Endpoint, billed: Mapping[str, Billed]) -> None:
    found = document([], billed, {})["customers"]
    for customer, each in zip(expected(TRACE), found.values(), strict=True):
        customer.require(each)
    assert sorted(await charged(stack, endpoint)) == sorted(each["invoice"]["total_minor"] for each in found.values())


async def charged(stack: Stack, endpoint: Endpoint) -> list[int]:
    """What the processor has charged the tenant's customers, in cents."""
    answer = await ask_sandbox(stack, "/_sandbox/state", endpoint)
    [account] = answer["stripe"].values()
    return [charge["amount"] for charge in account["charges"] if charge["status"] == "succeeded"]


async def ask_sandbox(stack: Stack, path: str, endpoint: Endpoint, body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer sk_test_weir_{endpoint.tenant_id}"}
    async with httpx.AsyncClient(base_url=stack.endpoint.sandbox_url, headers=headers) as client:
        response = await client.request("POST" if body else "GET", path, json=body)
    return response.raise_for_status().json()


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await reached():  # noqa: ASYNC110 it is asked of another process
            await asyncio.sleep(0.005)


async def test_metering_is_killed_while_events_arrive(stack: Stack) -> None:
    endpoint = tenant(stack, "metering-killed")
    async with connected(endpoint) as services:
        await month.prepare(services, processors=AT)
    await send_twice(endpoint, lambda: stack.kill("metering"))
    await require_exact(stack, endpoint, await finish(endpoint))


async def test_postgres_is_killed_while_events_arrive_and_again_while_invoices_are_made(stack: Stack) -> None:
    endpoint = tenant(stack, "postgres-killed")
    async with connected(endpoint) as services:
        await month.prepare(services, processors=AT)
        await send_twice(endpoint, lambda: stack.kill("postgres"))
        await stack.until_restarted("postgres")
        billing = asyncio.create_task(finish(endpoint))
        await until(lambda: invoices_reach(services, 1))
        stack.kill("postgres")
        await require_exact(stack, endpoint, await billing)


async def test_the_invoicing_worker_is_killed_in_the_middle_of_a_run(stack: Stack) -> None:
    endpoint = tenant(stack, "invoicing-killed")
    customers = [f"customer-{number}" for number in range(MANY)]
    async with connected(endpoint) as services:
        await month.prepare(services, customers, AT)
        billing = asyncio.create_task(month.finish_month(services, ignore))
        for count in (MANY // 4, MANY // 2):
            await until(partial(invoices_reach, services, count))
            stack.kill("invoicing worker")
            await stack.until_restarted("invoicing worker")
        await billing
        billed = await month.collect(services, ignore, customers)
    base_fee_with_tax = Expected(0, 0, 0).total
    assert {each.invoice.total.minor_units for each in billed.values()} == {base_fee_with_tax}
    numbers = sorted(int(each.invoice.number.rpartition("-")[2]) for each in billed.values())
    assert numbers == list(range(1, MANY + 1)), "without gaps"
    assert await charged(stack, endpoint) == [base_fee_with_tax] * MANY


async def test_the_payments_worker_is_killed_between_the_charge_and_its_commit(stack: Stack) -> None:
    endpoint = tenant(stack, "payments-killed")
    async with connected(endpoint) as services:
        await month.prepare(services, processors=AT)
        await send_twice(endpoint)
        slow = {"method": "POST", "path": "/v1/payment_intents", "kind": "delay", "seconds": 2, "times": 3}
        await ask_sandbox(stack, "/_sandbox/faults", endpoint, slow)
        billing = asyncio.create_task(finish(endpoint))
        await until(lambda: charges_are_under_way(stack, endpoint))
        stack.kill("payments worker")
        payments = (await services.payments.ListPayments(ListPaymentsRequest())).payments
        assert {payment.state for payment in payments} == {Payment.STATE_PROCESSING}, "nobody is there to note it"
        await until(lambda: charges_reach(stack, endpoint, 3))
        await require_exact(stack, endpoint, await billing)


async def test_everything_is_killed_while_invoices_are_collected(stack: Stack) -> None:
    """Redis comes back without its data."""
    endpoint = tenant(stack, "all-killed")
    customers = [f"customer-{number}" for number in range(COLLECTED)]
    chance = random.Random(COLLECTED)
    victims = ["payments", "payments worker", "sandbox", "valkey", "postgres"]
    chance.shuffle(victims)
    async with connected(endpoint) as services:
        await month.prepare(services, customers, AT)
        await month.finish_month(services, ignore)
        for number, victim in enumerate(victims):
            await patiently(lambda: charges_reach(stack, endpoint, (number + 1) * COLLECTED // 8))  # noqa: B023
            stack.kill(victim)
            if victim == "valkey":
                shutil.rmtree(stack.data / "valkey" / "appendonlydir")
        await asyncio.gather(*map(stack.until_restarted, victims))
        await patiently(lambda: charges_reach(stack, endpoint, COLLECTED))

        async def are_paid() -> bool:
            found = await pages(lambda token: services.payments.ListPayments(page_after(token)), "payments")
            return [payment.state for payment in found] == [Payment.STATE_SUCCEEDED] * COLLECTED

        await patiently(are_paid)
    assert await charged(stack, endpoint) == [Expected(0, 0, 0).total] * COLLECTED


def page_after(token: str) -> ListPaymentsRequest:
    return ListPaymentsRequest(page_size=500, page_token=token)


async def patiently(reached: Callable[[], Awaitable[bool]]) -> None:
    """Whatever is away meanwhile."""
    async with asyncio.timeout(COLLECTED + 60):
        while True:
            with suppress(Unavailable, httpx.TransportError):
                if await reached():
                    return
            await asyncio.sleep(0.05)


async def invoices_reach(services: Connection, count: int) -> bool:
    return len((await services.invoicing.ListInvoices(ListInvoicesRequest())).invoices) >= count


async def charges_reach(stack: Stack, endpoint: Endpoint, count: int) -> bool:
    return len(await charged(stack, endpoint)) >= count


async def charges_are_under_way(stack: Stack, endpoint: Endpoint) -> bool:
    """All three requests have reached the processor, which is taking its time."""
    return not (await ask_sandbox(stack, "/_sandbox/faults", endpoint))["faults"]
