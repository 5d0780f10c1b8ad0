from typing import Any

import pytest
import stripe

from tests.sandbox.flows import charge, saved_card
from tests.sandbox.running import Receiver, RunningSandbox, new_key, stripe_client


async def subscribed(client: stripe.StripeClient, receiver: Receiver, *types: str) -> str:
    """The signing secret of a new endpoint."""
    wanted: Any = types or ("*",)
    endpoint = await client.v1.webhook_endpoints.create_async({"url": receiver.url, "enabled_events": list(wanted)})
    assert endpoint.secret is not None
    return endpoint.secret


async def test_a_delivery_is_signed_so_that_the_sdk_accepts_it(client: stripe.StripeClient, receiver: Receiver) -> None:
    secret = await subscribed(client, receiver)
    customer, method = await saved_card(client)
    intent = await charge(client, customer, method)
    receiver.wait_for("customer.created", "payment_method.attached", "charge.succeeded", "payment_intent.succeeded")
    for headers, body in receiver.received:
        event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
        assert (event.livemode, event.api_version) == (False, "2026-10-28.endive")
        if event.type == "payment_intent.succeeded":
            assert event.data.object["id"] == intent.id
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body + b" ", headers["Stripe-Signature"], secret)


async def test_an_endpoint_gets_only_the_events_of_its_account_it_asked_for(
    client: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    await subscribed(client, receiver, "charge.failed", "payment_intent.payment_failed")
    async with stripe_client(sandbox.url, new_key()) as stranger:
        await charge(stranger, *await saved_card(stranger))
    customer, method = await saved_card(client, "pm_card_chargeDeclined")
    with pytest.raises(stripe.CardError):
        await charge(client, customer, method)
    events = receiver.wait_for("charge.failed", "payment_intent.payment_failed")
    assert len(events) == 2


async def test_a_refused_delivery_is_tried_again_until_accepted(
    client: stripe.StripeClient, receiver: Receiver
) -> None:
    secret = await subscribed(client, receiver, "customer.created")
    receiver.answers = [500, 302]
    await client.v1.customers.create_async({"name": "Ada"})
    receiver.wait_for_count(3)
    assert len({body for _, body in receiver.received}) == 1
    headers, body = receiver.received[-1]
    event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], secret)
    assert event.pending_webhooks == 1


async def test_a_deleted_or_disabled_endpoint_gets_nothing_more(
    client: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    await subscribed(client, receiver, "customer.created")
    (endpoint,) = (await client.v1.webhook_endpoints.list_async()).data
    assert "secret" not in endpoint
    await client.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": True})
    await client.v1.customers.create_async()
    await client.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": False})
    last = await client.v1.customers.create_async()
    (event,) = receiver.wait_for("customer.created")
    assert event["data"]["object"]["id"] == last.id
    await client.v1.webhook_endpoints.delete_async(endpoint.id)
    assert (await client.v1.webhook_endpoints.list_async()).data == []


async def test_paused_webhooks_wait_and_replays_are_duplicates(
    own_sandbox: RunningSandbox, key: str, receiver: Receiver
) -> None:
    async with stripe_client(own_sandbox.url, key) as client:
        await subscribed(client, receiver, "customer.created")
        own_sandbox.post("/_sandbox/webhooks/pause")
        await client.v1.customers.create_async()
        (event,) = (await client.v1.events.list_async()).data
        assert (receiver.received, event.pending_webhooks) == ([], 1)
        assert own_sandbox.post("/_sandbox/webhooks/replay", event=event.id, copies=2) == {"deliveries": 2}
        own_sandbox.post("/_sandbox/webhooks/resume")
        events = receiver.wait_for_count(3)
    assert [each["id"] for each in events] == [event.id] * 3


@pytest.mark.parametrize("url", ["ftp://localhost/x", "localhost", "http://", "http://localhost:99999/"])
async def test_an_endpoint_needs_a_usable_url(client: stripe.StripeClient, url: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await client.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["*"]})
    assert caught.value.param == "url"
