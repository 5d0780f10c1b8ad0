import pytest
import stripe

from tests.sandbox.flows import charge, saved_card
from tests.sandbox.running import RunningSandbox

DECLINES = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline", "try_again_later"),
    "pm_card_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds", "try_again_later"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card", "do_not_try_again"),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", "processing_error", "try_again_later"),
    "pm_card_chargeDeclinedFraudulent": ("card_declined", "fraudulent", "do_not_try_again"),
    "pm_card_chargeDeclinedLostCard": ("card_declined", "lost_card", "do_not_try_again"),
    "pm_card_chargeDeclinedStolenCard": ("card_declined", "stolen_card", "do_not_try_again"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card", "do_not_try_again"),
    "pm_card_chargeCustomerFail": ("card_declined", "generic_decline", "try_again_later"),
    "pm_card_authenticationRequired": ("authentication_required", "authentication_required", None),
    "pm_card_threeDSecure2Required": ("authentication_required", "authentication_required", None),
}


@pytest.mark.parametrize(("name", "brand", "last4"), [("visa", "visa", "4242"), ("mastercard", "mastercard", "4444")])
async def test_a_saved_card_is_charged_off_session(
    client: stripe.StripeClient, name: str, brand: str, last4: str
) -> None:
    customer, method = await saved_card(client, f"pm_card_{name}")
    intent = await charge(client, customer, method)
    assert (intent.status, intent.amount_received, intent.currency) == ("succeeded", 3898, "usd")
    assert intent.metadata.to_dict() == {"invoice_id": "inv_1", "attempt": "1"}
    made = intent.latest_charge
    assert isinstance(made, stripe.Charge)
    assert (made.status, made.paid, made.amount_captured, made.payment_intent) == ("succeeded", True, 3898, intent.id)
    card = (await client.v1.payment_methods.retrieve_async(method)).card
    assert card is not None
    assert (card.brand, card.last4) == (brand, last4)


@pytest.mark.parametrize("name", DECLINES)
async def test_each_declining_card_fails_in_its_own_way(client: stripe.StripeClient, name: str) -> None:
    code, decline_code, advice_code = DECLINES[name]
    customer, method = await saved_card(client, name)
    with pytest.raises(stripe.CardError) as caught:
        await charge(client, customer, method)
    error = caught.value.error
    assert error is not None
    assert caught.value.http_status == 402
    assert (caught.value.code, error.decline_code, getattr(error, "advice_code", None)) == (
        code,
        decline_code,
        advice_code,
    )
    assert error.payment_intent is not None
    assert error.payment_intent.status == "requires_payment_method"
    kept = await client.v1.payment_intents.retrieve_async(error.payment_intent.id, {"expand": ["latest_charge"]})
    assert kept.last_payment_error is not None
    assert kept.last_payment_error.code == code
    assert isinstance(kept.latest_charge, stripe.Charge)
    assert (kept.latest_charge.status, kept.latest_charge.amount_captured) == ("failed", 0)


async def test_every_decline_code_has_a_card(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client, "pm_card_declined_pickup_card")
    with pytest.raises(stripe.CardError) as refused:
        await charge(client, customer, method)
    assert refused.value.error is not None
    assert refused.value.error.decline_code == "pickup_card"


async def test_a_declined_intent_can_be_confirmed_with_another_card(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client, "pm_card_chargeDeclined")
    with pytest.raises(stripe.CardError) as caught:
        await charge(client, customer, method)
    assert caught.value.error is not None
    assert caught.value.error.payment_intent is not None
    other = await client.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer})
    intent = await client.v1.payment_intents.confirm_async(
        caught.value.error.payment_intent.id, {"payment_method": other.id, "off_session": True}
    )
    assert (intent.status, intent.last_payment_error) == ("succeeded", None)


