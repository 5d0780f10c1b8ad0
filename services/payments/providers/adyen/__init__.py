"""Adyen, through its official SDK, which blocks: calls are made in threads.

A customer is a shopper reference that we choose; a charge is one payment with a token. Adyen shows no payments: what
became of one is the answer, a repeat of the request under its key within a week, or a webhook. Facts about the API are
in the SDK's version: Adyen 16.0, Checkout v72.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
from Adyen import Adyen as AdyenClient

from services.payments.domain.attempt import Declined, NotMade, Outcome, Pending, Unknown
from services.payments.domain.method import MethodKind
from services.payments.domain.reconciliation import Payout
from services.payments.providers import (
    Capability,
    Charge,
    Event,
    Page,
    PaymentPage,
    ProcessorUnavailable,
    Refund,
    RefundSighting,
    Refused,
    SavedMethod,
    SetupPage,
    Sighting,
)
from services.payments.providers.adyen import charges, events, settlement
from services.payments.providers.adyen.errors import Rejected, ask
from services.payments.providers.amounts import ADYEN, AmountRefused
from services.payments.providers.names import customer_name, within
from services.payments.providers.reading import no_events, no_records
from services.payments.providers.threads import Threads

CHECKOUT_VERSION = "/v72"
TEST_REPORTS, LIVE_REPORTS = "https://ca-test.adyen.com", "https://ca-live.adyen.com"
KEY_LIFE = timedelta(days=7) - timedelta(hours=1)
"""Within the week that Adyen promises."""
MOST_KEY = 64
KINDS = {
    "scheme": MethodKind.CARD,
    "sepadirectdebit": MethodKind.SEPA_DEBIT,
    "directdebit_GB": MethodKind.BACS_DEBIT,
    "ach": MethodKind.ACH_DEBIT,
}
_TELLS = "Adyen does not show it; a webhook will tell"


@dataclass(frozen=True, slots=True)
class AdyenCredentials:
    """`live_endpoint_prefix` is "" for a test account. `previous_hmac_key` is accepted as well while Adyen changes over
    to a new one; "" if there is none, as is `token_hmac_key` where all webhooks have the same key. `report_api_key` is
    of the user who may read reports, "" where `api_key` may.
    """

    api_key: str = field(repr=False)
    merchant_account: str
    hmac_key: str = field(repr=False)
    previous_hmac_key: str = field(default="", repr=False)
    token_hmac_key: str = field(default="", repr=False)
    live_endpoint_prefix: str = ""
    report_api_key: str = field(default="", repr=False)


class Adyen:
    """What all Adyen accounts share. `api_url` is "" for Adyen's own servers."""

    def __init__(self, api_url: str, timeout_seconds: float) -> None:
        self._api_url = api_url
        self._timeout_seconds = timeout_seconds
        self.threads = Threads("adyen", timeout_seconds)
        self.http = httpx.AsyncClient(timeout=timeout_seconds, follow_redirects=False)

    def account(self, credentials: Mapping[str, str]) -> "AdyenAccount":
        return AdyenAccount(self, AdyenCredentials(**credentials))

    def client(self, credentials: AdyenCredentials) -> Any:
        """The SDK's Checkout API of one account."""
        client = AdyenClient(
            xapikey=credentials.api_key,
            platform="live" if credentials.live_endpoint_prefix else "test",
            live_endpoint_prefix=credentials.live_endpoint_prefix or None,
            http_timeout=self._timeout_seconds,
        )
        if self._api_url:
            for api in ("payments_api", "payment_links_api", "recurring_api", "modifications_api"):
                getattr(client.checkout, api).baseUrl = self._api_url + CHECKOUT_VERSION
        return client.checkout

    def report_url(self, credentials: AdyenCredentials) -> str:
        return self._api_url or (LIVE_REPORTS if credentials.live_endpoint_prefix else TEST_REPORTS)

    async def aclose(self) -> None:
        await self.threads.close()
        await self.http.aclose()


