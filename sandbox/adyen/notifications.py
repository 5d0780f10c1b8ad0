"""Adyen's webhooks: standard notifications, signed within, and news of tokens, signed in a header."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from sandbox.accounts import Account
from sandbox.state import Json

_SIGNED = "pspReference", "originalReference", "merchantAccountCode", "merchantReference"


def notify(
    account: Account,
    code: str,
    payment: Json,
    *,
    success: bool,
    reason: str = "",
    link: str = "",
    modification: Json | None = None,
) -> None:
    """About a payment, or a modification of it, which has an id, and may have a reference and an amount of its own.

    `link` is the payment link on which the payment was made.
    """
    changed = modification or {}
    item: Json = {
        "amount": changed.get("amount", payment["amount"]),
        "eventCode": code,
        "eventDate": _time(account.now),
        "merchantAccountCode": payment["merchantAccount"],
        "merchantReference": changed.get("reference", payment["reference"]),
        "paymentMethod": payment["brand"],
        "pspReference": changed.get("id", payment["id"]),
        "reason": reason,
        "success": "true" if success else "false",
    }
    if modification is not None:
        item["originalReference"] = payment["id"]

    def signed(secret: str) -> Json:
        additional = {"hmacSignature": signature(item, secret)} | ({"paymentLinkId": link} if link else {})
        return {
            "live": "false",
            "notificationItems": [{"NotificationRequestItem": {"additionalData": additional, **item}}],
        }

    event_id = f"{code}:{item['pspReference']}:{item['success']}"
    if account.find("event", event_id) is None:
        account.create("event", {"id": event_id, "type": code})
    account.deliver(event_id, signed)


def notify_token(account: Account, merchant_account: str, stored: Json, event_id: str) -> None:
    body = {
        "createdAt": _time(account.now),
        "eventId": event_id,
        "environment": "test",
        "type": "recurring.token.created",
        "data": {
            "merchantAccount": merchant_account,
            "operation": "created",
            "shopperReference": stored["shopperReference"],
            "storedPaymentMethodId": stored["id"],
            "type": stored["brand"],
        },
    }
    account.create("event", {"id": event_id, "type": body["type"]})
    account.deliver(event_id, lambda secret: body)


def signature(item: Json, secret: str) -> str:
    values = [item.get(name, "") for name in _SIGNED]
    values += [item["amount"]["value"], item["amount"]["currency"], item["eventCode"], item["success"]]
    return _mac(secret, ":".join(map(str, values)).encode())


def sign(secret: str, body: bytes, now: int) -> Mapping[str, str]:
    """The headers of a delivery; a standard notification has its signature inside."""
    return {} if b'"notificationItems"' in body else {"hmacsignature": _mac(secret, body), "protocol": "HmacSHA256"}


def _mac(secret: str, message: bytes) -> str:
    return base64.b64encode(hmac.new(bytes.fromhex(secret), message, hashlib.sha256).digest()).decode()


def _time(now: float) -> str:
    return datetime.fromtimestamp(int(now), UTC).isoformat()