async def test_a_customer_who_is_present_is_asked_to_authenticate(
    client: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    customer, method = await saved_card(client, "pm_card_authenticationRequired")
    paid, refused = [
        await charge(client, customer, method, off_session=None, return_url="https://example.com") for _ in range(2)
    ]
    assert paid.status == "requires_action"
    assert paid.next_action is not None
    assert paid.next_action.type == "redirect_to_url"
    sandbox.post(f"/_sandbox/stripe/payment_intents/{paid.id}/settle", outcome="succeeded")
    sandbox.post(f"/_sandbox/stripe/payment_intents/{refused.id}/settle", outcome="failed")
    assert (await client.v1.payment_intents.retrieve_async(paid.id)).status == "succeeded"
    failed = await client.v1.payment_intents.retrieve_async(refused.id)
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"


async def test_a_bank_debit_is_processing_until_the_bank_answers(
    client: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    customer, method = await saved_card(client, "pm_usBankAccount_processing")
    paid, refused = [await charge(client, customer, method) for _ in range(2)]
    assert (paid.status, refused.status) == ("processing", "processing")
    sandbox.post(f"/_sandbox/stripe/payment_intents/{paid.id}/settle", outcome="succeeded")
    sandbox.post(f"/_sandbox/stripe/payment_intents/{refused.id}/settle", outcome="failed")
    done = await client.v1.payment_intents.retrieve_async(paid.id, {"expand": ["latest_charge"]})
    assert isinstance(paid.latest_charge, stripe.Charge)
    assert isinstance(done.latest_charge, stripe.Charge)
    assert (done.status, done.latest_charge.status) == ("succeeded", "succeeded")
    assert done.latest_charge.id == paid.latest_charge.id
    assert (await client.v1.payment_intents.retrieve_async(refused.id)).status == "requires_payment_method"


async def test_only_an_unfinished_intent_can_be_confirmed_or_canceled(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client)
    waiting = await charge(client, customer, method, confirm=None, off_session=None)
    assert waiting.status == "requires_confirmation"
    canceled = await client.v1.payment_intents.cancel_async(waiting.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    paid = await charge(client, customer, method)
    for refused in (
        client.v1.payment_intents.cancel_async(paid.id),
        client.v1.payment_intents.confirm_async(paid.id),
        client.v1.payment_intents.confirm_async(canceled.id),
    ):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await refused
        assert caught.value.code == "payment_intent_unexpected_state"


async def test_a_card_is_only_charged_for_its_own_customer(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client)
    stranger, _ = await saved_card(client)
    for payer in (stranger, None):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await charge(client, payer, method)  # type: ignore[arg-type]
        assert caught.value.param == "payment_method"
    await client.v1.payment_methods.detach_async(method)
    with pytest.raises(stripe.InvalidRequestError):
        await charge(client, customer, method)


async def test_refunds_never_exceed_the_charge(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client)
    intent = await charge(client, customer, method)
    part = await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 1000})
    assert (part.status, part.amount) == ("succeeded", 1000)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.refunds.create_async({"payment_intent": intent.id, "amount": 2899})
    assert caught.value.param == "amount"
    rest = await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert rest.amount == 2898
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.refunds.create_async({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    refunds = await client.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in refunds.data] == [2898, 1000]


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "usd", "amount_too_small"),
        (0, "usd", "parameter_invalid_integer"),
        (100_000_000, "usd", "amount_too_large"),
        (1050, "isk", "invalid_charge_amount_no_decimal_compatible"),
        (1000, "xxx", None),
    ],
)
async def test_an_amount_stripe_cannot_charge_is_refused(
    client: stripe.StripeClient, amount: int, currency: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.payment_intents.create_async({"amount": amount, "currency": currency})
    assert caught.value.code == code


async def test_a_customer_keeps_a_default_method_and_merged_metadata(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client)
    await client.v1.customers.update_async(
        customer, {"metadata": {"tenant": "t1", "plan": "a"}, "invoice_settings": {"default_payment_method": method}}
    )
    updated = await client.v1.customers.update_async(
        customer,
        {"metadata": {"plan": "", "since": "2023"}, "expand": ["invoice_settings.default_payment_method"]},
    )
    assert updated.metadata is not None
    assert updated.metadata.to_dict() == {"tenant": "t1", "since": "2023"}
    assert updated.invoice_settings is not None
    assert isinstance(updated.invoice_settings.default_payment_method, stripe.PaymentMethod)
    methods = await client.v1.customers.payment_methods.list_async(customer)
    assert [each.id for each in methods.data] == [method]
