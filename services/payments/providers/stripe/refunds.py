"""Refunds at Stripe: of payment intents, found again by their metadata."""

from typing import TYPE_CHECKING

import stripe

from services.payments.domain.attempt import Declined, Outcome, Pending, Succeeded, Unknown
from services.payments.providers import Refund, RefundSighting
from services.payments.providers.amounts import STRIPE

if TYPE_CHECKING:
    from stripe.params import RefundCreateParams


def parameters(refund: Refund, amount: int) -> "RefundCreateParams":
    """`amount` in Stripe's units."""
    return {
        "payment_intent": refund.charge_reference,
        "amount": amount,
        "reason": "requested_by_customer",
        "metadata": {"tenant_id": refund.tenant_id, "refund_id": refund.refund_id},
    }


def sighting(refund: stripe.Refund) -> RefundSighting:
    metadata = given.to_dict() if (given := getattr(refund, "metadata", None)) else {}
    currency = refund.currency.upper()
    return RefundSighting(
        reference=refund.id,
        tenant_id=str(metadata.get("tenant_id", "")),
        refund_id=str(metadata.get("refund_id", "")),
        amount=STRIPE.amount(refund.amount, currency),
        currency=currency,
        outcome=outcome(refund),
    )


def outcome(refund: stripe.Refund) -> Outcome:
    match refund.status:
        case "succeeded":
            return Succeeded(refund.id)
        case "pending" | "requires_action":  # the bank, or the customer who must say where the money goes
            return Pending(refund.id)
        case "failed" | "canceled":
            code = getattr(refund, "failure_reason", None) or refund.status
            return Declined(refund.id, code, "The money could not be given back this way.")
    return Unknown(f"refund in {refund.status}")
