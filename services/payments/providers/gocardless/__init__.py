"""GoCardless, through its official SDK, which blocks: calls are made in threads.

A method is a mandate; a charge is one payment of it, which takes days: it is PENDING until the bank answers. GoCardless
makes customers itself, of what they enter on its pages, so ours have names of ours. Facts about the API are in the
SDK's version: gocardless-pro 3.22, API 2015-07-06.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import gocardless_pro

from services.payments.domain.attempt import NotMade, Outcome, Unknown
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
    Subject,
)
from services.payments.providers.amounts import GOCARDLESS, AmountRefused
from services.payments.providers.gocardless import events, resources, settlement
from services.payments.providers.gocardless.errors import AlreadyMade, Rejected, ask
from services.payments.providers.names import customer_name, within
from services.payments.providers.threads import Threads

TRIES, RETRY_DELAY_SECONDS = 3, 0.5
"""What the SDK makes of one request, all under one key."""
MOST_HTTP_TIMEOUT_SECONDS = 30.0
KEY_LIFE = timedelta(days=30)
"""A key is kept with what it made."""
MOST_KEY = 128
CLOCK_SKEW = timedelta(minutes=10)
CHARGEABLE = frozenset({"pending_customer_approval", "pending_submission", "submitted", "active"})
KINDS = {"sepa_core": MethodKind.SEPA_DEBIT, "bacs": MethodKind.BACS_DEBIT, "ach": MethodKind.ACH_DEBIT}
_MISSING = "resource_not_found"
_TOTAL_CHANGED = "total_amount_confirmation_invalid"


@dataclass(frozen=True, slots=True)
class GoCardlessCredentials:
    """`environment` is "live" or "sandbox". `previous_webhook_secret` is accepted as well while GoCardless changes over
    to the new one; "" if there is none.
    """

    access_token: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    environment: str
    previous_webhook_secret: str = field(default="", repr=False)


class GoCardless:
    """What all GoCardless accounts share. `api_url` is "" for GoCardless's own servers."""

    def __init__(self, api_url: str, timeout_seconds: float) -> None:
        self._api_url = api_url
        once = (timeout_seconds - (TRIES - 1) * RETRY_DELAY_SECONDS) / TRIES
        self._http_timeout_seconds = min(MOST_HTTP_TIMEOUT_SECONDS, once)
        self.threads = Threads("gocardless", timeout_seconds)

    def account(self, credentials: Mapping[str, str]) -> "GoCardlessAccount":
        return GoCardlessAccount(self, GoCardlessCredentials(**credentials))

    def client(self, credentials: GoCardlessCredentials) -> Any:
        return gocardless_pro.Client(
            access_token=credentials.access_token,
            environment=credentials.environment,
            base_url=self._api_url or None,
            raise_on_idempotency_conflict=True,
            timeout=self._http_timeout_seconds,
        )

    async def aclose(self) -> None:
        await self.threads.close()


