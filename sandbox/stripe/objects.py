"""Stripe's objects as they appear on the wire, with every field its published examples carry. Pure functions.

Times are unix seconds, amounts integers in the currency's smallest unit.
"""

import hashlib
import secrets
import string

from sandbox.state import Json
from sandbox.stripe.cards import Behaviour, Decline, TestMethod

API_VERSION = "2026-10-28.endive"
CARD_EXPIRY_YEAR = 2034

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    return prefix + "_" + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def customer(now: int) -> Json:
    return {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": new_id("", 8)[1:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def payment_method(method: TestMethod, now: int) -> Json:
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    body: Json = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": address, "email": None, "name": None, "phone": None, "tax_id": None},
        "created": now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
    }
    if method.behaviour is Behaviour.PROCESS:
        return {**body, "type": "us_bank_account", "us_bank_account": _bank_account(method)}
    return {**body, "type": "card", "card": _card(method)}


def _card(method: TestMethod) -> Json:
    return {
        "brand": method.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": method.brand,
        "exp_month": 12,
        "exp_year": CARD_EXPIRY_YEAR,
        "fingerprint": _fingerprint(method),
        "funding": "credit",
        "generated_from": None,
        "last4": method.last4,
        "networks": {"available": [method.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _bank_account(method: TestMethod) -> Json:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": _fingerprint(method),
        "last4": method.last4,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": None,
    }


def _fingerprint(method: TestMethod) -> str:
    """The same for the same card number, as at the processor."""
    return hashlib.sha256(f"{method.brand}{method.last4}".encode()).hexdigest()[:16]


def payment_intent(amount: int, currency: str, method_types: list[str], now: int) -> Json:
    intent_id = new_id("pi")
    return {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": None,
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{intent_id}_secret_{new_id('', 25)[1:]}",
        "confirmation_method": "automatic",
        "created": now,
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": method_types,
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def charge(intent: Json, method: Json, status: str, decline: Decline | None, now: int) -> Json:
    """`status`: succeeded, pending or failed; `decline` for failed ones."""
    paid = status == "succeeded"
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "WEIR SANDBOX",
        "captured": paid,
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": outcome(status, decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(method),
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "refunds": None,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": status,
        "transfer_data": None,
        "transfer_group": None,
    }


def outcome(status: str, decline: Decline | None) -> Json:
    if decline is None:
        reason, seller_message = None, "Payment complete." if status == "succeeded" else "Payment is pending."
    else:
        reason, seller_message = decline.decline_code, "The bank did not return any further details with this decline."
    return {
        "advice_code": decline.advice_code if decline else None,
        "network_advice_code": decline.network_advice_code if decline else None,
        "network_decline_code": decline.network_decline_code if decline else None,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": seller_message,
        "type": "issuer_declined" if decline else "authorized",
    }


def _method_details(method: Json) -> Json:
    if method["type"] == "us_bank_account":
        account = method["us_bank_account"]
        shown = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")
        details = {key: account[key] for key in shown} | {"mandate": None, "payment_reference": None}
        return {"type": "us_bank_account", "us_bank_account": details}
    card = {key: method["card"][key] for key in ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint")}
    card |= {key: method["card"][key] for key in ("funding", "last4", "wallet")}
    return {"type": "card", "card": {**card, "network": card["brand"], "mandate": None, "three_d_secure": None}}


def refund(charge: Json, amount: int, reason: str | None, now: int) -> Json:
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {"type": charge["payment_method_details"]["type"]},
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def event(kind: str, subject: Json, previous: Json | None, request: Json, pending_webhooks: int, now: int) -> Json:
    """`previous`: the old values of the fields an update changed."""
    data: Json = {"object": subject}
    if previous is not None:
        data["previous_attributes"] = previous
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": now,
        "data": data,
        "livemode": False,
        "pending_webhooks": pending_webhooks,
        "request": request,
        "type": kind,
    }


def webhook_endpoint(url: str, enabled_events: list[str], now: int) -> Json:
    return {
        "id": new_id("we"),
        "object": "webhook_endpoint",
        "api_version": API_VERSION,
        "application": None,
        "created": now,
        "description": None,
        "enabled_events": enabled_events,
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
    }


def card_error(decline: Decline, charge_id: str | None, method: Json) -> Json:
    """The error of a failed payment: in a 402, and as an intent's `last_payment_error`."""
    error: Json = {
        "type": "card_error",
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": method,
    }
    optional = {
        "advice_code": decline.advice_code,
        "charge": charge_id,
        "network_advice_code": decline.network_advice_code,
        "network_decline_code": decline.network_decline_code,
    }
    return error | {key: value for key, value in optional.items() if value is not None}
