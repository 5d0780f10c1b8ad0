"""What events say about money that is taken back: the three processors agree on nothing here but that it happens."""

import json
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from services.payments.domain.dispute import DisputeState
from services.payments.providers.amounts import ADYEN, STRIPE

_STRIPE = {"won": DisputeState.WON, "warning_closed": DisputeState.WON, "lost": DisputeState.LOST}


class AdyenCode(StrEnum):
    NOTIFICATION_OF_CHARGEBACK = "NOTIFICATION_OF_CHARGEBACK"
    CHARGEBACK = "CHARGEBACK"
    SECOND_CHARGEBACK = "SECOND_CHARGEBACK"
    CAPTURE_FAILED = "CAPTURE_FAILED"
    CHARGEBACK_REVERSED = "CHARGEBACK_REVERSED"
    PREARBITRATION_WON = "PREARBITRATION_WON"


_ADYEN: dict[str, DisputeState] = {
    AdyenCode.NOTIFICATION_OF_CHARGEBACK: DisputeState.OPEN,
    AdyenCode.CHARGEBACK: DisputeState.LOST,
    AdyenCode.SECOND_CHARGEBACK: DisputeState.LOST,
    AdyenCode.CAPTURE_FAILED: DisputeState.LOST,
    AdyenCode.CHARGEBACK_REVERSED: DisputeState.WON,
    AdyenCode.PREARBITRATION_WON: DisputeState.WON,
}
_GOCARDLESS = {
    "payments.charged_back": DisputeState.LOST,
    "payments.late_failure_settled": DisputeState.LOST,
    "payments.chargeback_cancelled": DisputeState.WON,
}

TYPES = frozenset(
    {
        *_ADYEN,
        *_GOCARDLESS,
        *(f"charge.dispute.{change}" for change in ("created", "updated", "closed")),
        *(f"charge.dispute.funds_{change}" for change in ("withdrawn", "reinstated")),
    }
)
"""The types of events that are about disputes, of all processors: no two have one in common."""


@dataclass(frozen=True, slots=True)
class Told:
    """`amount` is in major units of `currency`; None where the event has none, and it is all of the charge."""

    state: DisputeState
    code: str
    amount: Decimal | None
    currency: str


def told(kind: str, body: bytes) -> Told:
    """By an event of TYPES, which its processor's module has read."""
    event: dict[str, Any] = json.loads(body)
    if kind in _ADYEN:
        amount = event["amount"]
        code = event.get("additionalData", {}).get("chargebackReasonCode") or event.get("reason") or kind.lower()
        return Told(_ADYEN[kind], code, ADYEN.amount(amount["value"], amount["currency"]), amount["currency"])
    if kind in _GOCARDLESS:
        return Told(_GOCARDLESS[kind], event.get("details", {}).get("cause") or kind, None, "")
    dispute = event["data"]["object"]
    currency = dispute["currency"].upper()
    state = _STRIPE.get(dispute["status"], DisputeState.OPEN)
    if state is DisputeState.OPEN and kind == "charge.dispute.funds_withdrawn":
        state = DisputeState.LOST
    return Told(state, dispute["reason"], STRIPE.amount(dispute["amount"], currency), currency)
