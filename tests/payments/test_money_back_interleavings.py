"""Whatever fails in whatever order: what the processor charged and gave back is what the rows say, and never more."""

import random
from contextlib import suppress

import pytest

from libs.common.errors import BillingError
from tests.payments.shop import Shop, eventually, new_request_id
from tests.payments.test_refunding import REFUNDS, event, refund
from weir.payments.v1 import payments_pb2 as payments
from weir.payments.v1 import refunds_pb2 as pb

FAULTS = ("drop_before_commit", "drop_after_commit", "error_503", "error_500", "rate_limit_429")
INVOICES = ("inv_0", "inv_1", "inv_2")
CHARGES = "/v1/payment_intents"

DIFFERENCES = """
SELECT p.id FROM payment p
LEFT JOIN (SELECT payment_id, sum(minor_units) AS got FROM receipt GROUP BY 1) r ON r.payment_id = p.id
LEFT JOIN (SELECT payment_id, sum(minor_units) AS back FROM refund WHERE state <> 'FAILED' GROUP BY 1) b
    ON b.payment_id = p.id
LEFT JOIN (SELECT payment_id, sum(minor_units) AS manual FROM manual_payment GROUP BY 1) m ON m.payment_id = p.id
WHERE p.charged_minor + p.manual_minor <> coalesce(r.got, 0) OR p.refunded_minor <> coalesce(b.back, 0)
    OR p.manual_minor <> coalesce(m.manual, 0) OR p.charged_minor + p.manual_minor > p.minor_units
"""
"""Every payment that does not add up."""


class Chaos:
    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.chance = shop, random.Random(seed)
        self.settled: set[str] = set()

    async def act(self) -> None:
        """Something that a person or a bank does; most of it may be refused."""
        invoice_id, minor_units = self.chance.choice(INVOICES), self.chance.randint(1, 2000)
        with suppress(BillingError):
            match self.chance.randrange(8):
                case 0 | 1:
                    self.shop.deployment.fault(
                        self.chance.choice(FAULTS), self.chance.choice((REFUNDS, CHARGES)), self.chance.randint(1, 3)
                    )
                case 2:
                    await self.shop.receive(minor_units, invoice_id)
                case 3 | 4:
                    await refund(self.shop, minor_units, invoice_id=invoice_id)
                case 5:
                    await refund(self.shop, minor_units, invoice_id=invoice_id, manual_reference="by hand")
                case 6:
                    await self._settle()
                case 7:
                    await self._retry()

    async def work(self) -> None:
        sweeps = self.shop.later() if self.chance.random() < 0.5 else self.shop.sweeps
        await self.chance.choice([sweeps.charge, sweeps.resolve, sweeps.refunds, sweeps.events])()

    async def _settle(self) -> None:
        """The bank takes a refund, or sends it back, and the processor says so twice."""
        made = (await self.shop.refunds.ListRefunds(pb.ListRefundsRequest())).refunds
        pending = {each.processor_reference for each in made if each.state == pb.Refund.STATE_PENDING} - self.settled
        if pending:
            reference = self.chance.choice(sorted(pending))
            self.settled.add(reference)
            outcome = self.chance.choice(("succeeded", "failed"))
            self.shop.deployment.sandbox.post(f"/_sandbox/stripe/refunds/{reference}/settle", outcome=outcome)
            for _ in range(2):
                await self.shop.deliver(event(new_request_id(), reference))

    async def _retry(self) -> None:
        made = (await self.shop.refunds.ListRefunds(pb.ListRefundsRequest())).refunds
        failed = [each.id for each in made if each.state == pb.Refund.STATE_FAILED]
        if failed:
            request = pb.RetryRefundRequest(request_id=new_request_id(), id=self.chance.choice(failed))
            await self.shop.refunds.RetryRefund(request)


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_moved_is_what_is_recorded(shop: Shop, seed: int) -> None:
    chaos = Chaos(shop, seed)
    await shop.save("pm_card_pendingRefund")
    bills = [await shop.bill(invoice_id) for invoice_id in INVOICES]
    for _ in range(25):
        await chaos.act()
        await chaos.work()
        assert not await shop.deployment.rows(DIFFERENCES)
    shop.deployment.sandbox.delete("/_sandbox/faults")

    async def all_known() -> bool:
        sweeps = shop.later()
        for sweep in (sweeps.charge, sweeps.resolve, sweeps.refunds, sweeps.events):
            await sweep()
        [row] = await shop.deployment.rows("SELECT count(*) FROM refund WHERE state IN ('SUBMITTING', 'UNKNOWN')")
        found = [await shop.payment(bill.id) for bill in bills]
        return row[0] == 0 and all(payment.state == payments.Payment.STATE_SUCCEEDED for payment in found)

    await eventually(all_known)
    assert not await shop.deployment.rows(DIFFERENCES)
    [ours] = await shop.deployment.rows("SELECT sum(charged_minor), sum(minor_units) FROM payment")
    [back] = await shop.deployment.rows(
        "SELECT coalesce(sum(minor_units), 0) FROM refund WHERE state <> 'FAILED' AND attempt_number IS NOT NULL"
    )
    charges = shop.charges()
    assert (sum(charge["amount"] for charge in charges), ours[1]) == (ours[0], 3 * 3898)
    assert sum(charge["amount_refunded"] for charge in charges) == back[0]
    numbers = [row[0] for row in await shop.deployment.rows("SELECT sequence FROM receipt ORDER BY 1")]
    assert numbers == list(range(1, len(numbers) + 1))
