"""Every request that our adapters make, and every answer of the sandbox, is as the three processors publish them.

Between the two stands a validating proxy that is not part of this repository; it is looked for beside the checkout, in
`../shared/psp`. Where it is absent this module collects no tests at all.
"""

import asyncio
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.common.clock import system_clock
from services.payments.domain.attempt import Declined, Outcome, Pending, RequiresAction, Succeeded
from services.payments.providers import Capability, Page, Processor, ProcessorUnavailable, Subject
from tests.payments.till import CONNECTIONS, Till, credentials_at
from tests.sandbox.running import RunningSandbox, running_receiver, running_sandbox

CONTRACT = Path(__file__).parents[3] / "shared" / "psp" / "psp_contract.py"
__test__ = CONTRACT.is_file()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running_sandbox(tmp_path_factory.mktemp("contracts")) as running:
        yield running


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("psp_contract", CONTRACT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("processor_name", list(CONNECTIONS))
async def test_all_that_is_said_is_as_it_is_published(sandbox: RunningSandbox, processor_name: str) -> None:
    with running_receiver() as receiver:
        credentials = credentials_at(sandbox, processor_name, receiver.url)
        with _module().Proxy({processor_name: sandbox.url}) as proxy:
            connection: Any = CONNECTIONS[processor_name](proxy.url[processor_name], 10)
            account: Processor = connection.account(credentials)
            customer = await account.create_customer("acme", "ada", "customer:1")
            assert isinstance(customer, str)
            till = Till(processor_name, account, sandbox, receiver, credentials, customer)
            try:
                await _everything(till)
            finally:
                await connection.aclose()
            assert proxy.calls
            assert [str(error) for error in proxy.errors] == []


async def _everything(till: Till) -> None:
    """All calls that an adapter has."""
    account = till.account
    method = await till.saved()
    first = await _settled(till, await account.charge(till.charge(method)))
    assert isinstance(first, Succeeded)
    await account.charge(till.charge(method))
    poor = await till.saved(till.ways.poor)
    declined = await _settled(till, await account.charge(replace(till.charge(poor), number=2, idempotency_key="pay:2")))
    assert isinstance(declined, Declined | RequiresAction)
    await account.cancel(declined.reference)
    await account.refund(till.refund(first.reference, 500))
    if Capability.LOOKUP in account.capabilities:
        assert await account.look_up(till.charge(method)) is not None
        assert await account.look_up_refund(till.refund(first.reference, 500)) is not None
    else:
        with pytest.raises(ProcessorUnavailable):
            await account.look_up(till.charge(method))
    page = await account.payment_page(till.payment_page())
    assert isinstance(page, Page)
    await account.close_page(page.reference)
    await _list_all(till)


async def _settled(till: Till, outcome: Outcome) -> Outcome:
    """What comes of it when the banks have answered."""
    if not isinstance(outcome, Pending):
        return outcome
    till.let_banks_answer()
    sighting = await till.account.fetch(outcome.reference)
    assert sighting is not None
    return sighting.outcome


async def _list_all(till: Till) -> None:
    since = system_clock() - timedelta(hours=1)
    until = since + timedelta(hours=2)
    if till.processor == "gocardless":
        till.let_banks_answer()
    else:
        till.sandbox.post(f"/_sandbox/{till.processor}/payouts")
    await asyncio.to_thread(till.receiver.wait_until, lambda: bool(till.told(Subject.CHARGE)))
    assert [event async for event in till.account.list_events(since)] or till.processor == "adyen"
    assert [record async for record in till.account.list_records(since, until)] or till.processor == "adyen"
    assert [payout async for payout in till.account.list_payouts(since, until, ())] or till.processor == "adyen"
    await till.account.check("/webhooks/acme/account")
