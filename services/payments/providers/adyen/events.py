"""What Adyen's webhooks say. Adyen shows neither payments nor refunds, so what is signed in them counts.

The signature of a standard notification covers its references, amount, event code and success, and nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from Adyen.util import is_valid_hmac_notification, is_valid_hmac_payload

from services.payments.domain.attempt import Declined, Outcome, Succeeded
from services.payments.providers import Event, RefundSighting, Sighting, SignatureRefused, Subject
from services.payments.providers.adyen import charges
from services.payments.providers.adyen.refusals import code_of, refused
from services.payments.providers.amounts import ADYEN
from services.payments.providers.disputes import TYPES
from services.payments.providers.reading import MALFORMED, text_in, unreadable


class Code(StrEnum):
    """The event codes that are looked at."""

    AUTHORISATION = "AUTHORISATION"
    CANCELLATION = "CANCELLATION"
    TECHNICAL_CANCEL = "TECHNICAL_CANCEL"
    REFUND = "REFUND"
    REFUND_FAILED = "REFUND_FAILED"
    REFUNDED_REVERSED = "REFUNDED_REVERSED"


_CANCELED = frozenset({Code.CANCELLATION, Code.TECHNICAL_CANCEL})
_REFUND = frozenset({Code.REFUND, Code.REFUND_FAILED, Code.REFUNDED_REVERSED})
_TOKENS = frozenset({"recurring.token.created", "recurring.token.alreadyExisting"})


def read(body: bytes, headers: Mapping[str, str], keys: Sequence[str], merchant_account: str) -> Sequence[Event]:
    """Every item must be signed with one of `keys`. Raises SignatureRefused."""
    try:
        told = json.loads(body)
        if "hmacsignature" in headers:
            _verify(any(is_valid_hmac_payload(headers["hmacsignature"], key, body) is True for key in keys))
            return [_token(body, told, merchant_account)]
        items = [item["NotificationRequestItem"] for item in told["notificationItems"]]
        for item in items:
            _verify(any(is_valid_hmac_notification(item, key) is True for key in keys))
    except MALFORMED as error:
        raise SignatureRefused(type(error).__name__) from error
    _verify(bool(items))
    return [_notification(item, merchant_account) for item in items]


def _verify(proven: bool) -> None:
    if not proven:
        raise SignatureRefused("no key of the account made the signature")


def _notification(item: dict[str, Any], merchant_account: str) -> Event:
    """Known by code, reference and success: that is what Adyen's repeats have in common."""
    body = json.dumps(item).encode()
    try:
        code, reference, success = text_in(item["eventCode"]), text_in(item["pspReference"]), text_in(item["success"])
        subject, about = _about(item, code, reference, succeeded=success == "true")
        error = _problem(item, code, merchant_account, succeeded=success == "true")
        return Event(f"{code}:{reference}:{success}", code, subject, about, body, error=error)
    except MALFORMED as error:
        return unreadable(body, error)


def _about(item: dict[str, Any], code: str, reference: str, *, succeeded: bool) -> tuple[Subject, str]:
    """A failed try on a payment page is no news of the charge: the customer may try again there."""
    by_us = bool(charges.made_by(item["merchantReference"])[0])
    if code == Code.AUTHORISATION and by_us and (succeeded or "paymentLinkId" not in item.get("additionalData", {})):
        return Subject.CHARGE, reference
    if code in _CANCELED and by_us and succeeded:
        return Subject.CHARGE, text_in(item["originalReference"])
    if code in _REFUND:
        return Subject.REFUND, reference
    if code in TYPES and succeeded:
        return Subject.DISPUTE, text_in(item["originalReference"])
    return Subject.OTHER, ""


def _problem(item: dict[str, Any], code: str, merchant_account: str, *, succeeded: bool) -> str:
    if item["merchantAccountCode"] != merchant_account:
        return "merchantAccountCode is not that of the account"
    if code == Code.TECHNICAL_CANCEL and not succeeded:
        return "Adyen did not cancel the charge whose outcome is unknown"
    return ""


def _token(body: bytes, told: dict[str, Any], merchant_account: str) -> Event:
    try:
        data, kind = told["data"], text_in(told["type"])
        error = "" if data["merchantAccount"] == merchant_account else "merchantAccount is not that of the account"
        if kind not in _TOKENS:
            return Event(text_in(told["eventId"]), kind, Subject.OTHER, "", body, error=error)
        token, shopper = text_in(data["storedPaymentMethodId"]), text_in(data["shopperReference"])
        return Event(text_in(told["eventId"]), kind, Subject.METHOD, token, body, shopper, error)
    except MALFORMED as error:
        return unreadable(body, error)


def sighting(event: Event) -> Sighting | RefundSighting:
    """For events about charges and refunds, which `read` has looked through."""
    item = json.loads(event.body)
    currency = item["amount"]["currency"]
    amount = ADYEN.amount(item["amount"]["value"], currency)
    if event.subject is Subject.REFUND:
        named = item["merchantReference"]
        refund_id = named if named.startswith("re_") else ""
        return RefundSighting(event.reference, "", refund_id, amount, currency, _refund_outcome(event, item))
    payment_id, number = charges.made_by(item["merchantReference"])
    return Sighting(event.reference, "", payment_id, number, amount, currency, _charge_outcome(event, item))


def _charge_outcome(event: Event, item: dict[str, Any]) -> Outcome:
    if event.type in _CANCELED:
        return Declined(event.reference, "canceled", "The charge was canceled before it succeeded.")
    if item["success"] == "true":
        return Succeeded(event.reference)
    reason = item.get("reason") or "The charge was declined."
    return refused(event.reference, code_of(reason), reason, {})  # what else is told there, nobody has signed


def _refund_outcome(event: Event, item: dict[str, Any]) -> Outcome:
    if event.type == Code.REFUND and item["success"] == "true":
        return Succeeded(event.reference)
    return Declined(event.reference, event.type.lower(), item.get("reason") or "The money could not be given back.")
