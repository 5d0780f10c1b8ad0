"""Money is taken once, whatever happens on the way."""

import asyncio
from datetime import timedelta

import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from tests.payments.shop import Shop, new_request_id, states
from weir.payments.v1 import payments_pb2 as pb

DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_chargeDeclinedProcessingError": "processing_error",
    "pm_card_chargeDeclinedFraudulent": "fraudulent",
    "pm_card_chargeDeclinedLostCard": "lost_card",
    "pm_card_chargeCustomerFail": "generic_decline",
}


async def test_an_invoice_is_charged_to_the_newest_method(shop: Shop) -> None:
    await shop.save("pm_card_chargeDeclined")
    method = await shop.save("pm_card_mastercard")
    payment = await shop.bill()
    assert states(payment) == ("PENDING", [])
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("SUCCEEDED", ["SUCCEEDED"])
    [attempt] = payment.attempts
    [charge] = shop.charges()
    assert (attempt.number, attempt.payment_method_id) == (1, method.id)
    assert attempt.processor_reference == charge["payment_intent"]
    assert (charge["amount"], charge["currency"]) == (3898, "usd")


async def test_two_workers_racing_charge_once(shop: Shop) -> None:
    await shop.save()
    ids = [(await shop.bill(f"inv_{n}", 1000 + n)).id for n in range(12)]
    other = await shop.deployment.another_worker()
    await asyncio.gather(*(sweeps.charge() for sweeps in (shop.sweeps, other) for _ in range(3)))
    assert [states(await shop.payment(each)) for each in ids] == [("SUCCEEDED", ["SUCCEEDED"])] * 12
    assert sorted(charge["amount"] for charge in shop.charges()) == [1000 + n for n in range(12)]


async def test_a_decline_fails_the_payment_and_says_why(shop: Shop) -> None:
    made = {}
    for card in DECLINES:
        await shop.save(card, customer_id=card)
        made[card] = await shop.bill(f"inv_{card}", customer_id=card)
    await shop.sweeps.charge()
    for card, code in DECLINES.items():
        payment = await shop.payment(made[card].id)
        assert states(payment) == ("FAILED", ["DECLINED"])
        assert payment.attempts[0].decline_code == code
        assert payment.attempts[0].decline_message
        assert payment.attempts[0].processor_reference.startswith("pi_")
    assert shop.charges() == []


async def test_a_card_that_wants_authentication_waits_for_the_customer(shop: Shop) -> None:
    await shop.save("pm_card_authenticationRequired")
    payment = await shop.bill()
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("REQUIRES_ACTION", ["REQUIRES_ACTION"])
    assert payment.attempts[0].decline_code == "authentication_required"


async def test_a_bank_debit_is_pending_until_the_bank_answers(shop: Shop) -> None:
    await shop.save("pm_usBankAccount_processing")
    payment = await shop.bill()
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("PROCESSING", ["PENDING"])
    with pytest.raises(FailedPrecondition, match="PAYMENT_NOT_RETRIABLE"):
        await shop.retry(payment.id)
    shop.settle(payment, "succeeded")
    await shop.later(timedelta(hours=7)).resolve()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])


async def test_an_amount_that_stripe_cannot_take_is_not_rounded(shop: Shop) -> None:
    await shop.save()
    payment = await shop.bill(minor_units=12_345, currency="KWD")
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("FAILED", ["DECLINED"])
    assert payment.attempts[0].decline_code == "amount_not_representable"


async def test_an_amount_below_the_processors_minimum_fails(shop: Shop) -> None:
    await shop.save()
    payment = await shop.bill(minor_units=49)
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("FAILED", ["DECLINED"])
    assert payment.attempts[0].decline_code == "amount_too_small"


async def test_without_a_method_a_payment_waits_until_one_is_saved(shop: Shop) -> None:
    payment = await shop.bill()
    assert states(payment) == ("AWAITING_METHOD", [])
    await shop.sweeps.charge()
    assert shop.charges() == []
    await shop.save()
    assert states(await shop.payment(payment.id)) == ("PENDING", [])
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])


async def test_payments_and_methods_that_meet_leave_no_payment_waiting(shop: Shop) -> None:
    """Whichever of the two commits first, the payment sees the method."""
    saving = asyncio.create_task(shop.save())

    async def keep_billing(name: str) -> None:
        made = 0
        while not saving.done() or not made:
            await shop.bill(f"inv_{name}_{made}")
            made += 1

    await asyncio.gather(*(keep_billing(str(n)) for n in range(8)))
    found = await shop.payments.ListPayments(pb.ListPaymentsRequest(page_size=500))
    assert {states(payment)[0] for payment in found.payments} == {"PENDING"}


