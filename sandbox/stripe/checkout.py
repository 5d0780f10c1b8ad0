"""Checkout sessions in hosted mode: a page on which a customer pays, or saves a method."""

from sandbox.accounts import NoSuch
from sandbox.state import Json
from sandbox.stripe import currencies, errors
from sandbox.stripe.account import Account
from sandbox.stripe.customers import attach
from sandbox.stripe.forms import merged_metadata
from sandbox.stripe.objects import new_id
from sandbox.stripe.payments import Declined, confirm_intent, create_intent, settle_intent

PAGES = "/_sandbox/pages/"
KIND = "checkout.session"
LEAST_LIFE_SECONDS, MOST_LIFE_SECONDS = 30 * 60, 24 * 3600
_EMPTY = (
    "adaptive_pricing", "after_expiration", "allow_promotion_codes", "amount_subtotal", "amount_total",
    "billing_address_collection", "client_reference_id", "client_secret", "collected_information", "consent",
    "consent_collection", "currency_conversion", "customer_account", "customer_creation", "customer_details",
    "customer_email", "discounts", "integration_identifier", "invoice", "invoice_creation", "locale",
    "managed_payments", "origin_context", "payment_intent", "payment_link", "payment_method_configuration_details",
    "permissions", "phone_number_collection", "recovered_from", "saved_payment_method_options", "setup_intent",
    "shipping_address_collection", "shipping_cost", "submit_type", "subscription", "total_details", "wallet_options",
)  # fmt: skip
_EMPTY_SETUP = (
    "application", "automatic_payment_methods", "cancellation_reason", "description", "excluded_payment_method_types",
    "flow_directions", "last_setup_error", "latest_attempt", "mandate", "next_action", "on_behalf_of",
    "payment_method_configuration_details", "single_use_mandate",
)  # fmt: skip


def create_session(account: Account, params: Json) -> Json:
    customer = account.require("customer", params["customer"], "customer")["id"]
    expires_at = params.get("expires_at", account.now + MOST_LIFE_SECONDS)
    if not LEAST_LIFE_SECONDS <= expires_at - account.now <= MOST_LIFE_SECONDS:
        raise errors.refused("The `expires_at` timestamp must be 30 minutes to 24 hours from now.", "expires_at")
    session: Json = dict.fromkeys(_EMPTY) | {
        "id": new_id("cs_test", 40),
        "object": KIND,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": params.get("cancel_url"),
        "created": account.now,
        "currency": params.get("currency"),
        "custom_fields": [],
        "custom_text": dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")),
        "customer": customer,
        "expires_at": expires_at,
        "livemode": False,
        "metadata": {},
        "mode": params["mode"],
        "payment_method_collection": "always",
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "no_payment_required" if params["mode"] == "setup" else "unpaid",
        "shipping_options": [],
        "status": "open",
        "success_url": params.get("success_url"),
        "ui_mode": "hosted_page",
    }
    if params["mode"] == "payment":
        session |= _priced(params)
    session["url"] = params["base_url"] + PAGES + session["id"]
    account.create(
        session, {"intent": params.get(f"{'setup' if params['mode'] == 'setup' else 'payment'}_intent_data")}
    )
    return session


def _priced(params: Json) -> Json:
    items = params.get("line_items") or []
    if not items:
        raise errors.missing_parameter("line_items")
    currency = items[0]["price_data"]["currency"].lower()
    total = sum(item["price_data"]["unit_amount"] * item["quantity"] for item in items)
    currencies.check_charge(total, currency)
    return {"currency": currency, "amount_subtotal": total, "amount_total": total}


def expire_session(account: Account, params: Json) -> Json:
    session = account.require(KIND, params["session"], "session", in_path=True)
    if session["status"] != "open":
        raise errors.conflicting(f"Only open sessions can be expired; this one is {session['status']}.", "session")
    session |= {"status": "expired", "url": None}
    account.save(session)
    account.emit("checkout.session.expired", session)
    return session


def complete(account: Account, session_id: str, method_name: str) -> str:
    """The customer enters a card, and authenticates it if need be; where they are sent then. Raises NoSuch."""
    session = account.find(KIND, session_id)
    if session is None or session["status"] != "open":
        raise NoSuch(f"there is no open session {session_id}")
    method = attach(account, {"customer": session["customer"], "payment_method": method_name})
    data = account.private(session)["intent"] or {}
    session |= (
        _set_up(account, session, method, data) if session["mode"] == "setup" else _pay(account, session, method, data)
    )
    account.save(session)
    if session["status"] == "complete":
        account.emit("checkout.session.completed", session)
    return str(session["success_url"] or "")


def _set_up(account: Account, session: Json, method: Json, data: Json) -> Json:
    intent_id = new_id("seti")
    intent = dict.fromkeys(_EMPTY_SETUP) | {
        "id": intent_id,
        "object": "setup_intent",
        "client_secret": f"{intent_id}_secret_{new_id('', 25)[1:]}",
        "created": account.now,
        "customer": session["customer"],
        "livemode": False,
        "metadata": merged_metadata({}, data.get("metadata")),
        "payment_method": method["id"],
        "payment_method_options": {},
        "payment_method_types": [method["type"]],
        "status": "succeeded",
        "usage": "off_session",
    }
    account.create(intent)
    account.emit("setup_intent.succeeded", intent)
    return {"setup_intent": intent_id, "status": "complete", "url": None}


def _pay(account: Account, session: Json, method: Json, data: Json) -> Json:
    """A declined card leaves the session open, with the intent that the next try goes on with."""
    if session["payment_intent"] is None:
        asked = {name: value for name, value in data.items() if name in ("description", "metadata")}
        amount = {"amount": session["amount_total"], "currency": session["currency"], "customer": session["customer"]}
        result = create_intent(account, {**asked, **amount, "payment_method": method["id"], "confirm": True})
    else:
        result = confirm_intent(account, {"intent": session["payment_intent"], "payment_method": method["id"]})
    if isinstance(result, Declined):
        return {"payment_intent": result.error["payment_intent"]["id"]}
    if result["status"] == "requires_action":
        result = settle_intent(account, result["id"], succeeded=True)
    paid = "paid" if result["status"] == "succeeded" else "unpaid"
    return {"payment_intent": result["id"], "payment_status": paid, "status": "complete", "url": None}
