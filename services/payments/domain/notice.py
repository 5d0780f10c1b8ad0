"""What a tenant is told by a signed post, after the Standard Webhooks specification.

    WAITING ──┬──> DELIVERED    answered with 2xx
              └──> FAILED       never, or the endpoint is gone; it can be asked for again

The signature is HMAC-SHA256 over id, timestamp and body, so that none of them can be changed and an old post can't be
sent again for a new one. The id of a notice stays the same whenever it is sent.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SECRET_PREFIX = "whsec_"  # noqa: S105 what every secret begins with
SECRET_BYTES = 32
PREVIOUS_SECRET_LIFE = timedelta(hours=24)
DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
"""Between tries, as the specification proposes; after the last it has failed."""
TYPES = frozenset({"dunning.begun", "dunning.reminder", "dunning.exhausted", "dunning.recovered", "dunning.stopped"})


class DeliveryState(StrEnum):
    WAITING = "WAITING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`types` are the notices that it gets, all if there are none."""

    tenant_id: str
    id: str
    url: str
    types: tuple[str, ...]
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """`data` is what the type's notices say."""

    serial: int
    type: str
    data: Mapping[str, str]
    create_time: datetime

    @property
    def id(self) -> str:
        return f"ntc_{self.serial}"

    @property
    def body(self) -> bytes:
        """The same whenever it is sent."""
        told = {"type": self.type, "timestamp": self.create_time.isoformat(), "data": dict(self.data)}
        return json.dumps(told, separators=(",", ":"), sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class Delivery:
    """Of a notice to an endpoint; `tries` are those so far."""

    endpoint: Endpoint
    notice: Notice
    state: DeliveryState
    tries: int
    error: str
    end_time: datetime | None


def new_secret(drawn: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(drawn).decode()


def headers(notice: Notice, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """One signature for each secret, so that a receiver may know either while it changes them."""
    seconds = int(now.timestamp())
    signed = [signature(secret, notice.id, seconds, notice.body) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": notice.id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signed),
    }


def signature(secret: str, notice_id: str, seconds: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.digest(key, f"{notice_id}.{seconds}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def retry_delay(tries: int) -> timedelta | None:
    """How long to wait after `tries` in vain; None: no longer."""
    return DELAYS[tries - 1] if tries <= len(DELAYS) else None
