"""Accounts at the sandbox, made as a merchant would at the processor: by its own API, or where it has none, by hand."""

import asyncio
from collections.abc import Mapping

import httpx
import stripe

from cli.connection import Connection
from libs.common.errors import NotFound
from weir.payments.v1.payments_pb2 import (
    PROCESSOR_ADYEN,
    PROCESSOR_GOCARDLESS,
    PROCESSOR_STRIPE,
    AdyenCredentials,
    CreateProcessorAccountRequest,
    GetProcessorAccountRequest,
    GoCardlessCredentials,
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


def create_request(
    processor: str, account_id: str, keys: Mapping[str, str], request_id: str
) -> CreateProcessorAccountRequest:
    match processor:
        case "adyen":
            account = ProcessorAccount(id=account_id, processor=PROCESSOR_ADYEN)
            return CreateProcessorAccountRequest(
                request_id=request_id, processor_account=account, adyen=AdyenCredentials(**keys)
            )
        case "gocardless":
            account = ProcessorAccount(id=account_id, processor=PROCESSOR_GOCARDLESS)
            return CreateProcessorAccountRequest(
                request_id=request_id, processor_account=account, gocardless=GoCardlessCredentials(**keys)
            )
    account = ProcessorAccount(id=account_id, processor=PROCESSOR_STRIPE)
    return CreateProcessorAccountRequest(
        request_id=request_id, processor_account=account, stripe=StripeCredentials(**keys)
    )


async def connect_sandbox(
    services: Connection, account_id: str, request_id: str, processor: str = "stripe"
) -> ProcessorAccount:
    """Connect the tenant's account at the sandbox under `account_id`, unless it is, and send its webhooks here."""
    endpoint = services.endpoint
    url = f"{endpoint.webhooks_url}/webhooks/{endpoint.tenant_id}/{account_id}"
    try:
        found = await services.payments.GetProcessorAccount(GetProcessorAccountRequest(id=account_id))
        connected = found.processor_account
    except NotFound:
        keys = await _keys(endpoint.sandbox_url, endpoint.tenant_id, processor, url)
        request = create_request(processor, account_id, keys, request_id)
        return (await services.payments.CreateProcessorAccount(request)).processor_account
    if connected.processor == PROCESSOR_STRIPE:
        await StripeAccount(endpoint.sandbox_url, endpoint.tenant_id).move_webhooks(url)
    else:
        await _keys(endpoint.sandbox_url, endpoint.tenant_id, processor, url)
    return connected


async def _keys(api_url: str, tenant_id: str, processor: str, url: str) -> Mapping[str, str]:
    """The keys to the tenant's account, which sends its webhooks to `url`."""
    if processor == "stripe":
        account = StripeAccount(api_url, tenant_id)
        return {"secret_key": account.secret_key, "webhook_secret": await account.register_webhook(url)}
    async with httpx.AsyncClient(base_url=api_url, trust_env=False) as site:
        if processor == "adyen":
            merchant_account = f"Weir_{tenant_id}"
            asked = {"merchant_account": merchant_account, "url": url}
            answer = await site.post("/_sandbox/adyen/webhooks", json=asked)
            hmac_key = answer.raise_for_status().json()["hmac_key"]
            return {"api_key": f"AQE_weir_{tenant_id}", "merchant_account": merchant_account, "hmac_key": hmac_key}
        token = f"sandbox_weir_{tenant_id}"
        answer = await site.post("/_sandbox/gocardless/webhooks", json={"access_token": token, "url": url})
        secret = answer.raise_for_status().json()["secret"]
        return {"access_token": token, "environment": "sandbox", "webhook_secret": secret}
