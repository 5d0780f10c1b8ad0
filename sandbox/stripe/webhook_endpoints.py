"""Where an account wants its events sent, and how they are signed."""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from sandbox.state import Json
from sandbox.stripe import errors, objects
from sandbox.stripe.account import Account
from sandbox.stripe.forms import merged_metadata


def sign(secret: str, body: bytes, now: int) -> Mapping[str, str]:
    """The headers of a delivery: HMAC-SHA256 over `{now}.{body}`."""
    signature = hmac.new(secret.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={now},v1={signature}", "User-Agent": "Stripe/1.0 (sandbox)"}


def create_endpoint(account: Account, params: Json) -> Json:
    """The only answer that tells the signing secret."""
    _check_url(params["url"])
    endpoint = objects.webhook_endpoint(params["url"], params["enabled_events"], account.now)
    endpoint = _changed(endpoint, params)
    secret = objects.new_id("whsec", 32)
    account.create(endpoint, {"secret": secret})
    return endpoint | {"secret": secret}


def update_endpoint(account: Account, params: Json) -> Json:
    endpoint = account.require("webhook_endpoint", params["webhook_endpoint"], "webhook_endpoint", in_path=True)
    if "url" in params:
        _check_url(params["url"])
    endpoint = _changed(endpoint, params)
    account.save(endpoint)
    return endpoint


def delete_endpoint(account: Account, params: Json) -> Json:
    endpoint = account.require("webhook_endpoint", params["webhook_endpoint"], "webhook_endpoint", in_path=True)
    account.delete(endpoint)
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def _changed(endpoint: Json, params: Json) -> Json:
    endpoint = endpoint | {
        field: params[field] for field in ("url", "enabled_events", "description") if field in params
    }
    if "metadata" in params:
        endpoint["metadata"] = merged_metadata(endpoint["metadata"], params["metadata"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    return endpoint


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise errors.refused("Invalid URL: an http or https URL with a host is needed.", "url", "url_invalid")
