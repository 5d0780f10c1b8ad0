"""What is done where dunning has come to its end in vain."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from services.invoicing.domain.lifecycle import ended
from services.invoicing.domain.pausing import paused
from services.invoicing.domain.phase import UnusedFee
from services.invoicing.domain.subscription import Subscription


class Action(StrEnum):
    CANCEL = "cancel"
    DOWNGRADE = "downgrade"
    SUSPEND = "suspend"
    WRITE_OFF = "write_off"


@dataclass(frozen=True, slots=True)
class FinalAction:
    """`plan_code` is what a downgrade leads to, else ""."""

    tenant_id: str
    campaign_id: str
    invoice_id: str
    action: Action
    plan_code: str


Change: TypeAlias = Callable[[Subscription, datetime], Subscription]


def canceled(found: Subscription, now: datetime) -> Subscription:
    """Ended now, and billed up to now. Days of a fee that is not paid are not given back either."""
    return ended(found, max(now, found.start_time), UnusedFee.KEEP)


def suspended(found: Subscription, now: datetime) -> Subscription:
    """Paused from now on until somebody resumes it: no fee is charged, and usage still is."""
    return paused(found, max(now, found.start_time), None, UnusedFee.KEEP, now)
