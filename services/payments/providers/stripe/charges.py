"""Charges at Stripe: payment intents, found again by their metadata."""

from typing import TYPE_CHECKING

import stripe

from services.payments.domain.attempt import Declined, Outcome, Pending, RequiresAction, Succeeded, Unknown
from services.payments.providers import Charge, PaymentPage, Sighting
from services.payments.providers.amounts import STRIPE
from services.payments.providers.stripe import errors

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams


def parameters(charge: Charge) -> "PaymentIntentCreateParams":
    """Raises AmountRefused."""
    return {
        "amount": STRIPE.of(charge.amount),
        "currency": charge.amount.currency.lower(),
        "customer": charge.customer_reference,
        "payment_method": charge.method_reference,
        "off_session": True,
        "confirm": True,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "description": f"Invoice {charge.invoice_number}",
        "metadata": {**made_by(charge), "invoice_id": charge.invoice_id},
    }


def made_by(charge: Charge | PaymentPage) -> dict[str, str]:
    """The metadata that says which attempt a payment intent is."""
    return {"tenant_id": charge.tenant_id, "payment_id": charge.payment_id, "attempt": str(charge.number)}


def sighting(intent: stripe.PaymentIntent) -> Sighting:
    metadata = given.to_dict() if (given := getattr(intent, "metadata", None)) else {}
    number = str(metadata.get("attempt", ""))
    return Sighting(
        reference=intent.id,
        tenant_id=str(metadata.get("tenant_id", "")),
        payment_id=str(metadata.get("payment_id", "")),
        number=int(number) if number.isascii() and number.isdigit() else 0,
        amount=STRIPE.amount(intent.amount, intent.currency.upper()),
        currency=intent.currency.upper(),
        outcome=outcome(intent),
    )


def outcome(intent: stripe.PaymentIntent) -> Outcome:
    error = getattr(intent, "last_payment_error", None)
    match intent.status:
        case "succeeded":
            return Succeeded(intent.id)
        case "processing":
            return Pending(intent.id)
        case "requires_action":
            return RequiresAction(intent.id, errors.AUTHENTICATION, "The customer must authenticate the payment.")
        case "canceled":
            return Declined(intent.id, "canceled", "The charge was canceled before it succeeded.")
        case "requires_payment_method" if error is not None:
            return errors.declined(intent.id, error)
    return Unknown(f"payment intent in {intent.status}")
