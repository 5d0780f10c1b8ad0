"""Payment requests: several overdue invoices, one sum, each with its own payment."""

import asyncio

import pytest
from google.type import date_pb2

from libs.common.errors import BillingError, Conflict, FailedPrecondition, NotFound
from libs.common.money import Money
from libs.common.wire import money_out
from tests.payments.shop import Shop, new_request_id, states
from weir.payments.v1 import payment_requests_pb2 as pb

OPEN, PAID, CANCELED = pb.PaymentRequest.STATE_OPEN, pb.PaymentRequest.STATE_PAID, pb.PaymentRequest.STATE_CANCELED


async def request(shop: Shop, *invoice_ids: str, request_id: str = "", currency: str = "USD") -> pb.PaymentRequest:
    wanted = pb.CreatePaymentRequestRequest(
        request_id=request_id or new_request_id(),
        customer_id="ada",
        currency_code=currency,
        invoice_ids=invoice_ids,
    )
    return (await shop.requests.CreatePaymentRequest(wanted)).payment_request


async def read(shop: Shop, made: pb.PaymentRequest) -> pb.PaymentRequest:
    return (await shop.requests.GetPaymentRequest(pb.GetPaymentRequestRequest(id=made.id))).payment_request


async def receive(shop: Shop, made: pb.PaymentRequest, minor_units: int, request_id: str = "") -> pb.PaymentRequest:
    wanted = pb.RecordRequestedPaymentRequest(
        request_id=request_id or new_request_id(),
        id=made.id,
        amount=money_out(Money(minor_units, "USD")),
        reference="transfer 7",
        receive_date=date_pb2.Date(year=2026, month=11, day=20),
    )
    return (await shop.requests.RecordRequestedPayment(wanted)).payment_request


async def overdue(shop: Shop, *amounts: int) -> None:
    """Invoices of a customer who has no method."""
    for n, amount in enumerate(amounts, 1):
        await shop.bill(f"inv_{n}", amount)


async def test_one_transfer_pays_the_oldest_invoice_first_and_once(shop: Shop) -> None:
    await overdue(shop, 1000, 2000, 3000)
    made = await request(shop)
    assert (made.amount.minor_units, made.state, len(made.items)) == (6000, OPEN, 3)
    request_id = new_request_id()
    for _ in range(2):
        after = await receive(shop, made, 2500, request_id)
        assert [item.amount_due.minor_units for item in after.items] == [0, 500, 3000]
    with pytest.raises(Conflict):
        await receive(shop, made, 2501, request_id)
    with pytest.raises(FailedPrecondition) as refused:
        await receive(shop, made, 3501)
    assert (refused.value.reason, refused.value.metadata["due_minor_units"]) == ("PAYMENT_EXCEEDS_DUE", "3500")
    await shop.receive(500, "inv_2")
    assert (await receive(shop, made, 3000)).state == PAID
    with pytest.raises(FailedPrecondition) as refused:
        await receive(shop, made, 1)
    assert refused.value.reason == "PAYMENT_REQUEST_CLOSED"


async def test_one_try_charges_what_is_due_of_each(shop: Shop) -> None:
    await shop.save("pm_card_chargeCustomerFail")
    await overdue(shop, 1000, 2000)
    await shop.sweeps.charge()
    made = await request(shop, "inv_1", "inv_2")
    await shop.receive(300, "inv_1")
    await shop.save("pm_card_visa")
    wanted = pb.CollectPaymentRequestRequest(request_id=new_request_id(), id=made.id)
    for _ in range(2):
        await shop.requests.CollectPaymentRequest(wanted)
        await shop.sweeps.charge()
    assert sorted(charge["amount"] for charge in shop.charges()) == [700, 2000]
    assert (await read(shop, made)).state == PAID
    assert states(await shop.payment(made.items[0].payment_id)) == ("SUCCEEDED", ["DECLINED", "SUCCEEDED"])


async def test_transfers_that_race_never_come_to_more_than_is_due(shop: Shop) -> None:
    await overdue(shop, 1000, 2000, 900)
    made = await request(shop)
    other = await request(shop, "inv_2", "inv_3")
    answers = await asyncio.gather(
        *(receive(shop, made, 1300) for _ in range(3)), *(receive(shop, other, 1000) for _ in range(3)),
        return_exceptions=True,
    )  # fmt: skip
    refused = [each for each in answers if isinstance(each, BaseException)]
    assert {each.reason for each in refused if isinstance(each, BillingError)} <= {
        "PAYMENT_EXCEEDS_DUE", "PAYMENT_REQUEST_CLOSED",
    }  # fmt: skip
    assert all(isinstance(each, BillingError) for each in refused)
    paid = await shop.deployment.rows("SELECT sum(minor_units) AS got, count(*) AS parts FROM manual_payment")
    assert paid[0]["got"] + (await read(shop, made)).amount_due.minor_units == 3900
    assert (await shop.deployment.rows("SELECT count(*) AS n FROM receipt"))[0]["n"] == paid[0]["parts"]


async def test_what_is_not_overdue_is_not_asked_for(shop: Shop) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await request(shop)
    assert refused.value.reason == "NOTHING_OVERDUE"
    await overdue(shop, 1000, 2000)
    await shop.receive(2000, "inv_2")
    for invoice_id in ("inv_2", "inv_nothing"):
        with pytest.raises(FailedPrecondition) as refused:
            await request(shop, "inv_1", invoice_id)
        assert refused.value.reason == "INVOICE_NOT_OVERDUE"
    with pytest.raises(FailedPrecondition):
        await request(shop, "inv_1", currency="EUR")
    assert [item.invoice_id for item in (await request(shop)).items] == ["inv_1"]


async def test_a_request_is_made_once_and_canceled_without_a_change_of_its_invoices(shop: Shop) -> None:
    await overdue(shop, 1000)
    request_id = new_request_id()
    made = await request(shop, request_id=request_id)
    again = await asyncio.gather(*(request(shop, request_id=request_id) for _ in range(3)))
    assert {each.id for each in again} == {made.id}
    cancel = pb.CancelPaymentRequestRequest(request_id=new_request_id(), id=made.id)
    for _ in range(2):
        assert (await shop.requests.CancelPaymentRequest(cancel)).payment_request.state == CANCELED
    with pytest.raises(FailedPrecondition):
        await receive(shop, made, 1)
    assert states(await shop.payment(made.items[0].payment_id)) == ("AWAITING_METHOD", [])
    other = Shop(shop.deployment, tenant_id="initech")
    with pytest.raises(NotFound):
        await read(other, made)
    listed = await shop.requests.ListPaymentRequests(pb.ListPaymentRequestsRequest(customer_id="ada"))
    assert [each.id for each in listed.payment_requests] == [made.id]
