"""The demo's account at Stripe, that is, at the sandbox: made through Stripe's own SDK, as one would at Stripe."""

import asyncio

import stripe

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
