"""An account at the sandbox that plays Stripe, made through Stripe's own SDK as one would at Stripe."""

import asyncio

import stripe

from cli.connection import Connection
from libs.common.errors import NotFound
from weir.payments.v1.payments_pb2 import (
    PROCESSOR_STRIPE,
    CreateProcessorAccountRequest,
    GetProcessorAccountRequest,
    ProcessorAccount,
    StripeCredentials,
)

CARD = "pm_card_visa"


class StripeAccount:
    """Where the account's webhooks go. Every key that begins with `sk_test_` is an account of the sandbox."""

    def __init__(self, api_url: str, tenant_id: str) -> None:
        self.secret_key = f"sk_test_weir_{tenant_id}"
        self._client = stripe.StripeClient(self.secret_key, base_addresses={"api": api_url})

    async def register_webhook(self, url: str) -> str:
        """Signing secret of a new webhook endpoint."""
        endpoint = await asyncio.to_thread(
            self._client.v1.webhook_endpoints.create, params={"url": url, "enabled_events": ["*"]}
        )
        assert endpoint.secret is not None, "Stripe tells the secret when an endpoint is made"
        return endpoint.secret

    async def move_webhooks(self, url: str) -> None:
        """Send all webhooks to `url` from now on."""
        endpoints = await asyncio.to_thread(self._client.v1.webhook_endpoints.list)
        for each in endpoints.data:
            await asyncio.to_thread(self._client.v1.webhook_endpoints.update, each.id, params={"url": url})


async def connect_sandbox(services: Connection, account_id: str, request_id: str) -> ProcessorAccount:
    """Connect the tenant's account at the sandbox under `account_id`, unless it is, and send its webhooks here.

    The webhook's path is known once the account exists, and the account needs the webhook's secret: so it moves.
    """
    endpoint = services.endpoint
    account = StripeAccount(endpoint.sandbox_url, endpoint.tenant_id)
    try:
        found = await services.payments.GetProcessorAccount(GetProcessorAccountRequest(id=account_id))
        connected = found.processor_account
    except NotFound:
        secret = await account.register_webhook(endpoint.webhooks_url)
        request = CreateProcessorAccountRequest(
            request_id=request_id,
            processor_account=ProcessorAccount(id=account_id, processor=PROCESSOR_STRIPE),
            stripe=StripeCredentials(secret_key=account.secret_key, webhook_secret=secret),
        )
        connected = (await services.payments.CreateProcessorAccount(request)).processor_account
    await account.move_webhooks(endpoint.webhooks_url + connected.webhook_path)
    return connected
