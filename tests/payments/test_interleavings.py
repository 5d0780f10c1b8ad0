"""Whatever fails in whatever order, at every processor: each invoice is charged once, and nothing stays unknown."""

import random
from collections import Counter
from typing import Any

import pytest

from tests.payments.shop import Deployment, eventually, states
from tests.payments.test_three_processors import Store
from tests.payments.till import CONNECTIONS, WAYS

FAULTS = ("drop_before_commit", *["drop_after_commit"] * 3, "error_503", "rate_limit_429")
INVOICES = 5


class Chaos:
    """A store whose processor fails, whose webhooks come twice, late or not yet, and whose sweeps run in any order."""

    def __init__(self, store: Store, processor: str, seed: int) -> None:
        self.store, self.processor = store, processor
        self.chance = random.Random(f"{processor} {seed}")

    async def disturb(self) -> None:
        match self.chance.randrange(5):
            case 0 | 1:
                kind, times = self.chance.choice(FAULTS), self.chance.randint(1, WAYS[self.processor].tries)
                self.store.deployment.fault(kind, WAYS[self.processor].charges, times)
            case 2:
                self.control("webhooks/pause")
            case 3:
                self.control("webhooks/resume")
            case 4:
                for event in await self.store.events():
                    self.store.deployment.sandbox.post("/_sandbox/webhooks/replay", event=event["id"])

    async def work(self) -> None:
        sweeps = self.store.later() if self.chance.random() < 0.5 else self.store.sweeps
        await self.chance.choice([*[sweeps.charge, sweeps.resolve] * 2, sweeps.events, sweeps.catch_up])()
        if self.processor == "gocardless" and self.chance.random() < 0.3:
            self.control("gocardless/next_day")

    def control(self, what: str) -> None:
        self.store.deployment.sandbox.post("/_sandbox/" + what)

    def collected(self) -> Counter[str]:
        """How often the processor has collected each payment."""
        state = self.store.deployment.sandbox.get("/_sandbox/state")[self.processor]
        found: Counter[str] = Counter()
        for account in state.values():
            found.update(self._payment(each) for each in account[_KINDS[self.processor]] if _is_paid(each))
        return found

    def _payment(self, charge: Any) -> str:
        if self.processor == "adyen":
            return str(charge["reference"].partition("/")[0])
        return str(charge["metadata"].get("payment_id", ""))


_KINDS = {"stripe": "charges", "adyen": "payments", "gocardless": "payments"}


def _is_paid(charge: Any) -> bool:
    return bool({charge.get("status"), charge.get("resultCode")} & {"succeeded", "confirmed", "paid_out", "Authorised"})


@pytest.mark.parametrize("seed", [2, 5])
@pytest.mark.parametrize("processor_name", list(CONNECTIONS))
async def test_every_invoice_is_collected_once(deployment: Deployment, processor_name: str, seed: int) -> None:
    store = await Store(deployment).connect(processor_name)
    await store.save_on_page(processor_name, WAYS[processor_name].good)
    chaos = Chaos(store, processor_name, seed)
    currency = WAYS[processor_name].currency
    payments = [await store.bill(f"inv_{number}", currency=currency) for number in range(INVOICES)]
    chaos.control("webhooks/pause")
    for _ in range(12):
        await chaos.disturb()
        await chaos.work()
    deployment.sandbox.delete("/_sandbox/faults")
    chaos.control("webhooks/resume")

    async def all_paid() -> bool:
        sweeps = store.later()
        for sweep in (sweeps.charge, sweeps.resolve, sweeps.events):
            await sweep()
        if processor_name == "gocardless":
            chaos.control("gocardless/next_day")
        now = [states(await store.payment(payment.id)) for payment in payments]
        return all(state == "SUCCEEDED" for state, _ in now)

    await eventually(all_paid)
    collected = chaos.collected()
    assert [collected[payment.id] for payment in payments] == [1] * INVOICES
    unknown = await deployment.rows("SELECT count(*) FROM payment_attempt WHERE state IN ('SUBMITTING', 'UNKNOWN')")
    assert unknown[0][0] == 0
