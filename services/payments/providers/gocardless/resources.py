"""GoCardless's payments and refunds as it shows them, and what their states mean. Metadata has at most three keys."""

from typing import Any

from services.payments.domain.attempt import Declined, Outcome, Pending, RequiresAction, Succeeded, Unknown
from services.payments.providers import Charge, PaymentPage, Refund, RefundSighting, Sighting
from services.payments.providers.amounts import GOCARDLESS


def payment_parameters(charge: Charge) -> dict[str, Any]:
    """Raises AmountRefused. GoCardless makes no retries of its own: they are ours."""
    return {
        "amount": GOCARDLESS.of(charge.amount),
        "currency": charge.amount.currency,
        "description": f"Invoice {charge.invoice_number}",
        "retry_if_possible": False,
        "metadata": made_by(charge),
        "links": {"mandate": charge.method_reference},
    }


def made_by(charge: Charge | PaymentPage) -> dict[str, str]:
    """The metadata that says which attempt a payment is."""
    return {"tenant_id": charge.tenant_id, "payment_id": charge.payment_id, "attempt": str(charge.number)}


def refund_parameters(refund: Refund, amount: int, refunded_before: int) -> dict[str, Any]:
    """The amounts in GoCardless's units. It refuses when something else of the payment was refunded meanwhile."""
    return {
        "amount": amount,
        "total_amount_confirmation": refunded_before + amount,
        "metadata": {"tenant_id": refund.tenant_id, "refund_id": refund.refund_id},
        "links": {"payment": refund.charge_reference},
    }


def sighting(payment: dict[str, Any], cause: tuple[str, str] = ("failed", "The bank did not pay.")) -> Sighting:
    """`cause` is why it failed, if it did."""
    metadata = payment.get("metadata") or {}
    number = str(metadata.get("attempt", ""))
    return Sighting(
        reference=payment["id"],
        tenant_id=str(metadata.get("tenant_id", "")),
        payment_id=str(metadata.get("payment_id", "")),
        number=int(number) if number.isascii() and number.isdigit() else 0,
        amount=GOCARDLESS.amount(payment["amount"], payment["currency"]),
        currency=payment["currency"],
        outcome=_payment_outcome(payment["id"], payment["status"], cause),
    )


def _payment_outcome(reference: str, status: str, cause: tuple[str, str]) -> Outcome:
    match status:
        case "pending_submission" | "submitted":
            return Pending(reference)
        case "confirmed" | "paid_out":
            return Succeeded(reference)
        case "pending_customer_approval":
            return RequiresAction(reference, status, "The customer must approve the payment.")
        case "cancelled":
            return Declined(reference, "canceled", "The charge was canceled before it succeeded.")
        case "customer_approval_denied":
            return Declined(reference, status, "The customer did not approve the payment.")
        case "failed" | "charged_back":
            return Declined(reference, *cause)
    return Unknown(f"payment in {status}")


def refund_sighting(refund: dict[str, Any]) -> RefundSighting:
    metadata = refund.get("metadata") or {}
    return RefundSighting(
        reference=refund["id"],
        tenant_id=str(metadata.get("tenant_id", "")),
        refund_id=str(metadata.get("refund_id", "")),
        amount=GOCARDLESS.amount(refund["amount"], refund["currency"]),
        currency=refund["currency"],
        outcome=_refund_outcome(refund["id"], refund["status"]),
    )


def _refund_outcome(reference: str, status: str) -> Outcome:
    match status:
        case "created" | "pending_submission" | "submitted":
            return Pending(reference)
        case "paid":
            return Succeeded(reference)
        case "cancelled" | "bounced" | "funds_returned":
            return Declined(reference, status, "The money could not be given back this way.")
    return Unknown(f"refund in {status}")
