"""Canceling: what invoicing takes back is not collected, until it asks again."""

import asyncio
import uuid

import asyncpg
import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument
from libs.common.money import Money
from libs.common.rpc.client import channel, credential
from libs.common.wire import money_out
from tests.payments.shop import Shop, states
from weir.payments.v1 import payments_pb2 as pb
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceStub


async def ask(shop: Shop, version: int, minor_units: int = 3898, invoice_id: str = "inv_1") -> pb.Payment:
    """As invoicing does, with a request_id for each version."""
    request = pb.CreatePaymentRequest(
        request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{invoice_id}/{version}")),
        invoice_id=invoice_id,
        invoice_number=f"WEIR-{invoice_id}",
        customer_id="ada",
        amount=money_out(Money(minor_units, "USD")),
        version=version,
    )
    return (await shop.create_payment(request)).payment


async def cancel(shop: Shop, version: int, minor_units: int = 3898, invoice_id: str = "inv_1") -> pb.Payment:
    request = pb.CancelPaymentRequest(
        invoice_id=invoice_id,
        invoice_number=f"WEIR-{invoice_id}",
        customer_id="ada",
        amount=money_out(Money(minor_units, "USD")),
        version=version,
    )
    metadata = credential(shop.deployment.keys.issuer.internal_key(shop.tenant_id))
    opened = channel(f"127.0.0.1:{shop.deployment.ports.rpc}")
    try:
        return (await PaymentsServiceStub(opened).CancelPayment(request, metadata=metadata)).payment
    finally:
        await opened.close()


async def test_a_canceled_payment_is_neither_charged_nor_woken_nor_retried(shop: Shop) -> None:
    payment = await ask(shop, 0)
    for _ in range(2):
        assert states(await cancel(shop, 1)) == ("CANCELED", [])
    await shop.save()
    await shop.later().charge()
    with pytest.raises(FailedPrecondition):
        await shop.retry(payment.id)
    assert states(await shop.payment(payment.id)) == ("CANCELED", [])
    assert not shop.charges()


async def test_what_was_asked_before_a_cancellation_changes_nothing_however_late_it_comes(shop: Shop) -> None:
    await shop.save()
    assert states(await cancel(shop, 1)) == ("CANCELED", [])
    assert states(await ask(shop, 0)) == ("CANCELED", [])
    await shop.later().charge()
    assert not shop.charges()


async def test_a_payment_asked_for_again_collects_what_is_due_then(shop: Shop) -> None:
    await shop.save("pm_card_authenticationRequired")
    payment = await ask(shop, 0)
    await shop.sweeps.charge()
    assert states(await cancel(shop, 1)) == ("CANCELED", ["DECLINED"])
    first = (await shop.payment(payment.id)).attempts[0].processor_reference
    intent = await shop.at_stripe(lambda client: client.v1.payment_intents.retrieve_async(first))
    assert intent.status == "canceled"
    await shop.save("pm_card_visa")
    assert (await ask(shop, 1, 1000)).id == payment.id
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["DECLINED", "SUCCEEDED"])
    assert [charge["amount"] for charge in shop.charges()] == [1000]
    assert states(await ask(shop, 1, 1000)) == ("SUCCEEDED", ["DECLINED", "SUCCEEDED"])
    with pytest.raises(Conflict):
        await ask(shop, 2, 999)


async def test_a_cancellation_that_comes_late_does_not_cancel_what_was_asked_for_since(shop: Shop) -> None:
    await ask(shop, 0)
    await cancel(shop, 1)
    await ask(shop, 1)
    with pytest.raises(FailedPrecondition) as refused:
        await cancel(shop, 1)
    assert refused.value.reason == "PAYMENT_UNDER_WAY"
    with pytest.raises(InvalidArgument):
        await cancel(shop, 0)


@pytest.mark.parametrize(
    ("card", "state"), [("pm_usBankAccount_processing", "PROCESSING"), ("pm_card_visa", "SUCCEEDED")]
)
async def test_what_is_under_way_or_paid_is_not_canceled(shop: Shop, card: str, state: str) -> None:
    await shop.save(card)
    payment = await ask(shop, 0)
    await shop.sweeps.charge()
    with pytest.raises(FailedPrecondition) as refused:
        await cancel(shop, 1)
    assert refused.value.reason == "PAYMENT_UNDER_WAY"
    assert states(await shop.payment(payment.id))[0] == state


async def test_a_customer_who_paid_meanwhile_has_paid(shop: Shop) -> None:
    await shop.save("pm_card_authenticationRequired")
    payment = await ask(shop, 0)
    await shop.sweeps.charge()
    reference = (await shop.payment(payment.id)).attempts[0].processor_reference
    await shop.at_stripe(
        lambda client: client.v1.payment_intents.confirm_async(reference, {"payment_method": "pm_card_visa"})
    )
    with pytest.raises(FailedPrecondition):
        await cancel(shop, 1)
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])


async def test_charges_and_cancellations_that_race_are_not_both_done(shop: Shop) -> None:
    await shop.save()
    names = [f"inv_{i}" for i in range(8)]
    asked = [await ask(shop, 0, invoice_id=name) for name in names]
    charging = asyncio.create_task(shop.sweeps.charge())
    answers = []
    for name in names:
        answers.append(asyncio.create_task(cancel(shop, 1, invoice_id=name)))
        await asyncio.sleep(0.02)
    await charging
    canceled = await asyncio.gather(*answers, return_exceptions=True)
    ends = [states(await shop.payment(payment.id))[0] for payment in asked]
    assert set(ends) <= {"CANCELED", "SUCCEEDED"}
    assert len(shop.charges()) == ends.count("SUCCEEDED")
    assert [isinstance(each, FailedPrecondition) for each in canceled] == [end == "SUCCEEDED" for end in ends]


async def test_an_attempt_begun_while_a_payment_is_canceled_goes_on(shop: Shop) -> None:
    await shop.save()
    payment = await ask(shop, 0)
    conn = await asyncpg.connect(shop.deployment.database.dsns["payments"])
    async with conn.transaction():
        await conn.execute("UPDATE payment SET state = 'PROCESSING', due_time = NULL")
        canceling = asyncio.create_task(cancel(shop, 1))
        await asyncio.sleep(0.2)
        assert not canceling.done()
    await conn.close()
    with pytest.raises(FailedPrecondition):
        await canceling
    assert states(await shop.payment(payment.id))[0] == "PROCESSING"
