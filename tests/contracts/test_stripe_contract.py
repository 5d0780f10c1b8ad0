"""The sandbox speaks Stripe's published contract: every request and answer below passes a validating proxy.

The proxy and Stripe's schemas are not part of this repository; they are looked for beside the checkout, in
`../shared/psp`. Where they are absent this module collects no tests at all, so that a run never counts checks it did
not make. What does not need the schemas is tested in `tests/sandbox`.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.flows import charge, saved_card
from tests.sandbox.running import RunningSandbox, new_key, running_receiver, running_sandbox, stripe_client

CONTRACT = Path(__file__).parents[3] / "shared" / "psp" / "psp_contract.py"
__test__ = CONTRACT.is_file()

DECLINING = (
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclinedExpiredCard",
    "pm_card_chargeDeclinedProcessingError",
    "pm_card_chargeDeclinedFraudulent",
    "pm_card_chargeDeclinedLostCard",
    "pm_card_chargeDeclinedStolenCard",
    "pm_card_authenticationRequired",
    "pm_card_threeDSecure2Required",
    "pm_card_chargeCustomerFail",
)


def _contract_module() -> Any:
    spec = importlib.util.spec_from_file_location("psp_contract", CONTRACT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    with running_sandbox(tmp_path) as running:
        yield running


@pytest.fixture
def proxy(sandbox: RunningSandbox) -> Iterator[Any]:
    """Between client and sandbox, and between the sandbox's webhooks and a receiver that accepts them."""
    with (
        running_receiver() as receiver,
        _contract_module().Proxy({"stripe": sandbox.url}, {"stripe": receiver.url}) as running,
    ):
        running.receiver = receiver
        yield running


async def test_every_flow_keeps_to_the_published_contract(sandbox: RunningSandbox, proxy: Any) -> None:
    async with stripe_client(proxy.url["stripe"], new_key()) as client:
        secret = await _webhook_endpoints(client, proxy.hook_url["stripe"])
        proxy.secrets["stripe"] = secret
        await _charges_and_refunds(client)
        await _declines(client)
        await _intents_that_wait(client, sandbox)
        await _lists(client)
        with pytest.raises(stripe.InvalidRequestError):
            await client.v1.payment_intents.retrieve_async("pi_none")
    events = proxy.receiver.wait_for("payment_intent.canceled", "payment_method.detached", "customer.updated")
    assert len(events) == len(proxy.receiver.received)
    assert proxy.calls["stripe"] > 50
    assert proxy.calls["stripe-webhook"] > 50
    assert proxy.errors == [], "\n".join(map(str, proxy.errors))
    bank_accounts = "carry: $.card", ".payment_method.card", ".data[0].card"
    warned = [v for v in proxy.violations if not v["message"].endswith(bank_accounts)]  # which have no card
    assert warned == [], "\n".join(map(str, warned))


async def _webhook_endpoints(client: stripe.StripeClient, url: str) -> str:
    unused = await client.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["charge.expired"]})
    await client.v1.webhook_endpoints.update_async(unused.id, {"disabled": True, "metadata": {"env": "test"}})
    await client.v1.webhook_endpoints.retrieve_async(unused.id)
    await client.v1.webhook_endpoints.delete_async(unused.id)
    endpoint = await client.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["*"]})
    await client.v1.webhook_endpoints.list_async()
    assert endpoint.secret is not None
    return endpoint.secret


async def _charges_and_refunds(client: stripe.StripeClient) -> None:
    customer, method = await saved_card(client)
    await client.v1.customers.update_async(
        customer,
        {
            "address": {"country": "DE", "city": "Berlin"},
            "invoice_settings": {"default_payment_method": method},
            "expand": ["invoice_settings.default_payment_method"],
        },
    )
    first = await charge(client, customer, method, "pay:1", expand=["latest_charge", "customer", "payment_method"])
    again = await charge(client, customer, method, "pay:1", expand=["latest_charge", "customer", "payment_method"])
    assert first.id == again.id
    await client.v1.refunds.create_async(
        {"payment_intent": first.id, "amount": 1000, "reason": "requested_by_customer", "expand": ["charge"]},
        {"idempotency_key": "ref:1"},
    )
    refund = await client.v1.refunds.create_async({"payment_intent": first.id}, {"idempotency_key": "ref:2"})
    await client.v1.refunds.retrieve_async(refund.id)
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.refunds.create_async({"payment_intent": first.id}, {"idempotency_key": "ref:3"})
    assert isinstance(first.latest_charge, stripe.Charge)
    await client.v1.charges.retrieve_async(first.latest_charge.id)
    await client.v1.payment_methods.detach_async(method)
    mastercard = await client.v1.payment_methods.attach_async("pm_card_mastercard", {"customer": customer})
    await charge(client, customer, mastercard.id, "pay:2", allowed_payment_method_types=["card"])


async def _declines(client: stripe.StripeClient) -> None:
    for name in DECLINING:
        customer, method = await saved_card(client, name)
        with pytest.raises(stripe.CardError) as caught:
            await charge(client, customer, method, f"pay:{name}")
        assert caught.value.error is not None
        assert caught.value.error.payment_intent is not None
        intent = caught.value.error.payment_intent.id
        await client.v1.payment_intents.retrieve_async(intent, {"expand": ["latest_charge"]})
        await client.v1.payment_intents.cancel_async(intent, {"cancellation_reason": "abandoned"})


async def _intents_that_wait(client: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    customer, method = await saved_card(client, "pm_card_threeDSecure2Required")
    for number, outcome in enumerate(("succeeded", "failed")):
        action = await charge(client, customer, method, f"act:{number}", off_session=None)
        assert action.status == "requires_action"
        sandbox.post(f"/_sandbox/stripe/payment_intents/{action.id}/settle", outcome=outcome)
        await client.v1.payment_intents.retrieve_async(action.id)
    customer, account = await saved_card(client, "pm_usBankAccount_processing")
    for number, outcome in enumerate(("succeeded", "failed")):
        debit = await charge(client, customer, account, f"debit:{number}")
        assert debit.status == "processing"
        sandbox.post(f"/_sandbox/stripe/payment_intents/{debit.id}/settle", outcome=outcome)
        await client.v1.payment_intents.retrieve_async(debit.id, {"expand": ["latest_charge"]})
    waiting = await charge(client, customer, account, "wait:1", confirm=None, off_session=None, payment_method=None)
    confirmed = await client.v1.payment_intents.confirm_async(
        waiting.id, {"payment_method": "pm_card_visa", "off_session": True}, {"idempotency_key": "wait:2"}
    )
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.payment_intents.cancel_async(confirmed.id)


async def _lists(client: stripe.StripeClient) -> None:
    customers = await client.v1.customers.list_async({"limit": 3, "created": {"gte": 1}})
    customer = customers.data[0].id
    await client.v1.customers.retrieve_async(customer)
    methods = await client.v1.customers.payment_methods.list_async(customer)
    await client.v1.payment_methods.retrieve_async(methods.data[0].id, {"expand": ["customer"]})
    await client.v1.payment_intents.list_async({"customer": customer, "expand": ["data.latest_charge"]})
    await client.v1.charges.list_async({"customer": customer})
    await client.v1.refunds.list_async({"limit": 5})
    events = await client.v1.events.list_async({"types": ["charge.succeeded", "charge.failed"], "limit": 100})
    await client.v1.events.retrieve_async(events.data[0].id)
