"""What Stripe's webhooks are about."""

import json

import stripe

from services.payments.providers import Event, Subject
from services.payments.providers.disputes import TYPES
from services.payments.providers.reading import MALFORMED, text_in, unreadable

CHARGE = frozenset(
    "payment_intent." + change
    for change in ("succeeded", "payment_failed", "processing", "requires_action", "canceled")
)
"""One family of events owns a charge's state; charge.* tell the same changes again."""
REFUND = frozenset({"refund.created", "refund.updated", "refund.failed"})
METHOD = "setup_intent.succeeded"


def read(body: bytes, *, live: bool) -> Event:
    """Signed, so Stripe sent it; what cannot be read is kept all the same."""
    try:
        told = json.loads(body)
        kind, subject = text_in(told["type"]), told["data"]["object"]
        about, reference, customer = _about(kind, subject)
        error = "" if bool(told.get("livemode")) == live else "livemode is not that of the account's key"
        return Event(text_in(told["id"]), kind, about, reference, body, customer, error)
    except MALFORMED as error:
        return unreadable(body, error)


def listed(event: stripe.Event, *, live: bool) -> Event:
    return read(str(event).encode(), live=live)


def _about(kind: str, subject: dict[str, object]) -> tuple[Subject, str, str]:
    if kind in CHARGE:
        return Subject.CHARGE, text_in(subject["id"]), ""
    if kind in REFUND:
        return Subject.REFUND, text_in(subject["id"]), ""
    if kind == METHOD and subject.get("customer"):
        return Subject.METHOD, text_in(subject["payment_method"]), text_in(subject["customer"])
    if kind in TYPES:
        return Subject.DISPUTE, text_in(subject["payment_intent"]), ""
    return Subject.OTHER, "", ""
