"""The calls Weir makes, as steps for the tests."""

from typing import Any

import stripe


async def saved_card(client: stripe.StripeClient, name: str = "pm_card_visa") -> tuple[str, str]:
    """(customer, payment method): a customer with a saved test card."""
    customer = await client.v1.customers.create_async({"name": "Ada", "email": "ada@example.com"})
    method = await client.v1.payment_methods.attach_async(name, {"customer": customer.id})
    return customer.id, method.id


async def charge(
    client: stripe.StripeClient, customer: str, method: str, key: str | None = None, **changes: Any
) -> stripe.PaymentIntent:
    """An off-session charge of 38.98 USD."""
    params = {
        "amount": 3898,
        "currency": "usd",
        "customer": customer,
        "payment_method": method,
        "off_session": True,
        "confirm": True,
        "metadata": {"invoice_id": "inv_1", "attempt": "1"},
        "expand": ["latest_charge"],
        **changes,
    }
    options: Any = {"idempotency_key": key} if key else {}
    sent: Any = {name: value for name, value in params.items() if value is not None}
    return await client.v1.payment_intents.create_async(sent, options)
