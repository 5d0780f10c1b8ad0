"""Giving money back: recorded before it is asked for, once, and never more than was paid."""

import asyncio
import json
from datetime import timedelta

import asyncpg
import pytest

from libs.common.errors import BillingError, Conflict, FailedPrecondition, NotFound
from libs.common.money import Money
from libs.common.wire import money_out
from services.payments.store import refunds
from tests.payments.shop import Shop, eventually, new_request_id
from weir.payments.v1 import payments_pb2
from weir.payments.v1 import refunds_pb2 as pb

REFUNDS = "/v1/refunds"
KEY_LIFE = timedelta(hours=23)
"""At Stripe."""


async def paid(shop: Shop, card: str = "pm_card_visa", invoice_id: str = "inv_1") -> payments_pb2.Payment:
    """A payment over 38.98 USD that was collected."""
    await shop.save(card)
    payment = await shop.bill(invoice_id)
    await shop.sweeps.charge()
    return await shop.payment(payment.id)


async def refund(shop: Shop, minor_units: int, request_id: str = "", **more: str) -> pb.Refund:
    request = pb.CreateRefundRequest(
        request_id=request_id or new_request_id(),
        invoice_id=more.pop("invoice_id", "inv_1"),
        amount=money_out(Money(minor_units, more.pop("currency", "USD"))),
        **({"reason": "it broke"} | more),
    )
    return (await shop.refunds.CreateRefund(request)).refund


async def read(shop: Shop, made: pb.Refund) -> pb.Refund:
    return (await shop.refunds.GetRefund(pb.GetRefundRequest(id=made.id))).refund


async def state_of(shop: Shop, made: pb.Refund) -> str:
    return pb.Refund.State.Name((await read(shop, made)).state).removeprefix("STATE_")


def given_back(shop: Shop) -> list[int]:
    """At the processor, by charge."""
    return [charge["amount_refunded"] for charge in shop.charges()]


def event(event_id: str, reference: str) -> str:
    return json.dumps(
        {"id": event_id, "type": "refund.updated", "livemode": False, "data": {"object": {"id": reference}}}
    )


async def test_a_refund_is_recorded_then_made_and_told(shop: Shop) -> None:
    payment = await paid(shop)
    request_id = new_request_id()
    made = await refund(shop, 1000, request_id)
    assert (await state_of(shop, made), given_back(shop)) == ("SUBMITTING", [0])
    assert await refund(shop, 1000, request_id) == made
    with pytest.raises(Conflict):
        await refund(shop, 999, request_id)
    await shop.sweeps.refunds()
    await shop.sweeps.refunds()
    assert (await state_of(shop, made), given_back(shop)) == ("SUCCEEDED", [1000])
    assert (await shop.payment(payment.id)).amount_refunded.minor_units == 1000
    listed = await shop.refunds.ListRefunds(pb.ListRefundsRequest(invoice_id="inv_1"))
    assert [each.id for each in listed.refunds] == [made.id]
    with pytest.raises(NotFound):
        await shop.refunds.GetRefund(pb.GetRefundRequest(id="re_nothing"))


