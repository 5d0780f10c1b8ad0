"""Stripe, through its official SDK.

A charge is one payment intent, made and confirmed off session in one request. Facts about the API are in the SDK's
version: stripe 16.1, API 2026-10-28.endive.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import httpx
import stripe

from services.payments.domain.attempt import NotMade, Outcome, Unknown
from services.payments.domain.method import MethodKind
from services.payments.domain.reconciliation import Payout
from services.payments.providers import (
    Capability,
    Charge,
    Event,
    Page,
    PaymentPage,
    Refund,
    RefundSighting,
    Refused,
    SavedMethod,
    SetupPage,
    Sighting,
    SignatureRefused,
    Subject,
)
from services.payments.providers.amounts import STRIPE, AmountRefused
from services.payments.providers.stripe import charges, checks, errors, events, pages, refunds, settlement

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
MAX_NETWORK_RETRIES = 2
SIGNATURE_TOLERANCE_SECONDS = 300
CLOCK_SKEW = timedelta(minutes=10)
KEY_LIFE = timedelta(hours=23)
KINDS = {
    "card": MethodKind.CARD,
    "sepa_debit": MethodKind.SEPA_DEBIT,
    "bacs_debit": MethodKind.BACS_DEBIT,
    "us_bank_account": MethodKind.ACH_DEBIT,
}
"""Within the 24 hours that Stripe promises."""


@dataclass(frozen=True, slots=True)
class StripeCredentials:
    """`previous_webhook_secret` is accepted as well while Stripe changes over to the new one; "" if there is none."""

    secret_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    previous_webhook_secret: str = field(default="", repr=False)


class Stripe:
    """The connection that all Stripe accounts share. `timeout_seconds` bounds a call with its retries."""

    def __init__(self, api_url: str, timeout_seconds: float) -> None:
        timeout = httpx.Timeout(min(READ_TIMEOUT_SECONDS, timeout_seconds), connect=CONNECT_TIMEOUT_SECONDS)
        self._http = stripe.HTTPXClient(timeout=timeout)
        self._api_url = api_url
        self._timeout_seconds = timeout_seconds

    def account(self, credentials: Mapping[str, str]) -> "StripeAccount":
        return StripeAccount(self, StripeCredentials(**credentials))

    def client(self, secret_key: str) -> stripe.StripeClient:
        return stripe.StripeClient(
            secret_key,
            base_addresses={"api": self._api_url},
            max_network_retries=MAX_NETWORK_RETRIES,
            http_client=self._http,
        )

    async def within_timeout(self, call: Awaitable[T]) -> T:
        async with asyncio.timeout(self._timeout_seconds):
            return await call

    async def aclose(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]


class StripeAccount:
    """A Processor."""

    capabilities = frozenset(Capability)
    key_life = KEY_LIFE

    def __init__(self, connection: Stripe, credentials: StripeCredentials) -> None:
        self._connection = connection
        secrets = credentials.webhook_secret, credentials.previous_webhook_secret
        self._webhook_secrets = [secret for secret in secrets if secret]
        self._live = credentials.secret_key.startswith(("sk_live_", "rk_live_"))
        self._stripe = connection.client(credentials.secret_key).v1

    async def check(self, webhook_path: str) -> Sequence[str]:
        try:
            listed = await self._connection.within_timeout(self._stripe.webhook_endpoints.list_async({"limit": 100}))
        except stripe.AuthenticationError:
            return [errors.ACCOUNT_REJECTED[1]]
        except stripe.PermissionError:
            return ["Stripe's key may not list webhook endpoints, so that they cannot be checked."]
        except (stripe.StripeError, TimeoutError) as error:
            raise errors.unavailable(error) from error
        return list(checks.problems(listed.data, webhook_path))

    async def create_customer(self, tenant_id: str, customer_id: str, key: str) -> str | Refused:
        call = self._stripe.customers.create_async(
            {"metadata": {"tenant_id": tenant_id, "customer_id": customer_id}},
            {"idempotency_key": key},
        )
        try:
            return (await self._connection.within_timeout(call)).id
        except (stripe.StripeError, TimeoutError) as error:
            return errors.refused(error)

    async def attach(self, customer_reference: str, token: str, key: str) -> SavedMethod | Refused:
        call = self._stripe.payment_methods.attach_async(
            token, {"customer": customer_reference}, {"idempotency_key": key}
        )
        try:
            method = await self._connection.within_timeout(call)
        except (stripe.StripeError, TimeoutError) as error:
            return errors.refused(error)
        return SavedMethod(method.id, _label(method), KINDS.get(method.type, MethodKind.OTHER))

    async def setup_page(self, page: SetupPage) -> Page | Refused:
        return await self._page(pages.setup_parameters(page), page.idempotency_key)

    async def payment_page(self, page: PaymentPage) -> Page | Refused:
        try:
            return await self._page(pages.payment_parameters(page), page.idempotency_key)
        except AmountRefused as error:
            return Refused("amount_not_representable", str(error))

    async def _page(self, parameters: "SessionCreateParams", key: str) -> Page | Refused:
        call = self._stripe.checkout.sessions.create_async(parameters, {"idempotency_key": key})
        try:
            session = await self._connection.within_timeout(call)
        except (stripe.StripeError, TimeoutError) as error:
            return errors.refused(error)
        assert session.url is not None, "a hosted session that is open has a URL"
        return Page(session.id, session.url)

    async def close_page(self, reference: str) -> bool:
        try:
            await self._connection.within_timeout(self._stripe.checkout.sessions.expire_async(reference))
        except (stripe.StripeError, TimeoutError) as error:
            if not isinstance(error, stripe.InvalidRequestError):
                raise errors.unavailable(error) from error
            ended = await self._answer(self._stripe.checkout.sessions.retrieve_async(reference))
            return ended.status == "expired"
        return True

    async def charge(self, charge: Charge) -> Outcome:
        try:
            parameters = charges.parameters(charge)
        except AmountRefused as error:
            return NotMade("amount_not_representable", str(error))
        call = self._stripe.payment_intents.create_async(parameters, {"idempotency_key": charge.idempotency_key})
        try:
            return charges.outcome(await self._connection.within_timeout(call))
        except (stripe.StripeError, TimeoutError) as error:
            return errors.outcome_of(error)

    async def look_up(self, charge: Charge) -> Sighting | None:
        return await self._answer(self._find(charge))

    async def _find(self, charge: Charge) -> Sighting | None:
        """Through the list, which shows what was committed; the search index is late."""
        intents = await self._stripe.payment_intents.list_async(
            {
                "customer": charge.customer_reference,
                "created": {"gte": int((charge.create_time - CLOCK_SKEW).timestamp())},
                "limit": 100,
            }
        )
        async for intent in intents.auto_paging_iter():
            found = charges.sighting(intent)
            made_by = found.tenant_id, found.payment_id, found.number
            if made_by == (charge.tenant_id, charge.payment_id, charge.number):
                return found
        return None

    async def fetch(self, reference: str) -> Sighting | None:
        intent = await self._found(self._stripe.payment_intents.retrieve_async(reference))
        return None if intent is None else charges.sighting(intent)

    async def _found(self, call: Awaitable[T]) -> T | None:
        """None for a 404."""
        try:
            return await self._connection.within_timeout(call)
        except (stripe.StripeError, TimeoutError) as error:
            if isinstance(error, stripe.InvalidRequestError) and error.http_status == 404:
                return None
            raise errors.unavailable(error) from error

    async def cancel(self, reference: str) -> Outcome:
        call = self._stripe.payment_intents.cancel_async(reference, {"cancellation_reason": "abandoned"})
        try:
            return charges.outcome(await self._connection.within_timeout(call))
        except (stripe.StripeError, TimeoutError) as error:
            if not isinstance(error, stripe.InvalidRequestError):
                raise errors.unavailable(error) from error
        seen = await self.fetch(reference)  # it is past canceling, or has been canceled
        return Unknown("Stripe no longer shows the charge") if seen is None else seen.outcome

    async def refund(self, refund: Refund) -> Outcome:
        try:
            amount = STRIPE.of(refund.amount)
        except AmountRefused as error:
            return NotMade("amount_not_representable", str(error))
        call = self._stripe.refunds.create_async(
            refunds.parameters(refund, amount), {"idempotency_key": refund.idempotency_key}
        )
        try:
            return refunds.outcome(await self._connection.within_timeout(call))
        except (stripe.StripeError, TimeoutError) as error:
            return errors.outcome_of(error)

    async def look_up_refund(self, refund: Refund) -> RefundSighting | None:
        return await self._answer(self._find_refund(refund))

    async def _find_refund(self, refund: Refund) -> RefundSighting | None:
        made = await self._stripe.refunds.list_async({"payment_intent": refund.charge_reference, "limit": 100})
        async for each in made.auto_paging_iter():
            found = refunds.sighting(each)
            if (found.tenant_id, found.refund_id) == (refund.tenant_id, refund.refund_id):
                return found
        return None

    async def fetch_refund(self, reference: str) -> RefundSighting | None:
        found = await self._found(self._stripe.refunds.retrieve_async(reference))
        return None if found is None else refunds.sighting(found)

    def events(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Event]:
        header, cause = headers.get("stripe-signature"), ""
        for secret in self._webhook_secrets:
            try:
                stripe.WebhookSignature.verify_header(body, header, secret, SIGNATURE_TOLERANCE_SECONDS)
            except Exception as error:  # noqa: BLE001 whatever a forger can make it raise
                cause = type(error).__name__
            else:
                return [events.read(body, live=self._live)]
        raise SignatureRefused(cause)

    async def list_events(self, since: datetime) -> AsyncIterator[Event]:
        listed = await self._answer(
            self._stripe.events.list_async({"created": {"gte": int(since.timestamp())}, "limit": 100})
        )
        try:
            async for event in listed.auto_paging_iter():
                yield events.listed(event, live=self._live)
        except stripe.StripeError as error:
            raise errors.unavailable(error) from error

    async def list_records(self, since: datetime, until: datetime) -> AsyncIterator[Sighting | RefundSighting]:
        begin, end = int(since.timestamp()), int(until.timestamp())
        intents = await self._answer(
            self._stripe.payment_intents.list_async({"created": {"gte": begin, "lt": end}, "limit": 100})
        )
        refunded = await self._answer(
            self._stripe.refunds.list_async({"created": {"gte": begin, "lt": end}, "limit": 100})
        )
        try:
            async for intent in intents.auto_paging_iter():
                yield charges.sighting(intent)
            async for refund in refunded.auto_paging_iter():
                yield refunds.sighting(refund)
        except stripe.StripeError as error:
            raise errors.unavailable(error) from error

    async def list_payouts(self, since: datetime, until: datetime, reports: Sequence[bytes]) -> AsyncIterator[Payout]:
        begin, end = int(since.timestamp()), int(until.timestamp())
        made = await self._answer(self._stripe.payouts.list_async({"created": {"gte": begin, "lt": end}, "limit": 100}))
        try:
            async for payout in made.auto_paging_iter():
                parts = await self._stripe.balance_transactions.list_async(
                    {"payout": payout.id, "limit": 100, "expand": ["data.source"]}
                )
                items = [
                    settlement.item(each)
                    async for each in parts.auto_paging_iter()
                    if each.reporting_category not in settlement.PAYOUT
                ]
                currency = payout.currency.upper()
                yield Payout(payout.id, STRIPE.amount(payout.amount, currency), currency, items)
        except stripe.StripeError as error:
            raise errors.unavailable(error) from error

    async def sight(self, event: Event) -> Sighting | RefundSighting | None:
        if event.subject is Subject.REFUND:
            return await self.fetch_refund(event.reference)
        return await self.fetch(event.reference)

    async def _answer(self, call: Awaitable[T]) -> T:
        try:
            return await self._connection.within_timeout(call)
        except (stripe.StripeError, TimeoutError) as error:
            raise errors.unavailable(error) from error


def _label(method: stripe.PaymentMethod) -> str:
    if card := getattr(method, "card", None):
        return f"{card.brand} ending in {card.last4}"
    if account := getattr(method, "us_bank_account", None):
        return f"{account.bank_name or 'bank account'} ending in {account.last4}"
    return method.type.replace("_", " ")
