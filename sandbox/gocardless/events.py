"""Events: listed, and sent in webhooks that are signed whole."""

import hashlib
import hmac
import secrets
import string
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.accounts import Account
from sandbox.gocardless.errors import not_found, usage
from sandbox.json_api import Call
from sandbox.state import Json, Query

DEFAULT_PAGE, MAX_PAGE = 50, 500
_ALPHABET = string.ascii_uppercase + string.digits


def new_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(14))


def time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def emit(account: Account, resource_type: str, action: str, links: Json, metadata: Json, **details: Any) -> None:
    """`details` are the event's, with GoCardless as its origin unless they say otherwise."""
    event: Json = {
        "id": new_id("EV"),
        "created_at": time(account.now),
        "resource_type": resource_type,
        "action": action,
        "links": links,
        "metadata": {},
        "resource_metadata": metadata,
        "details": {"origin": "gocardless", "cause": action, "description": "", **details},
    }
    account.create("event", event)
    webhook_id = new_id("WB")
    account.deliver(event["id"], lambda secret: {"events": [event], "meta": {"webhook_id": webhook_id}})


def sign(secret: str, body: bytes, now: int) -> Mapping[str, str]:
    return {"Webhook-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def page(account: Account, kind: str, envelope: str, call: Call, filters: Mapping[str, str]) -> Json:
    """A page, newest first. `filters` maps what the query may have to the field that it is about."""
    known = {"after", "before", "limit", "created_at[gte]", "created_at[lt]", *filters}
    if unknown := [name for name in call.query if name not in known]:
        raise usage(400, "invalid_filters", f"unknown filter {unknown[0]}")
    limit = int(call.query.get("limit", DEFAULT_PAGE))
    if not 1 <= limit <= MAX_PAGE:
        raise usage(400, "invalid_limit", f"limit must be between 1 and {MAX_PAGE}")
    since, until = (_seconds(call.query.get(f"created_at[{bound}]")) for bound in ("gte", "lt"))
    query = Query(
        filters={field: [call.query[name]] for name, field in filters.items() if name in call.query},
        limit=limit + 1,
        since=since or 0,
        until=2**62 if until is None else until - 1,
        older_than=call.query.get("after"),
        newer_than=call.query.get("before"),
    )
    found = [document.body for document in account.state.select(account.owner, kind, query)]
    more, shown = len(found) > limit, found[:limit]
    cursors = {"before": shown[0]["id"] if "after" in call.query and shown else None,
               "after": shown[-1]["id"] if more else None}  # fmt: skip
    return {envelope: shown, "meta": {"cursors": cursors, "limit": limit}}


def _seconds(time: str | None) -> int | None:
    return int(datetime.fromisoformat(time).timestamp()) if time else None


def list_events(account: Account, call: Call) -> Json:
    filters = {name: f"links.{name}" for name in ("payment", "mandate", "refund", "billing_request")}
    return page(account, "event", "events", call, {**filters, "action": "action", "resource_type": "resource_type"})


def get_event(account: Account, call: Call) -> Json:
    event = account.find("event", call.names["id"])
    if event is None:
        raise not_found()
    return {"events": event}
