"""What is wrong with an account is said before a customer notices."""

import pytest
import stripe

from libs.common.errors import NotFound, Unavailable
from tests.payments.shop import Deployment, Shop
from tests.payments.test_three_processors import EACH, Store
from tests.payments.till import WAYS
from weir.payments.v1.processor_checks_pb2 import GetProcessorCheckRequest, GetProcessorCheckResponse
from weir.payments.v1.processor_checks_pb2_grpc import ProcessorCheckServiceStub


async def check(shop: Shop, account_id: str = "") -> GetProcessorCheckResponse:
    stub = ProcessorCheckServiceStub(shop.deployment.channel(shop.tenant_id))
    return await stub.GetProcessorCheck(GetProcessorCheckRequest(processor_account_id=account_id or shop.account_id))


@EACH
async def test_an_account_is_well_once_a_webhook_has_come(deployment: Deployment, processor_name: str) -> None:
    store = await Store(deployment).connect(processor_name)
    assert list((await check(store)).problems) == ["No webhook has come yet."]
    await store.save_on_page(processor_name, WAYS[processor_name].good)
    found = await check(store)
    assert (list(found.problems), found.HasField("last_event_time")) == ([], True)
    assert found.webhook_path == f"/webhooks/acme/{processor_name}"


async def test_what_stripe_does_not_send_is_named(deployment: Deployment) -> None:
    shop = await Shop(deployment).open(webhooks=True)
    change = stripe.params.WebhookEndpointUpdateParams
    only: change = {"enabled_events": ["payment_intent.succeeded", "refund.created"]}
    await shop.at_stripe(lambda client: client.v1.webhook_endpoints.update_async(shop.endpoint_id, only))
    [problem, _] = (await check(shop)).problems
    assert "charge.dispute.created" in problem
    assert "payment_intent.succeeded" not in problem
    off: change = {"disabled": True}
    await shop.at_stripe(lambda client: client.v1.webhook_endpoints.update_async(shop.endpoint_id, off))
    assert (await check(shop)).problems[0] == "Stripe's webhook endpoint is disabled."
    await shop.at_stripe(lambda client: client.v1.webhook_endpoints.delete_async(shop.endpoint_id))
    assert "/webhooks/acme/stripe" in (await check(shop)).problems[0]


async def test_a_wrong_secret_shows_in_the_webhooks_that_were_refused(shop: Shop) -> None:
    assert await shop.deliver("{}", header="t=1,v1=0") == 400
    found = await check(shop)
    assert found.problems[-1].startswith("The last webhook was refused")
    assert found.refused_webhook_count == 1


async def test_keys_that_the_processor_does_not_take_are_told(deployment: Deployment) -> None:
    shop = await Shop(deployment, secret_key="sk_live_of_nobody").open()
    assert (await check(shop)).problems[0] == "Stripe does not accept the key of this processor account"


async def test_a_processor_that_is_away_cannot_say(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await check(shop, "nothing")
    shop.deployment.sandbox.post("/_sandbox/faults", method="GET", path="*", kind="error_503", times=100)
    with pytest.raises(Unavailable):
        await check(shop)
    shop.deployment.sandbox.delete("/_sandbox/faults")
