"""What GoCardless's webhooks are about: up to 250 events in one, each processed by itself."""

import json
from collections.abc import Sequence
from typing import Any

from gocardless_pro import webhooks

from services.payments.providers import Event, SignatureRefused, Subject
from services.payments.providers.disputes import TYPES
from services.payments.providers.reading import MALFORMED, text_in, unreadable

CUSTOMER = "customer_reference"
"""The metadata of a billing request that says whose mandate it makes."""
_CHARGE = frozenset(
    {
        "payments.cancelled",
        "payments.confirmed",
        "payments.customer_approval_denied",
        "payments.customer_approval_granted",
        "payments.failed",
        "payments.resubmission_requested",
        "payments.submitted",
    }
)
_METHOD = "billing_requests.fulfilled"


def read(body: bytes, signature: str | None, secrets: Sequence[str]) -> Sequence[Event]:
    """Raises SignatureRefused."""
    cause = ""
    for secret in secrets:
        try:
            webhooks.parse(body, secret, signature)
        except Exception as error:  # noqa: BLE001 whatever a forger can make it raise
            cause = type(error).__name__
        else:
            return [told(event) for event in json.loads(body)["events"]]
    raise SignatureRefused(cause)


def told(event: dict[str, Any]) -> Event:
    body = json.dumps(event).encode()
    try:
        kind = f"{text_in(event['resource_type'])}.{text_in(event['action'])}"
        about, reference, customer = _about(kind, event)
        return Event(text_in(event["id"]), kind, about, reference, body, customer)
    except MALFORMED as error:
        return unreadable(body, error)


def _about(kind: str, event: dict[str, Any]) -> tuple[Subject, str, str]:
    links = event["links"]
    if kind in _CHARGE:
        return Subject.CHARGE, text_in(links["payment"]), ""
    if event["resource_type"] == "refunds":
        return Subject.REFUND, text_in(links["refund"]), ""
    if kind == _METHOD and "mandate_request_mandate" in links:
        customer = (event.get("resource_metadata") or {}).get(CUSTOMER)
        if customer:
            return Subject.METHOD, text_in(links["mandate_request_mandate"]), text_in(customer)
    if kind in TYPES:
        return Subject.DISPUTE, text_in(links["payment"]), ""
    return Subject.OTHER, "", ""
