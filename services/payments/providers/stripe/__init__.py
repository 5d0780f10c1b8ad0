"""Stripe, through its official SDK.

A charge is one payment intent, made and confirmed off session in one request. Facts about the API are in the SDK's
version: stripe 16.1, API 2026-10-28.endive.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import httpx
import stripe

from services.payments.domain.attempt import (
    Declined,
    NotMade,
    Outcome,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
)
from services.payments.providers import (
    Charge,
    Event,
    MethodRefused,
    ProcessorUnavailable,
    Refund,
    RefundSighting,
    SavedMethod,
    Sighting,
    SignatureRefused,
    Subject,
)
from services.payments.providers.stripe import refunds
from services.payments.providers.stripe_amounts import AmountRefused, from_stripe, to_stripe

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
MAX_NETWORK_RETRIES = 2
SIGNATURE_TOLERANCE_SECONDS = 300
CLOCK_SKEW = timedelta(minutes=10)

CHARGE_EVENTS = frozenset(
    "payment_intent." + change
    for change in ("succeeded", "payment_failed", "processing", "requires_action", "canceled")
)
"""One family of events owns a charge's state; charge.* tell the same changes again."""
REFUND_EVENTS = frozenset({"refund.created", "refund.updated", "refund.failed"})

ACCOUNT_REJECTED = "account_rejected", "Stripe does not accept the key of this processor account"
_AUTHENTICATION = "authentication_required"
_BUSY = frozenset({"lock_timeout", "rate_limit", "idempotency_key_in_use"})


@dataclass(frozen=True, slots=True)
class StripeCredentials:
    secret_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


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

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]


class StripeAccount:
    """A Processor."""

    def __init__(self, connection: Stripe, credentials: StripeCredentials) -> None:
        self._connection = connection
        self._webhook_secret = credentials.webhook_secret
        self._live = credentials.secret_key.startswith(("sk_live_", "rk_live_"))
        self._stripe = connection.client(credentials.secret_key).v1

    async def create_customer(self, tenant_id: str, customer_id: str, key: str) -> str | MethodRefused:
        call = self._stripe.customers.create_async(
            {"metadata": {"tenant_id": tenant_id, "customer_id": customer_id}},
            {"idempotency_key": key},
        )
        try:
            return (await self._connection.within_timeout(call)).id
        except (stripe.StripeError, TimeoutError) as error:
            return _method_refused(error)

    async def attach(self, customer_reference: str, token: str, key: str) -> SavedMethod | MethodRefused:
        call = self._stripe.payment_methods.attach_async(
            token, {"customer": customer_reference}, {"idempotency_key": key}
        )
        try:
            method = await self._connection.within_timeout(call)
        except (stripe.StripeError, TimeoutError) as error:
            return _method_refused(error)
        return SavedMethod(method.id, _label(method))

    async def charge(self, charge: Charge) -> Outcome:
        try:
            parameters = _parameters(charge)
        except AmountRefused as error:
            return NotMade("amount_not_representable", str(error))
        call = self._stripe.payment_intents.create_async(parameters, {"idempotency_key": charge.idempotency_key})
        try:
            return _outcome(await self._connection.within_timeout(call))
        except (stripe.StripeError, TimeoutError) as error:
            return _outcome_of_error(error)

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
            found = _sighting(intent)
            made_by = found.tenant_id, found.payment_id, found.number
            if made_by == (charge.tenant_id, charge.payment_id, charge.number):
                return found
        return None

    async def fetch(self, reference: str) -> Sighting | None:
        intent = await self._found(self._stripe.payment_intents.retrieve_async(reference))
        return None if intent is None else _sighting(intent)

    async def _found(self, call: Awaitable[T]) -> T | None:
        """None for a 404."""
        try:
            return await self._connection.within_timeout(call)
        except (stripe.StripeError, TimeoutError) as error:
            if isinstance(error, stripe.InvalidRequestError) and error.http_status == 404:
                return None
            raise _unavailable(error) from error

    async def cancel(self, reference: str) -> Sighting | None:
        call = self._stripe.payment_intents.cancel_async(reference, {"cancellation_reason": "abandoned"})
        try:
            return _sighting(await self._connection.within_timeout(call))
        except (stripe.StripeError, TimeoutError) as error:
            if isinstance(error, stripe.InvalidRequestError):  # it is past canceling, or has been canceled
                return await self.fetch(reference)
            raise _unavailable(error) from error

    async def refund(self, refund: Refund) -> Outcome:
        try:
            amount = to_stripe(refund.amount)
        except AmountRefused as error:
            return NotMade("amount_not_representable", str(error))
        call = self._stripe.refunds.create_async(
            refunds.parameters(refund, amount), {"idempotency_key": refund.idempotency_key}
        )
        try:
            return refunds.outcome(await self._connection.within_timeout(call))
        except (stripe.StripeError, TimeoutError) as error:
            return _outcome_of_error(error)

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

    def event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        header = headers.get("stripe-signature")
        try:
            stripe.WebhookSignature.verify_header(body, header, self._webhook_secret, SIGNATURE_TOLERANCE_SECONDS)
        except Exception as error:
            raise SignatureRefused(type(error).__name__) from error
        return _event(body, self._live)

    async def _answer(self, call: Awaitable[T]) -> T:
        try:
            return await self._connection.within_timeout(call)
        except (stripe.StripeError, TimeoutError) as error:
            raise _unavailable(error) from error