class AdyenAccount:
    """A Processor."""

    capabilities = frozenset(Capability) - {Capability.LOOKUP, Capability.EVENT_LIST, Capability.RECORD_LIST}
    key_life = KEY_LIFE

    def __init__(self, connection: Adyen, credentials: AdyenCredentials) -> None:
        self._threads = connection.threads
        self._checkout = connection.client(credentials)
        self._http = connection.http
        self._report_url = connection.report_url(credentials)
        self._report_api_key = credentials.report_api_key or credentials.api_key
        self._merchant_account = credentials.merchant_account
        keys = credentials.hmac_key, credentials.token_hmac_key, credentials.previous_hmac_key
        self._hmac_keys = [key for key in keys if key]

    async def check(self, webhook_path: str) -> Sequence[str]:
        """Adyen shows no webhooks to this key."""
        whose = {"merchantAccount": quote(self._merchant_account), "shopperReference": "weir-check"}
        try:
            await self._ask(
                lambda: self._checkout.recurring_api.get_tokens_for_stored_payment_details(query_parameters=whose)
            )
        except Rejected as error:
            return [error.message]
        return []

    async def create_customer(self, tenant_id: str, customer_id: str, key: str) -> str | Refused:
        """The shopper reference, which needs no call."""
        return customer_name(tenant_id, customer_id)

    async def attach(self, customer_reference: str, token: str, key: str) -> SavedMethod | Refused:
        """`token` is a stored payment method's id; it must be the shopper's."""
        whose = {"merchantAccount": quote(self._merchant_account), "shopperReference": quote(customer_reference)}
        try:
            answer = await self._ask(
                lambda: self._checkout.recurring_api.get_tokens_for_stored_payment_details(query_parameters=whose)
            )
        except Rejected as error:
            return Refused(error.code, error.message)
        for stored in answer.get("storedPaymentMethods", ()):
            if stored["id"] == token:
                kind = KINDS.get(stored["type"], MethodKind.OTHER)
                return SavedMethod(f"{stored['type']}/{token}", _label(stored), kind)
        return Refused("token_unknown", f"Adyen has stored no such method of shopper {customer_reference}.")

    async def setup_page(self, page: SetupPage) -> Page | Refused:
        key = within(page.idempotency_key, MOST_KEY)
        request = {
            "merchantAccount": self._merchant_account,
            "amount": {"currency": page.currency, "value": 0},
            "reference": key,
            "returnUrl": page.return_url,
            "shopperReference": page.customer_reference,
            "shopperInteraction": "Ecommerce",
            "recurringProcessingModel": charges.MODEL,
            "storePaymentMethodMode": "enabled",
            "mode": "hosted",
        }
        return await self._page(lambda: self._checkout.payments_api.sessions(request, idempotency_key=key))

    async def payment_page(self, page: PaymentPage) -> Page | Refused:
        try:
            value = ADYEN.of(page.amount)
        except AmountRefused as error:
            return Refused("amount_not_representable", str(error))
        request = {
            "merchantAccount": self._merchant_account,
            "amount": {"currency": page.amount.currency, "value": value},
            "reference": charges.reference_of(page),
            "description": f"Invoice {page.invoice_number}",
            "returnUrl": page.return_url,
            "expiresAt": page.expire_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "shopperReference": page.customer_reference,
            "recurringProcessingModel": charges.MODEL,
            "storePaymentMethodMode": "enabled",
            "reusable": False,
        }
        key = within(page.idempotency_key, MOST_KEY)
        return await self._page(lambda: self._checkout.payment_links_api.payment_links(request, idempotency_key=key))

    async def _page(self, call: Callable[[], Any]) -> Page | Refused:
        try:
            answer = await self._ask(call)
        except Rejected as error:
            return Refused(error.code, error.message)
        return Page(answer["id"], answer["url"])

    async def close_page(self, reference: str) -> bool:
        links, link = self._checkout.payment_links_api, quote(reference)
        try:
            await self._ask(lambda: links.update_payment_link({"status": "expired"}, link))
        except Rejected:
            return await self._has_expired(lambda: links.get_payment_link(link))
        return True

    async def _has_expired(self, call: Callable[[], Any]) -> bool:
        """A link that has ended, without a payment begun on it."""
        try:
            return bool((await self._ask(call))["status"] == "expired")
        except Rejected as error:
            raise ProcessorUnavailable(error.code) from error

    async def charge(self, charge: Charge) -> Outcome:
        try:
            request = charges.parameters(charge, self._merchant_account)
        except AmountRefused as error:
            return NotMade("amount_not_representable", str(error))
        key = within(charge.idempotency_key, MOST_KEY)
        try:
            return charges.outcome(
                await self._ask(lambda: self._checkout.payments_api.payments(request, idempotency_key=key))
            )
        except Rejected as error:
            return NotMade(error.code, error.message)
        except ProcessorUnavailable as error:
            return Unknown(str(error))

    async def look_up(self, charge: Charge) -> Sighting | None:
        """It cannot be found, but it can be canceled by our reference, and a webhook tells whether it was."""
        reference = charges.reference_of(charge)
        request = {
            "merchantAccount": self._merchant_account,
            "paymentReference": reference,
            "reference": reference,
        }
        key = within("cancel:" + charge.idempotency_key, MOST_KEY)
        try:
            await self._ask(
                lambda: self._checkout.modifications_api.cancel_authorised_payment(request, idempotency_key=key)
            )
        except Rejected as error:
            raise ProcessorUnavailable(f"Adyen did not take the cancellation: {error.code}") from error
        raise ProcessorUnavailable(_TELLS)

    async def fetch(self, reference: str) -> Sighting | None:
        raise ProcessorUnavailable(_TELLS)

    async def cancel(self, reference: str) -> Outcome:
        """What was refused is over at Adyen, also for want of authentication: there is nothing left to cancel."""
        return Declined(reference, "canceled", "The charge was canceled before it succeeded.")

    async def refund(self, refund: Refund) -> Outcome:
        try:
            value = ADYEN.of(refund.amount)
        except AmountRefused as error:
            return NotMade("amount_not_representable", str(error))
        request = {
            "merchantAccount": self._merchant_account,
            "amount": {"currency": refund.amount.currency, "value": value},
            "reference": refund.refund_id,
        }
        key, charge = within(refund.idempotency_key, MOST_KEY), quote(refund.charge_reference)
        try:
            answer = await self._ask(
                lambda: self._checkout.modifications_api.refund_captured_payment(request, charge, idempotency_key=key)
            )
        except Rejected as error:
            return NotMade(error.code, error.message)
        except ProcessorUnavailable as error:
            return Unknown(str(error))
        return Pending(answer["pspReference"])

    async def look_up_refund(self, refund: Refund) -> RefundSighting | None:
        raise ProcessorUnavailable(_TELLS)

    async def fetch_refund(self, reference: str) -> RefundSighting | None:
        raise ProcessorUnavailable(_TELLS)

    def events(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Event]:
        return events.read(body, headers, self._hmac_keys, self._merchant_account)

    def list_events(self, since: datetime) -> AsyncIterator[Event]:
        return no_events()

    def list_records(self, since: datetime, until: datetime) -> AsyncIterator[Sighting | RefundSighting]:
        return no_records()

    async def list_payouts(self, since: datetime, until: datetime, reports: Sequence[bytes]) -> AsyncIterator[Payout]:
        """Adyen writes a report for each batch that it pays out, and tells of it by webhook."""
        for name in settlement.files(reports):
            for payout in settlement.payouts(await self._report(name)):
                yield payout

    async def _report(self, name: str) -> str:
        url = f"{self._report_url}/reports/download/MerchantAccount/{quote(self._merchant_account)}/{name}"
        try:
            answer = await self._http.get(url, headers={"x-api-key": self._report_api_key})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise ProcessorUnavailable(f"the report {name} was not given: {error!r}") from error
        return answer.text

    async def sight(self, event: Event) -> Sighting | RefundSighting | None:
        return events.sighting(event)

    async def _ask(self, call: Callable[[], Any]) -> dict[str, Any]:
        """The answer's body. Raises Rejected and ProcessorUnavailable."""
        answer = (await ask(self._threads, call)).message
        if not isinstance(answer, dict) or not answer:
            raise ProcessorUnavailable("an answer that is no JSON object")
        return answer


def _label(stored: dict[str, Any]) -> str:
    number = stored.get("lastFour") or stored.get("iban", "")[-4:]
    return f"{stored.get('brand') or stored['type']} ending in {number}"