async def test_refunds_that_race_never_come_to_more_than_was_paid(shop: Shop) -> None:
    payment = await paid(shop)
    answers = await asyncio.gather(*(refund(shop, 1000) for _ in range(6)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, BillingError)]
    assert {each.reason for each in refused} == {"REFUND_EXCEEDS_PAID"}
    assert {each.metadata["refundable_minor_units"] for each in refused} == {"898"}
    assert len(answers) - len(refused) == 3
    await shop.sweeps.refunds()
    assert given_back(shop) == [3000]
    await refund(shop, 898)
    with pytest.raises(FailedPrecondition):
        await refund(shop, 1)
    assert (await shop.payment(payment.id)).amount_refunded.minor_units == 3898
    conn = await asyncpg.connect(shop.deployment.database.dsns["payments"])
    for statement in (
        "UPDATE payment SET refunded_minor = refunded_minor + 1",
        "UPDATE payment_attempt SET refunded_minor = refunded_minor + 1",
        "UPDATE payment_attempt SET state = 'DECLINED', decline_code = 'x'",
        "UPDATE payment SET charged_minor = charged_minor - 1",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await conn.execute(statement)
    await conn.close()


async def test_nothing_is_given_back_of_what_was_not_charged(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await refund(shop, 1)
    await paid(shop, "pm_card_chargeCustomerFail")
    with pytest.raises(FailedPrecondition):
        await refund(shop, 1)
    with pytest.raises(FailedPrecondition):
        await refund(shop, 1, manual_reference="bank 42")
    with pytest.raises(BillingError) as refused:
        await refund(shop, 1, currency="EUR")
    assert refused.value.reason == "CURRENCY_MISMATCH"


@pytest.mark.parametrize("fault", ["drop_after_commit", "drop_before_commit", "error_503"])
async def test_a_refund_without_an_answer_is_asked_about_and_made_once(shop: Shop, fault: str) -> None:
    await paid(shop)
    made = await refund(shop, 1000)
    shop.deployment.fault(fault, REFUNDS, times=3)
    await shop.sweeps.refunds()
    assert await state_of(shop, made) == "UNKNOWN"
    await shop.later().refunds()
    assert (await state_of(shop, made), given_back(shop)) == ("SUCCEEDED", [1000])


async def test_an_unknown_refund_is_found_again_when_its_key_is_too_old(shop: Shop) -> None:
    await paid(shop)
    made = await refund(shop, 1000)
    shop.deployment.fault("drop_after_commit", REFUNDS, times=3)
    await shop.sweeps.refunds()
    await shop.later(KEY_LIFE).refunds()
    assert (await state_of(shop, made), given_back(shop)) == ("SUCCEEDED", [1000])


async def test_a_refund_that_the_processor_lost_is_asked_for_anew_with_another_key(shop: Shop) -> None:
    await paid(shop)
    made = await refund(shop, 1000)
    shop.deployment.fault("drop_before_commit", REFUNDS, times=3)
    await shop.sweeps.refunds()
    await shop.later(KEY_LIFE).refunds()
    assert (await state_of(shop, made), given_back(shop)) == ("SUBMITTING", [0])
    shop.deployment.fault("error_500", REFUNDS)
    await shop.later().refunds()
    assert (await state_of(shop, made), given_back(shop)) == ("SUBMITTING", [0])
    await shop.later().refunds()
    assert (await state_of(shop, made), given_back(shop)) == ("SUCCEEDED", [1000])


async def test_a_worker_that_dies_with_a_refund_loses_nothing(shop: Shop) -> None:
    await paid(shop)
    made = await refund(shop, 1000)
    conn = await asyncpg.connect(shop.deployment.database.dsns["payments"])
    [claimed] = await refunds.claim(conn, shop.deployment.clock(), shop.sweeps.pace.lease, 10)
    await conn.close()
    await shop.sweeps.refunds()
    assert given_back(shop) == [0], "somebody may be submitting it"
    await asyncio.gather(shop.later(shop.sweeps.pace.lease).refunds(), shop.sweeps.refunding.move(claimed))
    assert (await state_of(shop, made), given_back(shop)) == ("SUCCEEDED", [1000])


async def test_a_refund_that_the_bank_sends_back_can_be_made_again(shop: Shop) -> None:
    payment = await paid(shop, "pm_card_pendingRefund")
    made = await refund(shop, 1000)
    await shop.sweeps.refunds()
    assert await state_of(shop, made) == "PENDING"
    reference = (await read(shop, made)).processor_reference
    for outcome, state in (("succeeded", "SUCCEEDED"), ("failed", "FAILED")):
        shop.deployment.sandbox.post(f"/_sandbox/stripe/refunds/{reference}/settle", outcome=outcome)
        assert await shop.deliver(event(f"evt_{outcome}", reference)) == 200
        await shop.sweeps.events()
        assert await state_of(shop, made) == state
    assert (await shop.payment(payment.id)).amount_refunded.minor_units == 0
    request = pb.RetryRefundRequest(request_id=new_request_id(), id=made.id)
    for _ in range(2):
        await shop.refunds.RetryRefund(request)
    await shop.sweeps.refunds()
    assert (await state_of(shop, made), given_back(shop)) == ("PENDING", [1000])
    with pytest.raises(FailedPrecondition) as refused:
        await shop.refunds.RetryRefund(pb.RetryRefundRequest(request_id=new_request_id(), id=made.id))
    assert refused.value.reason == "REFUND_NOT_FAILED"
    assert await shop.deliver(event("evt_late", reference)) == 200
    await shop.sweeps.events()
    assert await state_of(shop, made) == "PENDING", "news of the first request say nothing of the second"


async def test_webhooks_of_refunds_are_heard_before_the_answer_is_and_past_weir(shop: Shop) -> None:
    shop = await Shop(shop.deployment, tenant_id="globex").open(webhooks=True)
    await paid(shop)
    made = await refund(shop, 1000)
    shop.deployment.fault("drop_after_commit", REFUNDS, times=3)
    await shop.sweeps.refunds()
    await eventually(lambda: _refund_events_done(shop, 1))
    assert await state_of(shop, made) == "SUCCEEDED"
    charge = shop.charges()[0]
    await shop.at_stripe(
        lambda client: client.v1.refunds.create_async({"payment_intent": charge["payment_intent"], "amount": 500})
    )
    await eventually(lambda: _refund_events_done(shop, 2))


async def _refund_events_done(shop: Shop, count: int) -> bool:
    await shop.sweeps.events()
    about = [event for event in await shop.events() if event["subject"] == "REFUND"]
    return [event["state"] for event in about] == ["PROCESSED"] * count


async def test_a_credit_note_is_refunded_once(shop: Shop) -> None:
    await paid(shop)
    first = await refund(shop, 1000, credit_note_id="cn_1", reason="")
    assert (await refund(shop, 1000, credit_note_id="cn_1", reason="")).id == first.id
    with pytest.raises(Conflict) as differs:
        await refund(shop, 999, credit_note_id="cn_1", reason="")
    assert differs.value.reason == "REFUND_DIFFERS"


async def test_money_that_went_back_by_hand_is_recorded_and_calls_nobody(shop: Shop) -> None:
    payment = await paid(shop)
    made = await refund(shop, 3898, manual_reference="transfer 7")
    assert made.state == pb.Refund.STATE_SUCCEEDED
    await shop.sweeps.refunds()
    assert given_back(shop) == [0]
    assert (await shop.payment(payment.id)).amount_refunded.minor_units == 3898
    with pytest.raises(FailedPrecondition):
        await refund(shop, 1)


async def test_tenants_do_not_see_each_others_refunds(shop: Shop) -> None:
    await paid(shop)
    made = await refund(shop, 1000)
    other = Shop(shop.deployment, tenant_id="initech")
    with pytest.raises(NotFound):
        await read(other, made)
    with pytest.raises(NotFound):
        await other.refunds.RetryRefund(pb.RetryRefundRequest(request_id=new_request_id(), id=made.id))
    assert not (await other.refunds.ListRefunds(pb.ListRefundsRequest())).refunds
