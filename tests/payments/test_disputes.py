"""Money that banks take back: recorded once from webhooks in any order, beside a payment that stays as it was."""

import json
from collections.abc import Sequence
from decimal import Decimal

import pytest

from libs.common.errors import NotFound
from services.payments.domain.attempt import Attempt
from services.payments.domain.dispute import DisputeState
from services.payments.providers.disputes import told
from services.payments.store import attempts
from tests.payments.shop import Deployment, Shop, new_request_id
from tests.payments.test_refunding import paid
from weir.payments.v1 import disputes_pb2 as pb
from weir.payments.v1 import payments_pb2
from weir.payments.v1.disputes_pb2_grpc import DisputeServiceStub

OPEN, LOST, WON = DisputeState


def stripe_event(change: str, status: str, charge: str, minor_units: int = 3898) -> str:
    dispute = {
        "id": "dp_1",
        "amount": minor_units,
        "currency": "usd",
        "status": status,
        "reason": "fraudulent",
        "payment_intent": charge,
    }
    kind = f"charge.dispute.{change}"
    return json.dumps({"id": new_request_id(), "type": kind, "livemode": False, "data": {"object": dispute}})


async def hear(shop: Shop, *events: str) -> None:
    for event in events:
        assert await shop.deliver(event) == 200
    await shop.sweeps.events()


async def disputes(deployment: Deployment, tenant_id: str = "acme") -> list[pb.Dispute]:
    stub = DisputeServiceStub(deployment.channel(tenant_id))
    listed = (await stub.ListDisputes(pb.ListDisputesRequest(invoice_id="inv_1"))).disputes
    return [(await stub.GetDispute(pb.GetDisputeRequest(id=each.id))).dispute for each in listed]


async def test_a_dispute_goes_from_open_to_lost_to_won_whatever_comes_first(shop: Shop) -> None:
    payment = await paid(shop)
    charge = payment.attempts[0].processor_reference
    opened, lost = stripe_event("created", "needs_response", charge), stripe_event("closed", "lost", charge)
    seen = []
    for event in (opened, lost, stripe_event("updated", "under_review", charge), lost):
        await hear(shop, event)
        [dispute] = await disputes(shop.deployment)
        seen.append(dispute.state)
    assert seen == [pb.Dispute.STATE_OPEN, *[pb.Dispute.STATE_LOST] * 3]
    await hear(shop, stripe_event("closed", "won", charge))
    [dispute] = await disputes(shop.deployment)
    assert (dispute.state, dispute.code, dispute.amount.minor_units) == (pb.Dispute.STATE_WON, "fraudulent", 3898)
    assert (await shop.payment(payment.id)).state == payments_pb2.Payment.STATE_SUCCEEDED
    [row] = await shop.deployment.rows("SELECT revision, reported_revision FROM dispute")
    assert tuple(row) == (3, 0)


async def test_a_dispute_of_a_charge_that_nobody_knows_waits_and_is_then_parked(shop: Shop) -> None:
    await hear(shop, stripe_event("created", "needs_response", "pi_nobody"))
    assert [event["state"] for event in await shop.events()] == ["RECEIVED"]
    await shop.later(shop.sweeps.pace.event_patience).events()
    assert [event["state"] for event in await shop.events()] == ["PARKED"]
    assert not await disputes(shop.deployment)


def adyen_event(code: str) -> bytes:
    return json.dumps({"amount": {"value": 1, "currency": "USD"}, "eventCode": code}).encode()


async def test_a_charge_that_was_won_may_be_lost_again_whatever_comes_first(shop: Shop) -> None:
    payment = await paid(shop)
    [attempt] = await attempts_of(shop, payment.id)
    disputing = shop.sweeps.hearing.disputing
    seen = []
    for code in ("CHARGEBACK", "CHARGEBACK_REVERSED", "CHARGEBACK", "SECOND_CHARGEBACK", "CHARGEBACK_REVERSED"):
        await disputing.record(attempt, told(code, adyen_event(code)))
        seen.append((await shop.payment(payment.id)).amount_disputed.minor_units)
    await disputing.record(attempt, told("PREARBITRATION_WON", adyen_event("PREARBITRATION_WON")))
    assert (seen, (await shop.payment(payment.id)).amount_disputed.minor_units) == ([1, 0, 0, 1, 1], 0)


async def attempts_of(shop: Shop, payment_id: str) -> Sequence[Attempt]:
    async with shop.sweeps.pool.acquire() as conn:
        return await attempts.list_of(conn, shop.tenant_id, [payment_id])


async def test_a_dispute_belongs_to_its_tenant(shop: Shop) -> None:
    payment = await paid(shop)
    await hear(shop, stripe_event("created", "needs_response", payment.attempts[0].processor_reference, 1000))
    [dispute] = await disputes(shop.deployment)
    assert dispute.amount.minor_units == 1000
    other = DisputeServiceStub(shop.deployment.channel("initech"))
    with pytest.raises(NotFound):
        await other.GetDispute(pb.GetDisputeRequest(id=dispute.id))
    assert not await disputes(shop.deployment, "initech")


@pytest.mark.parametrize(
    ("kind", "event", "state", "amount"),
    [
        ("CHARGEBACK", {"amount": {"value": 4999, "currency": "EUR"}, "reason": "fraud"}, LOST, Decimal("49.99")),
        ("NOTIFICATION_OF_CHARGEBACK", {"amount": {"value": 50, "currency": "JPY"}, "reason": ""}, OPEN, Decimal(50)),
        ("CHARGEBACK_REVERSED", {"amount": {"value": 100, "currency": "EUR"}}, WON, Decimal(1)),
        ("payments.charged_back", {"details": {"cause": "refund_requested"}}, LOST, None),
        ("payments.chargeback_cancelled", {}, WON, None),
    ],
)
def test_each_processor_says_it_in_its_own_way(
    kind: str, event: dict[str, object], state: DisputeState, amount: Decimal | None
) -> None:
    read = told(kind, json.dumps(event).encode())
    assert (read.state, read.amount) == (state, amount)
    assert read.code


def test_stripe_debits_before_it_decides() -> None:
    withdrawn = told("charge.dispute.funds_withdrawn", stripe_event("funds_withdrawn", "under_review", "pi").encode())
    assert (withdrawn.state, withdrawn.amount) == (LOST, Decimal("38.98"))