class GoCardlessAccount:
    """A Processor."""

    capabilities = frozenset(Capability) - {Capability.CARDS}
    key_life = KEY_LIFE

    def __init__(self, connection: GoCardless, credentials: GoCardlessCredentials) -> None:
        self._threads = connection.threads
        self._client = connection.client(credentials)
        secrets = credentials.webhook_secret, credentials.previous_webhook_secret
        self._webhook_secrets = [secret for secret in secrets if secret]

    async def check(self, webhook_path: str) -> Sequence[str]:
        """GoCardless shows no webhook endpoints."""
        try:
            await ask(self._threads, lambda: self._client.payments.list({"limit": 1}))
        except Rejected as error:
            return [str(error)]
        return []

    async def create_customer(self, tenant_id: str, customer_id: str, key: str) -> str | Refused:
        """GoCardless's customer comes with the mandate."""
        return customer_name(tenant_id, customer_id)

    async def attach(self, customer_reference: str, token: str, key: str) -> SavedMethod | Refused:
        """`token` is a mandate, or a billing request with one that the customer has filled in."""
        try:
            if token.startswith("BRQ"):
                token = await self._mandate_of(token)
            mandate = await self._ask(lambda: self._client.mandates.get(token))
            if mandate["status"] not in CHARGEABLE:
                return Refused(f"mandate_{mandate['status']}", "The mandate cannot be charged.")
            account_id = mandate["links"]["customer_bank_account"]
            account = await self._ask(lambda: self._client.customer_bank_accounts.get(account_id))
        except Rejected as error:
            return Refused(error.code, error.message)
        label = f"{account.get('bank_name') or 'bank account'} ending in {account['account_number_ending']}"
        return SavedMethod(mandate["id"], label, KINDS.get(mandate["scheme"], MethodKind.OTHER))

    async def _mandate_of(self, billing_request: str) -> str:
        """Raises Rejected while the customer has not done their part."""
        request = await self._ask(lambda: self._client.billing_requests.get(billing_request))
        if request["status"] == "ready_to_fulfil":
            request = await self._ask(lambda: self._client.billing_requests.fulfil(billing_request))
        mandate = request["links"].get("mandate_request_mandate")
        if mandate is None:
            raise Rejected("billing_request_" + request["status"], "The billing request has not made a mandate.")
        return str(mandate)

    async def setup_page(self, page: SetupPage) -> Page | Refused:
        request = {
            "mandate_request": {"currency": page.currency},
            "metadata": {events.CUSTOMER: page.customer_reference},
        }
        return await self._page(request, page.idempotency_key, page.return_url)

    async def payment_page(self, page: PaymentPage) -> Page | Refused:
        """Paid by instant bank transfer; GoCardless says itself when the page ends."""
        try:
            amount = GOCARDLESS.of(page.amount)
        except AmountRefused as error:
            return Refused("amount_not_representable", str(error))
        payment = {
            "amount": amount,
            "currency": page.amount.currency,
            "description": f"Invoice {page.invoice_number}",
            "metadata": resources.made_by(page),
        }
        return await self._page({"payment_request": payment}, page.idempotency_key, page.return_url)

    async def _page(self, request: dict[str, Any], key: str, return_url: str) -> Page | Refused:
        """One billing request for the key; the flow through it may be begun any number of times."""
        headers = _key(key)
        try:
            try:
                made = await self._ask(lambda: self._client.billing_requests.create(request, headers))
                reference = made["id"]
            except AlreadyMade as made_before:
                reference = made_before.reference
            flow = await self._ask(
                lambda: self._client.billing_request_flows.create(
                    {"redirect_uri": return_url, "exit_uri": return_url, "links": {"billing_request": reference}}
                )
            )
        except Rejected as error:
            return Refused(error.code, error.message)
        return Page(reference, flow["authorisation_url"])

    async def close_page(self, reference: str) -> bool:
        try:
            await self._ask(lambda: self._client.billing_requests.cancel(reference))
        except Rejected:
            return await self._is_canceled(reference)
        return True

    async def _is_canceled(self, billing_request: str) -> bool:
        try:
            ended = await self._ask(lambda: self._client.billing_requests.get(billing_request))
        except Rejected as error:
            raise ProcessorUnavailable(error.code) from error
        return bool(ended["status"] == "cancelled")

    async def charge(self, charge: Charge) -> Outcome:
        try:
            request = resources.payment_parameters(charge)
        except AmountRefused as error:
            return NotMade("amount_not_representable", str(error))
        headers = _key(charge.idempotency_key)
        try:
            made = await self._ask(lambda: self._client.payments.create(request, headers))
            return resources.sighting(made).outcome
        except AlreadyMade as before:
            return await self._made_before(charge, before.reference)
        except Rejected as error:
            return NotMade(error.code, error.message)
        except ProcessorUnavailable as error:
            return Unknown(str(error))

    async def _made_before(self, charge: Charge, reference: str) -> Outcome:
        try:
            found = await self.fetch(reference)
        except ProcessorUnavailable as error:
            return Unknown(str(error))
        if found is None or not _is_of(charge, found):
            return Unknown(f"{reference} has the idempotency key, and is another payment")
        return found.outcome

    async def look_up(self, charge: Charge) -> Sighting | None:
        since = (charge.create_time - CLOCK_SKEW).astimezone(UTC)
        query = {"mandate": charge.method_reference, "created_at[gte]": _time(since), "limit": 500}
        try:
            payments = await ask(self._threads, lambda: list(self._client.payments.all(query)))
        except Rejected as error:
            raise ProcessorUnavailable(error.code) from error
        for payment in payments:
            found = resources.sighting(payment.attributes)
            if _is_of(charge, found):
                return await self.fetch(found.reference)
        return None

    async def fetch(self, reference: str) -> Sighting | None:
        try:
            payment = await self._ask(lambda: self._client.payments.get(reference))
            if payment["status"] == "failed":
                return resources.sighting(payment, await self._cause(reference))
        except Rejected as error:
            if error.code == _MISSING:
                return None
            raise ProcessorUnavailable(error.code) from error
        return resources.sighting(payment)

    async def _cause(self, reference: str) -> tuple[str, str]:
        """Why the bank did not pay, which is in the event and not in the payment."""
        query = {"payment": reference, "action": "failed", "limit": 1}
        [*failures] = (await ask(self._threads, lambda: self._client.events.list(query))).records
        details = failures[0].attributes["details"] if failures else {}
        return details.get("cause") or "failed", details.get("description") or "The bank did not pay."

    async def cancel(self, reference: str) -> Outcome:
        try:
            return resources.sighting(await self._ask(lambda: self._client.payments.cancel(reference))).outcome
        except Rejected:
            seen = await self.fetch(reference)  # it is past canceling, or has been canceled
        return Unknown("GoCardless no longer shows the payment") if seen is None else seen.outcome

    async def refund(self, refund: Refund) -> Outcome:
        """Looks first: the sum of the payment's refunds, which must be confirmed, would have changed in a repeat."""
        try:
            amount = GOCARDLESS.of(refund.amount)
        except AmountRefused as error:
            return NotMade("amount_not_representable", str(error))
        try:
            if (found := await self.look_up_refund(refund)) is not None:
                return found.outcome
            payment = await self._ask(lambda: self._client.payments.get(refund.charge_reference))
            request = resources.refund_parameters(refund, amount, payment["amount_refunded"])
            headers = _key(refund.idempotency_key)
            made = await self._ask(lambda: self._client.refunds.create(request, headers))
            return resources.refund_sighting(made).outcome
        except AlreadyMade as before:
            return Unknown(f"{before.reference} is there, and not listed yet")
        except Rejected as error:
            if error.code == _TOTAL_CHANGED:
                return Unknown("another refund of the payment came between")
            return NotMade(error.code, error.message)
        except ProcessorUnavailable as error:
            return Unknown(str(error))

    async def look_up_refund(self, refund: Refund) -> RefundSighting | None:
        query = {"payment": refund.charge_reference, "limit": 500}
        try:
            refunds = await ask(self._threads, lambda: list(self._client.refunds.all(query)))
        except Rejected as error:
            raise ProcessorUnavailable(error.code) from error
        for each in refunds:
            found = resources.refund_sighting(each.attributes)
            if (found.tenant_id, found.refund_id) == (refund.tenant_id, refund.refund_id):
                return found
        return None

    async def fetch_refund(self, reference: str) -> RefundSighting | None:
        try:
            return resources.refund_sighting(await self._ask(lambda: self._client.refunds.get(reference)))
        except Rejected as error:
            if error.code == _MISSING:
                return None
            raise ProcessorUnavailable(error.code) from error

    def events(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Event]:
        return events.read(body, headers.get("webhook-signature"), self._webhook_secrets)

    async def list_events(self, since: datetime) -> AsyncIterator[Event]:
        async for event in self._pages(self._client.events, {"created_at[gte]": _time(since.astimezone(UTC))}):
            yield events.told(event)

    async def list_records(self, since: datetime, until: datetime) -> AsyncIterator[Sighting | RefundSighting]:
        made = _between(since, until)
        async for payment in self._pages(self._client.payments, made):
            yield resources.sighting(payment)
        async for refund in self._pages(self._client.refunds, made):
            yield resources.refund_sighting(refund)

    async def list_payouts(self, since: datetime, until: datetime, reports: Sequence[bytes]) -> AsyncIterator[Payout]:
        async for payout in self._pages(self._client.payouts, _between(since, until)):
            parts = self._pages(self._client.payout_items, {"payout": payout["id"]})
            items = [settlement.item(each) async for each in parts]
            yield Payout(
                payout["id"], GOCARDLESS.amount(payout["amount"], payout["currency"]), payout["currency"], items
            )

    async def _pages(self, resource: Any, query: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        query = {**query, "limit": 500}
        while True:
            try:
                page = await ask(self._threads, lambda: resource.list(query))
            except Rejected as error:
                raise ProcessorUnavailable(error.code) from error
            for record in page.records:
                yield record.attributes
            if page.after is None:
                return
            query["after"] = page.after

    async def sight(self, event: Event) -> Sighting | RefundSighting | None:
        if event.subject is Subject.REFUND:
            return await self.fetch_refund(event.reference)
        return await self.fetch(event.reference)

    async def _ask(self, call: Callable[[], Any]) -> dict[str, Any]:
        """The resource. Raises Rejected, AlreadyMade and ProcessorUnavailable."""
        resource: dict[str, Any] = (await ask(self._threads, call)).attributes
        return resource


def _key(key: str) -> dict[str, str]:
    return {"Idempotency-Key": within(key, MOST_KEY)}


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _between(since: datetime, until: datetime) -> dict[str, str]:
    return {"created_at[gte]": _time(since.astimezone(UTC)), "created_at[lt]": _time(until.astimezone(UTC))}


def _is_of(charge: Charge, found: Sighting) -> bool:
    asked = charge.tenant_id, charge.payment_id, charge.number, charge.amount.amount, charge.amount.currency
    return asked == (found.tenant_id, found.payment_id, found.number, found.amount, found.currency)
