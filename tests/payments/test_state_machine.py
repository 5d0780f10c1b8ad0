"""Whatever happens in whatever order, at every processor: what was moved is what is recorded, once.

Hypothesis orders charges, refunds and disputes; requests that fail before or after they were carried out; webhooks that
come twice, late, or from nobody; and workers that die in the middle of it.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from libs.common.errors import BillingError
from libs.embedded.valkey import Valkey
from tests.conftest import Database, Keys
from tests.payments.shop import Deployment, deployed, eventually, states
from tests.payments.test_reconciling import Books, today
from tests.payments.test_refunding import refund
from tests.payments.test_three_processors import Store
from tests.payments.till import CONNECTIONS, WAYS
from tests.sandbox.running import RunningSandbox

T = TypeVar("T")

FAULTS = ("drop_before_commit", "drop_after_commit", "error_503", "rate_limit_429")
INVOICES = 4
KINDS = {"stripe": "charges", "adyen": "payments", "gocardless": "payments"}
COLLECTED = frozenset({"succeeded", "confirmed", "paid_out", "charged_back", "Authorised"})
LEASE_END = timedelta(seconds=70)


@dataclass
class World:
    """A running deployment, and the loop that it lives in."""

    runner: asyncio.Runner
    deployment: Deployment
    processor: str = ""
    tenants: int = 0

    def run(self, wanted: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(wanted)


@pytest.fixture(scope="module")
def world(payments_database: Database, keys: Keys, shared_sandbox: RunningSandbox, valkey: Valkey) -> Iterator[World]:
    with asyncio.Runner() as runner:
        context = deployed(payments_database, keys, shared_sandbox, valkey.url)
        yield World(runner, runner.run(context.__aenter__()))
        runner.run(context.__aexit__(None, None, None))


class Machine(RuleBasedStateMachine):
    """One tenant with one account; every rule may come at any time."""

    world: World

    @initialize()
    def open(self) -> None:
        self.world.tenants += 1
        self.world.deployment.clock.moved = timedelta(0)  # internal keys live for minutes
        self.processor = self.world.processor
        self.store = Store(self.world.deployment, f"tenant-{self.processor}-{self.world.tenants}")
        self.ways = WAYS[self.processor]
        self.invoices: list[str] = []
        self.taken_back: set[str] = set()
        self.world.run(self._open())

    async def _open(self) -> None:
        await self.store.connect(self.processor)
        await self.store.save_on_page(self.processor, self.ways.good)
        for number in range(INVOICES):
            self.invoices.append((await self.store.bill(f"inv_{number}", currency=self.ways.currency)).id)

    @rule(kind=st.sampled_from(FAULTS), refunds=st.booleans(), data=st.data())
    def fail(self, kind: str, refunds: bool, data: st.DataObject) -> None:
        times = data.draw(st.integers(1, self.ways.tries))
        self.world.deployment.fault(kind, self.ways.refunds if refunds else self.ways.charges, times)

    @rule(what=st.sampled_from(("pause", "resume", "resume")))
    def hold_webhooks(self, what: str) -> None:
        self._control(f"webhooks/{what}")

    @rule()
    def repeat_webhooks(self) -> None:
        for event in self.world.run(self.store.events())[-3:]:
            self._control("webhooks/replay", event=event["id"].partition("#")[0])

    @rule()
    def forge(self) -> None:
        """What is known of a real one, signed by nobody."""
        events = self.world.run(self.store.events())
        body = bytes(events[-1]["body"]) if events else b"{}"
        self.world.run(self._forge(body))

    async def _forge(self, body: bytes) -> None:
        url = f"{self.world.deployment.webhook_url}/webhooks/{self.store.tenant_id}/{self.processor}"
        made_up = {"Stripe-Signature": "t=1700000000,v1=" + "0" * 64, "Webhook-Signature": "0" * 64}
        async with httpx.AsyncClient(trust_env=False) as forger:
            assert (await forger.post(url, content=body, headers=made_up)).status_code == 400

    @rule(
        name=st.sampled_from(("charge", "charge", "resolve", "events", "events", "refunds", "catch_up")),
        late=st.booleans(),
    )
    def work(self, name: str, late: bool) -> None:
        self.world.run(self._sweep(name, late))

    async def _sweep(self, name: str, late: bool) -> None:
        sweeps = self.store.later() if late else self.store.sweeps
        await getattr(sweeps, name)()

    @rule(name=st.sampled_from(("charge", "refunds", "resolve", "events")), milliseconds=st.integers(1, 60))
    def die(self, name: str, milliseconds: int) -> None:
        """A worker stops for good; what it held is free when its lease ends."""
        self.world.run(self._die(name, milliseconds / 1000))

    async def _die(self, name: str, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._sweep(name, late=False)
        self.store.later(LEASE_END)

    @rule(number=st.integers(0, INVOICES - 1), minor_units=st.integers(1, 1500))
    def give_back(self, number: int, minor_units: int) -> None:
        wanted = refund(self.store, minor_units, invoice_id=f"inv_{number}", currency=self.ways.currency)
        with suppress(BillingError):
            self.world.run(wanted)

    @rule(number=st.integers(0, INVOICES - 1))
    def take_back(self, number: int) -> None:
        """The customer's bank does, once, of what we know to be collected; before that, it is a charge that failed."""
        known = "SELECT reference FROM payment_attempt WHERE tenant_id = $1 AND state = 'SUCCEEDED' ORDER BY payment_id"
        references = [row["reference"] for row in self.world.run(self._rows(known))]
        if self.processor == "stripe":
            references = [each["id"] for each in self._charges() if each["payment_intent"] in references]
        if left := [each for each in references if each not in self.taken_back]:
            reference = left[number % len(left)]
            self.taken_back.add(reference)
            self.world.run(self._take_back(reference))

    async def _take_back(self, reference: str) -> None:
        match self.processor:
            case "stripe":
                self._control(f"stripe/charges/{reference}/dispute")
            case "adyen":
                self._control(f"adyen/payments/{reference}/chargeback")
            case _:
                token = self.store.credentials["access_token"]
                async with httpx.AsyncClient(trust_env=False) as client:
                    answer = await client.post(
                        self.world.deployment.sandbox.url + "/scenario_simulators/payment_charged_back/actions/run",
                        headers={"Authorization": f"Bearer {token}", "GoCardless-Version": "2015-07-06"},
                        json={"data": {"links": {"resource": reference}}},
                    )
                    answer.raise_for_status()

    @rule()
    def let_a_day_pass_at_the_banks(self) -> None:
        self._control("gocardless/next_day")

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        self.world.deployment.sandbox.delete("/_sandbox/faults")
        self._control("webhooks/resume")
        self.world.run(eventually(self._is_over, within_seconds=30))
        self.world.run(self._require_what_was_moved())

    async def _is_over(self) -> bool:
        sweeps = self.store.later(LEASE_END)
        for sweep in (sweeps.charge, sweeps.resolve, sweeps.events, sweeps.refunds):
            await sweep()
        if self.processor == "gocardless":
            self._control("gocardless/next_day")
        paid = [states(await self.store.payment(payment_id))[0] == "SUCCEEDED" for payment_id in self.invoices]
        open_refunds = await self._rows(
            "SELECT FROM refund WHERE tenant_id = $1 AND state IN ('SUBMITTING', 'UNKNOWN')"
        )
        disputes = await self._rows("SELECT FROM dispute WHERE tenant_id = $1")
        return all(paid) and not open_refunds and len(disputes) == len(self.taken_back)

    async def _require_what_was_moved(self) -> None:
        collected = Counter(self._payment(each) for each in self._charges() if _is_collected(each))
        assert [collected[payment_id] for payment_id in self.invoices] == [1] * len(self.invoices)
        unknown = "SELECT FROM payment_attempt WHERE tenant_id = $1 AND state IN ('SUBMITTING', 'UNKNOWN')"
        assert not await self._rows(unknown)
        parked = "SELECT error FROM webhook_event WHERE tenant_id = $1 AND state = 'PARKED'"
        assert not await self._rows(parked)
        books, day = Books(self.store), today(self.store)
        await books.ask(day)
        await self.store.sweeps.reconcile()
        assert await books.found(day) == []

    def _charges(self) -> list[Any]:
        """Of the account, at the processor."""
        state = self.world.deployment.sandbox.get("/_sandbox/state")[self.processor]
        mine = set(self.invoices)
        return [
            each for account in state.values() for each in account[KINDS[self.processor]] if self._payment(each) in mine
        ]

    def _payment(self, charge: Any) -> str:
        if self.processor == "adyen":
            return str(charge["reference"].partition("/")[0])
        return str(charge["metadata"].get("payment_id", ""))

    async def _rows(self, query: str) -> list[Any]:
        return await self.world.deployment.rows(query, self.store.tenant_id)

    def _control(self, what: str, **body: Any) -> None:
        self.world.deployment.sandbox.post("/_sandbox/" + what, **body)


def _is_collected(charge: Any) -> bool:
    return bool({charge.get("status"), charge.get("resultCode")} & COLLECTED)


@pytest.mark.parametrize("processor_name", list(CONNECTIONS))
def test_what_was_moved_is_what_is_recorded(world: World, processor_name: str) -> None:
    world.processor = processor_name
    Machine.world = world
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=2,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
