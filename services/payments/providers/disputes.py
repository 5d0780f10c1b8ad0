"""What events say about money that is taken back: the three processors agree on nothing here but that it happens."""

import json
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from services.payments.domain.dispute import DisputeState, Stage
from services.payments.providers.amounts import ADYEN, STRIPE

_STRIPE = {"won": Stage.WON, "warning_closed": Stage.WON, "lost": Stage.LOST}


class AdyenCode(StrEnum):
    NOTIFICATION_OF_CHARGEBACK = "NOTIFICATION_OF_CHARGEBACK"
    CHARGEBACK = "CHARGEBACK"
    SECOND_CHARGEBACK = "SECOND_CHARGEBACK"
    CAPTURE_FAILED = "CAPTURE_FAILED"
    CHARGEBACK_REVERSED = "CHARGEBACK_REVERSED"
    PREARBITRATION_WON = "PREARBITRATION_WON"
    PREARBITRATION_LOST = "PREARBITRATION_LOST"


_ADYEN: dict[str, Stage] = {
    AdyenCode.NOTIFICATION_OF_CHARGEBACK: Stage.OPEN,
    AdyenCode.CHARGEBACK: Stage.LOST,
    AdyenCode.CAPTURE_FAILED: Stage.LOST,
    AdyenCode.CHARGEBACK_REVERSED: Stage.WON,
    AdyenCode.SECOND_CHARGEBACK: Stage.LOST_AGAIN,
    AdyenCode.PREARBITRATION_LOST: Stage.LOST_AGAIN,
    AdyenCode.PREARBITRATION_WON: Stage.WON_AGAIN,
}
_GOCARDLESS = {
    "payments.charged_back": Stage.LOST,
    "payments.late_failure_settled": Stage.LOST,
    "payments.chargeback_cancelled": Stage.WON,
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

    stage: Stage
    code: str
    amount: Decimal | None
    currency: str

    @property
    def state(self) -> DisputeState:
        return self.stage.state


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
    stage = _STRIPE.get(dispute["status"], Stage.OPEN)
    if stage is Stage.OPEN and kind == "charge.dispute.funds_withdrawn":
        stage = Stage.LOST
    return Told(stage, dispute["reason"], STRIPE.amount(dispute["amount"], currency), currency)