async def test_a_failed_payment_is_retried_with_the_method_as_it_is_then(shop: Shop) -> None:
    await shop.save("pm_card_chargeDeclined")
    payment = await shop.bill()
    await shop.sweeps.charge()
    await shop.save("pm_card_visa")
    request_id = new_request_id()
    assert states(await shop.retry(payment.id, request_id)) == ("PENDING", ["DECLINED"])
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("SUCCEEDED", ["DECLINED", "SUCCEEDED"])
    assert states(await shop.retry(payment.id, request_id)) == states(payment)
    assert len(shop.charges()) == 1


async def test_the_charge_before_is_canceled_before_the_next_attempt(shop: Shop) -> None:
    await shop.save("pm_card_authenticationRequired")
    payment = await shop.bill()
    await shop.sweeps.charge()
    await shop.save("pm_card_visa")
    await shop.retry(payment.id)
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    assert states(payment) == ("SUCCEEDED", ["DECLINED", "SUCCEEDED"])
    assert payment.attempts[0].decline_code == "canceled"
    first = payment.attempts[0].processor_reference
    intent = await shop.at_stripe(lambda client: client.v1.payment_intents.retrieve_async(first))
    assert intent.status == "canceled"


async def test_a_retry_finds_that_the_customer_has_paid_in_the_meantime(shop: Shop) -> None:
    await shop.save("pm_card_authenticationRequired")
    payment = await shop.bill()
    await shop.sweeps.charge()
    payment = await shop.payment(payment.id)
    reference = payment.attempts[0].processor_reference
    await shop.at_stripe(
        lambda client: client.v1.payment_intents.confirm_async(reference, {"payment_method": "pm_card_visa"})
    )
    await shop.retry(payment.id)
    await shop.sweeps.charge()
    assert states(await shop.payment(payment.id)) == ("SUCCEEDED", ["SUCCEEDED"])
    assert len(shop.charges()) == 1


async def test_only_payments_that_failed_or_need_the_customer_are_retried(shop: Shop) -> None:
    waiting = await shop.bill("inv_waiting")
    await shop.save(customer_id="bob")
    pending = await shop.bill("inv_pending", customer_id="bob")
    for payment in (waiting, pending):
        with pytest.raises(FailedPrecondition, match="PAYMENT_NOT_RETRIABLE"):
            await shop.retry(payment.id)
    await shop.sweeps.charge()
    with pytest.raises(FailedPrecondition, match="PAYMENT_NOT_RETRIABLE"):
        await shop.retry(pending.id)
    with pytest.raises(NotFound, match="PAYMENT_NOT_FOUND"):
        await shop.retry("pay_of_nobody")


async def test_a_retrys_request_id_means_one_payment_for_ever(shop: Shop) -> None:
    await shop.save("pm_card_chargeDeclined")
    first, second = await shop.bill("inv_1"), await shop.bill("inv_2")
    await shop.sweeps.charge()
    request_id = new_request_id()
    await shop.retry(first.id, request_id)
    with pytest.raises(Conflict, match="REQUEST_ID_REUSED"):
        await shop.retry(second.id, request_id)


async def test_there_is_one_payment_for_an_invoice(shop: Shop) -> None:
    asked = await asyncio.gather(*(shop.bill() for _ in range(5)))
    assert len({payment.id for payment in asked}) == 1
    request = pb.CreatePaymentRequest(
        request_id=new_request_id(), invoice_id="inv_1", invoice_number="WEIR-inv_1", customer_id="ada"
    )
    request.amount.currency_code, request.amount.minor_units = "USD", 3898
    assert (await shop.create_payment(request)).payment.id == asked[0].id
    with pytest.raises(Conflict, match="REQUEST_ID_REUSED"):
        await shop.bill(minor_units=3899)
    request.request_id, request.amount.minor_units = new_request_id(), 3899
    with pytest.raises(Conflict, match="PAYMENT_DIFFERS"):
        await shop.create_payment(request)


async def test_there_must_be_something_to_collect(shop: Shop) -> None:
    for amount in (0, -1):
        with pytest.raises(InvalidArgument, match="AMOUNT_NOT_POSITIVE") as refused:
            await shop.bill(minor_units=amount)
        assert refused.value.field == "amount.minor_units"


async def test_payments_are_listed_newest_first_in_pages(shop: Shop) -> None:
    made = [(await shop.bill(f"inv_{n}", customer_id="ada" if n % 2 else "bob")).id for n in range(5)]
    token, seen = "", []
    while True:
        page = await shop.payments.ListPayments(pb.ListPaymentsRequest(page_size=2, page_token=token))
        seen += [payment.id for payment in page.payments]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)
    of_bob = await shop.payments.ListPayments(pb.ListPaymentsRequest(customer_id="bob"))
    assert {payment.customer_id for payment in of_bob.payments} == {"bob"}
    assert len(of_bob.payments) == 3
    of_invoice = await shop.payments.ListPayments(pb.ListPaymentsRequest(invoice_id="inv_3"))
    assert [payment.id for payment in of_invoice.payments] == [made[3]]
