"""Money that comes past the processors: each part counts once, and only the rest is charged."""

import asyncio

import asyncpg
import pytest
from google.type import date_pb2

from libs.common.errors import BillingError, Conflict, FailedPrecondition, InvalidArgument, NotFound
from tests.payments.shop import Shop, new_request_id, states
from tests.payments.test_canceling import ask, cancel
from weir.payments.v1 import manual_payments_pb2, receipts_pb2
from weir.payments.v1 import payments_pb2 as pb


async def receipts(shop: Shop) -> list[tuple[str, int]]:
    """Number and amount, oldest first."""
    listed = (await shop.receipts.ListReceipts(receipts_pb2.ListReceiptsRequest())).receipts
    return [(each.number, each.amount.minor_units) for each in reversed(listed)]


async def test_an_invoice_is_paid_in_parts_and_the_rest_is_charged(shop: Shop) -> None:
    payment = await shop.bill()
    request_id = new_request_id()
    first = await shop.receive(1000, request_id=request_id)
    assert await shop.receive(1000, request_id=request_id) == first
    with pytest.raises(Conflict):
        await shop.receive(999, request_id=request_id)
    await shop.receive(898)
    assert states(await shop.payment(payment.id)) == ("AWAITING_METHOD", [])
    await shop.save()
    await shop.sweeps.charge()
    paid = await shop.payment(payment.id)
    assert states(paid) == ("SUCCEEDED", ["SUCCEEDED"])
    assert (paid.amount_paid.minor_units, [charge["amount"] for charge in shop.charges()]) == (3898, [2000])
    assert await receipts(shop) == [("RCP-000001", 1000), ("RCP-000002", 898), ("RCP-000003", 2000)]
    listed = await shop.manual.ListManualPayments(manual_payments_pb2.ListManualPaymentsRequest(invoice_id="inv_1"))
    assert [each.id for each in listed.manual_payments][-1] == first


async def test_what_is_paid_by_hand_is_not_charged(shop: Shop) -> None:
    await shop.save()
    payment = await shop.bill()
    await shop.receive(3898)
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", [])
    assert not shop.charges()


async def test_more_than_is_due_is_refused_and_says_what_is(shop: Shop) -> None:
    await shop.bill()
    await shop.receive(3000)
    with pytest.raises(FailedPrecondition) as refused:
        await shop.receive(899)
    assert (refused.value.reason, refused.value.metadata["due_minor_units"]) == ("PAYMENT_EXCEEDS_DUE", "898")
    with pytest.raises(InvalidArgument):
        await shop.receive(1, currency="EUR")
    with pytest.raises(InvalidArgument):
        await shop.receive(1, receive_date=date_pb2.Date(year=2026, month=2, day=30))
    with pytest.raises(NotFound):
        await shop.receive(1, invoice_id="inv_nothing")


async def test_parts_that_race_never_come_to_more_than_is_due(shop: Shop) -> None:
    payment = await shop.bill()
    answers = await asyncio.gather(*(shop.receive(1000) for _ in range(6)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, BillingError)]
    assert {each.reason for each in refused} == {"PAYMENT_EXCEEDS_DUE"}
    assert (await shop.payment(payment.id)).amount_paid.minor_units == 3000
    assert [number for number, _ in await receipts(shop)] == ["RCP-000001", "RCP-000002", "RCP-000003"]


async def test_charges_and_transfers_that_race_are_not_both_taken(shop: Shop) -> None:
    await shop.save()
    names = [f"inv_{i}" for i in range(8)]
    payments = [await shop.bill(name) for name in names]
    charging = asyncio.create_task(shop.sweeps.charge())
    received = []
    for name in names:
        received.append(asyncio.create_task(shop.receive(3898, name)))
        await asyncio.sleep(0.02)
    await charging
    taken = [not isinstance(each, BillingError) for each in await asyncio.gather(*received, return_exceptions=True)]
    ends = [await shop.payment(payment.id) for payment in payments]
    assert {payment.amount_paid.minor_units for payment in ends} == {3898}
    assert [not payment.attempts for payment in ends] == taken
    assert len(shop.charges()) == taken.count(False)


async def test_an_open_charge_is_canceled_before_money_is_taken_by_hand(shop: Shop) -> None:
    await shop.save("pm_card_authenticationRequired")
    payment = await shop.bill()
    await shop.sweeps.charge()
    await shop.receive(3898)
    after = await shop.payment(payment.id)
    assert states(after) == ("SUCCEEDED", ["DECLINED"])
    reference = after.attempts[0].processor_reference
    intent = await shop.at_stripe(lambda client: client.v1.payment_intents.retrieve_async(reference))
    assert intent.status == "canceled"


async def test_money_is_not_taken_by_hand_while_a_charge_is_under_way(shop: Shop) -> None:
    await shop.save("pm_usBankAccount_processing")
    await shop.bill()
    await shop.sweeps.charge()
    with pytest.raises(FailedPrecondition) as refused:
        await shop.receive(1)
    assert refused.value.reason == "PAYMENT_UNDER_WAY"


async def test_invoicing_must_have_heard_of_money_before_it_takes_the_invoice_back(shop: Shop) -> None:
    payment = await ask(shop, 0)
    await shop.receive(1000)
    with pytest.raises(FailedPrecondition):
        await cancel(shop, 1)
    conn = await asyncpg.connect(shop.deployment.database.dsns["payments"])
    await conn.execute("UPDATE payment SET reported_revision = revision")
    await conn.close()
    await cancel(shop, 1)
    with pytest.raises(FailedPrecondition) as refused:
        await shop.receive(1)
    assert refused.value.reason == "PAYMENT_CANCELED"
    assert states(await ask(shop, 1, 1000)) == ("SUCCEEDED", [])
    assert (await shop.payment(payment.id)).amount_paid.minor_units == 1000


async def test_a_receipt_belongs_to_its_tenant(shop: Shop) -> None:
    await shop.bill()
    await shop.receive(1)
    [receipt] = (await shop.receipts.ListReceipts(receipts_pb2.ListReceiptsRequest(customer_id="ada"))).receipts
    request = receipts_pb2.GetReceiptRequest(id=receipt.id)
    assert (await shop.receipts.GetReceipt(request)).receipt == receipt
    other = Shop(shop.deployment, tenant_id="initech")
    with pytest.raises(NotFound):
        await other.receipts.GetReceipt(request)
    assert not await receipts(other)
    found = await shop.payments.ListPayments(pb.ListPaymentsRequest())
    assert [payment.invoice_id for payment in found.payments] == ["inv_1"]