def _parameters(charge: Charge) -> "PaymentIntentCreateParams":
    return {
        "amount": to_stripe(charge.amount),
        "currency": charge.amount.currency.lower(),
        "customer": charge.customer_reference,
        "payment_method": charge.method_reference,
        "off_session": True,
        "confirm": True,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "description": f"Invoice {charge.invoice_number}",
        "metadata": {
            "tenant_id": charge.tenant_id,
            "invoice_id": charge.invoice_id,
            "payment_id": charge.payment_id,
            "attempt": str(charge.number),
        },
    }


def _sighting(intent: stripe.PaymentIntent) -> Sighting:
    metadata = intent.metadata.to_dict() if getattr(intent, "metadata", None) else {}
    number = str(metadata.get("attempt", ""))
    return Sighting(
        reference=intent.id,
        tenant_id=str(metadata.get("tenant_id", "")),
        payment_id=str(metadata.get("payment_id", "")),
        number=int(number) if number.isascii() and number.isdigit() else 0,
        amount=from_stripe(intent.amount, intent.currency.upper()),
        currency=intent.currency.upper(),
        outcome=_outcome(intent),
    )


def _outcome(intent: stripe.PaymentIntent) -> Outcome:
    error = getattr(intent, "last_payment_error", None)
    match intent.status:
        case "succeeded":
            return Succeeded(intent.id)
        case "processing":
            return Pending(intent.id)
        case "requires_action":
            return RequiresAction(intent.id, _AUTHENTICATION, "The customer must authenticate the payment.")
        case "canceled":
            return Declined(intent.id, "canceled", "The charge was canceled before it succeeded.")
        case "requires_payment_method" if error is not None:
            return _refused(intent.id, error)
    return Unknown(f"payment intent in {intent.status}")


def _refused(reference: str, error: object) -> Outcome:
    """`error` has a code, a decline_code and a message; what Stripe leaves out is no attribute at all."""
    codes = [code for name in ("decline_code", "code") if (code := getattr(error, name, None))]
    message = getattr(error, "message", None) or "The charge was declined."
    if reference and _AUTHENTICATION in codes:
        return RequiresAction(reference, codes[0], message)
    return Declined(reference, codes[0] if codes else "declined", message)


def _outcome_of_error(error: stripe.StripeError | TimeoutError) -> Outcome:
    if isinstance(error, stripe.CardError):
        intent = getattr(error.error, "payment_intent", None)
        return _refused(intent.id if intent else "", error.error)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return NotMade(*ACCOUNT_REJECTED)
    if _is_refusal(error):
        return NotMade(_code(error), _sentence(error))
    unavailable = _unavailable(error)
    return Unknown(str(unavailable), unavailable.repeats)


def _method_refused(error: stripe.StripeError | TimeoutError) -> MethodRefused:
    """Raises ProcessorUnavailable where the error is no refusal."""
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return MethodRefused(*ACCOUNT_REJECTED)
    if _is_refusal(error):
        return MethodRefused(_code(error), _sentence(error))
    raise _unavailable(error) from error


def _is_refusal(error: stripe.StripeError | TimeoutError) -> bool:
    """Whether Stripe looked at the request and did not carry it out, for a reason that stays."""
    return isinstance(error, stripe.CardError | stripe.InvalidRequestError) and _code(error) not in _BUSY


def _unavailable(error: stripe.StripeError | TimeoutError) -> ProcessorUnavailable:
    if isinstance(error, TimeoutError):
        return ProcessorUnavailable("Stripe did not answer in time")
    replayed = (error.headers or {}).get("idempotent-replayed") == "true"
    repeats = isinstance(error, stripe.IdempotencyError) or (replayed and (error.http_status or 0) >= 500)
    return ProcessorUnavailable(f"{type(error).__name__} {error.http_status or ''}".strip(), repeats=repeats)


def _code(error: stripe.StripeError | TimeoutError) -> str:
    """Not every class of error has its code as an attribute; the body always has it."""
    body = getattr(error, "error", None)
    return str(getattr(body, "decline_code", None) or getattr(body, "code", None) or "invalid_request")


def _sentence(error: stripe.StripeError | TimeoutError) -> str:
    return str((isinstance(error, stripe.StripeError) and error.user_message) or "Stripe refused the request.")


def _label(method: stripe.PaymentMethod) -> str:
    if card := getattr(method, "card", None):
        return f"{card.brand} ending in {card.last4}"
    if account := getattr(method, "us_bank_account", None):
        return f"{account.bank_name or 'bank account'} ending in {account.last4}"
    return method.type.replace("_", " ")


def _event(body: bytes, live: bool) -> Event:
    """Signed, so Stripe sent it; what cannot be read is kept all the same, under a name made of its contents."""
    try:
        read = json.loads(body)
        identity, kind = _text(read["id"]), _text(read["type"])
        subject = _subject(kind)
        reference = "" if subject is Subject.OTHER else _text(read["data"]["object"]["id"])
        error = "" if bool(read.get("livemode")) == live else "livemode is not that of the account's key"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as malformed:
        return Event(
            "sha256_" + hashlib.sha256(body).hexdigest(),
            "",
            Subject.OTHER,
            "",
            f"malformed: {type(malformed).__name__}",
        )
    return Event(identity, kind, subject, reference, error)


def _subject(kind: str) -> Subject:
    if kind in CHARGE_EVENTS:
        return Subject.CHARGE
    return Subject.REFUND if kind in REFUND_EVENTS else Subject.OTHER


def _text(value: object) -> str:
    """Raises ValueError for what a text column does not take."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(value)
    value.encode()
    return value
