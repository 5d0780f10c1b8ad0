"""Charges at Adyen: authorisations that are captured by themselves, known again by their reference."""

from typing import Any

from services.payments.domain.attempt import Declined, Outcome, Pending, Succeeded, Unknown
from services.payments.providers import Charge, PaymentPage
from services.payments.providers.adyen.refusals import refused
from services.payments.providers.amounts import ADYEN

MODEL = "UnscheduledCardOnFile"
"""Amounts and times vary: what the customer used is charged."""
_ON_SESSION = frozenset({"RedirectShopper", "IdentifyShopper", "ChallengeShopper"})


def parameters(charge: Charge, merchant_account: str) -> dict[str, Any]:
    """Raises AmountRefused."""
    kind, _, token = charge.method_reference.partition("/")
    return {
        "merchantAccount": merchant_account,
        "amount": {"currency": charge.amount.currency, "value": ADYEN.of(charge.amount)},
        "reference": reference_of(charge),
        "merchantOrderReference": charge.invoice_id,
        "paymentMethod": {"type": kind, "storedPaymentMethodId": token},
        "shopperReference": charge.customer_reference,
        "shopperInteraction": "ContAuth",
        "recurringProcessingModel": MODEL,
    }


def reference_of(charge: Charge | PaymentPage) -> str:
    return f"{charge.payment_id}/{charge.number}"


def made_by(reference: str) -> tuple[str, int]:
    """The payment and the attempt that a merchant reference names; "" and 0 where it is not of Weir."""
    payment_id, _, number = reference.partition("/")
    if payment_id.startswith("pay_") and number.isascii() and number.isdigit():
        return payment_id, int(number)
    return "", 0


def outcome(answer: dict[str, Any]) -> Outcome:
    reference, result = answer.get("pspReference", ""), answer.get("resultCode", "")
    match result:
        case "Authorised":
            return Succeeded(reference)
        case "Received" | "Pending":
            return Pending(reference)
        case "Refused" | "Cancelled" | "Error":
            code = answer.get("refusalReasonCode") or result.lower()
            reason = answer.get("refusalReason") or "The charge was declined."
            return refused(reference, code, reason, answer.get("additionalData") or {})
        case _ if result in _ON_SESSION:  # only we could bring it to its end, and do not
            return Declined(reference, "authentication_required", "The customer must authenticate the payment.")
    return Unknown(f"payment with result {result or 'missing'}")
