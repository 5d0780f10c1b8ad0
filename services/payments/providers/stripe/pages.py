"""Stripe's own pages: Checkout sessions, which live at most a day."""

from typing import TYPE_CHECKING

from services.payments.providers import PaymentPage, SetupPage
from services.payments.providers.amounts import STRIPE
from services.payments.providers.stripe import charges

if TYPE_CHECKING:
    from stripe.params.checkout import SessionCreateParams


def setup_parameters(page: SetupPage) -> "SessionCreateParams":
    whose = {"tenant_id": page.tenant_id, "customer_id": page.customer_id}
    return {
        "mode": "setup",
        "customer": page.customer_reference,
        "currency": page.currency.lower(),
        "success_url": page.return_url,
        "cancel_url": page.return_url,
        "setup_intent_data": {"metadata": whose},
    }


def payment_parameters(page: PaymentPage) -> "SessionCreateParams":
    """Raises AmountRefused. The method is kept for the next time."""
    currency = page.amount.currency.lower()
    return {
        "mode": "payment",
        "customer": page.customer_reference,
        "line_items": [
            {
                "price_data": {
                    "currency": currency,
                    "unit_amount": STRIPE.of(page.amount),
                    "product_data": {"name": f"Invoice {page.invoice_number}"},
                },
                "quantity": 1,
            }
        ],
        "payment_intent_data": {
            "description": f"Invoice {page.invoice_number}",
            "metadata": charges.made_by(page),
            "setup_future_usage": "off_session",
        },
        "success_url": page.return_url,
        "cancel_url": page.return_url,
        "expires_at": int(page.expire_time.timestamp()),
    }
