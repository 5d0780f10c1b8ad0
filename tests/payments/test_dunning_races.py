"""Dunning against money that comes at the same moment: whichever is first, the other sees it."""

import asyncio
from datetime import timedelta

from libs.common.errors import FailedPrecondition
from tests.payments.shop import Shop
from tests.payments.test_dunning import failed, set_policy
from weir.payments.v1 import payments_pb2

ROUNDS = 6


async def receive(shop: Shop, invoice_id: str) -> bool:
    """A transfer, if nothing else is under way."""
    try:
        await shop.receive(3898, invoice_id)
    except FailedPrecondition:
        return False
    return True


async def test_the_end_and_a_transfer_at_the_same_moment_do_not_both_conclude_a_campaign(shop: Shop) -> None:
    await set_policy(shop, retry_days=[], reminders=[], final_day=1)
    payments = [await failed(shop, invoice_id=f"inv_{number}") for number in range(ROUNDS)]
    await shop.sweeps.dun()
    other = await shop.deployment.another_worker()
    shop.deployment.clock.moved += timedelta(days=3)
    taken = await asyncio.gather(
        shop.sweeps.dun(), other.dun(), *(receive(shop, payment.invoice_id) for payment in payments)
    )
    assert all(taken[2:]), "a transfer is taken before the end as after it"
    rows = await shop.deployment.rows(
        """
        SELECT c.state, c.revision, count(*) FILTER (WHERE s.kind = 'FINAL' AND s.state = 'DONE') AS done
        FROM dunning_campaign c JOIN dunning_step s ON s.tenant_id = c.tenant_id AND s.campaign_id = c.id
        GROUP BY c.id, c.state, c.revision
        """
    )
    assert len(rows) == ROUNDS
    assert {tuple(row) for row in rows} <= {("RECOVERED", 0, 0), ("EXHAUSTED", 1, 1)}
    told = await shop.deployment.rows(
        "SELECT payment_id FROM notice WHERE type IN ('dunning.recovered', 'dunning.exhausted')"
    )
    assert len(told) == len({row["payment_id"] for row in told}) == ROUNDS


async def test_a_new_card_and_a_transfer_at_the_same_moment_do_not_both_pay(shop: Shop) -> None:
    await set_policy(shop)
    payments = [await failed(shop, invoice_id=f"inv_{number}") for number in range(ROUNDS)]
    await shop.sweeps.dun()
    other = await shop.deployment.another_worker()
    await asyncio.gather(
        shop.save("pm_card_visa"),
        shop.sweeps.charge(),
        other.charge(),
        *(receive(shop, payment.invoice_id) for payment in payments),
    )
    await shop.sweeps.charge()
    await shop.later(timedelta(minutes=2)).charge()
    charged = {charge["metadata"]["payment_id"] for charge in shop.charges()}
    assert len(charged) == len(shop.charges())
    for payment in payments:
        paid = await shop.payment(payment.id)
        assert paid.state == payments_pb2.Payment.STATE_SUCCEEDED
        assert paid.amount_paid.minor_units == 3898
    states = await shop.deployment.rows("SELECT DISTINCT state FROM dunning_campaign")
    assert [row["state"] for row in states] == ["RECOVERED"]
