"""Payment intents, and the charges they make."""

from dataclasses import dataclass

from sandbox.state import Json
from sandbox.stripe import cards, currencies, errors, objects
from sandbox.stripe.account import Account
from sandbox.stripe.cards import Behaviour, Decline
from sandbox.stripe.customers import find_method, not_attached
from sandbox.stripe.forms import merged_metadata

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = CONFIRMABLE
COPIED = (
    "allowed_payment_method_types", "automatic_payment_methods", "capture_method", "description",
    "excluded_payment_method_types", "receipt_email", "statement_descriptor", "statement_descriptor_suffix",
)  # fmt: skip
METHOD_CHOICES = ("allowed_payment_method_types", "excluded_payment_method_types", "automatic_payment_methods")


@dataclass(frozen=True, slots=True)
class Declined:
    """A 402: the state it leaves behind is kept."""

    error: Json


def create_intent(account: Account, params: Json) -> Json | Declined:
    currency = params["currency"].lower()
    check_intent_parameters(params, currency)
    intent = objects.payment_intent(params["amount"], currency, _method_types(params, currency), account.now)
    intent |= {field: params[field] for field in COPIED if field in params}
    intent["metadata"] = merged_metadata({}, params.get("metadata"))
    if "customer" in params:
        intent["customer"] = account.require("customer", params["customer"], "customer")["id"]
    if "payment_method" in params:
        intent = _with_method(account, intent, params["payment_method"])
    account.create(intent)
    account.emit("payment_intent.created", intent)
    return _confirm(account, intent, params) if params.get("confirm") else intent


def check_intent_parameters(params: Json, currency: str) -> None:
    currencies.check_charge(params["amount"], currency)
    if params.get("off_session") and not params.get("confirm"):
        raise errors.refused("You can only set off_session when confirm=true.", "off_session")
    chosen = [name for name in METHOD_CHOICES if name in params]
    if len(chosen) > 1:
        raise errors.refused(f"You may only specify one of these parameters: {', '.join(chosen)}.", chosen[0])


def _method_types(params: Json, currency: str) -> list[str]:
    offered = ["card", "us_bank_account"] if currency == "usd" else ["card"]
    allowed = params.get("allowed_payment_method_types", offered)
    excluded = params.get("excluded_payment_method_types", [])
    return [name for name in offered if name in allowed and name not in excluded]


def _with_method(account: Account, intent: Json, name: str) -> Json:
    """The intent with a payment method it may use. Raises StripeError if it belongs to somebody else."""
    method = find_method(account, name, "payment_method")
    if method["customer"] is not None and intent["customer"] is None:
        raise errors.conflicting(
            "The payment method you provided is attached to a customer so for security purposes you must provide the"
            " customer in the request.",
            "payment_method",
        )
    if method["customer"] not in (None, intent["customer"]):
        raise not_attached(method["id"], "payment_method")
    if method["type"] not in intent["payment_method_types"]:
        raise errors.conflicting(
            f"The payment method type {method['type']} cannot be used with this PaymentIntent.",
            "payment_method",
            "payment_intent_incompatible_payment_method",
        )
    return intent | {"payment_method": method["id"], "status": "requires_confirmation"}


def confirm_intent(account: Account, params: Json) -> Json | Declined:
    intent = account.require("payment_intent", params["intent"], "intent", in_path=True)
    if intent["status"] not in CONFIRMABLE:
        state = {"succeeded": "it has already succeeded after being previously confirmed"}
        reason = state.get(intent["status"], f"it has a status of {intent['status']}")
        raise errors.unexpected_state(intent, f"You cannot confirm this PaymentIntent because {reason}.")
    if "payment_method" in params:
        intent = _with_method(account, intent, params["payment_method"])
    return _confirm(account, intent, params)


def _confirm(account: Account, intent: Json, params: Json) -> Json | Declined:
    if intent["payment_method"] is None:
        raise errors.unexpected_state(
            intent,
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the"
            " PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a"
            " payment method.",
        )
    method = account.require("payment_method", intent["payment_method"], "payment_method")
    test_method = cards.find(account.private(method)["test_method"])
    assert test_method is not None, "methods are only made from test methods"
    intent = intent | {"last_payment_error": None, "next_action": None}
    match test_method.behaviour:
        case Behaviour.SUCCEED:
            return _succeed(account, intent, method)
        case Behaviour.DECLINE:
            assert test_method.decline is not None
            return _decline(account, intent, method, test_method.decline)
        case Behaviour.AUTHENTICATE if params.get("off_session") or params.get("error_on_requires_action"):
            return _decline(account, intent, method, cards.AUTHENTICATION_REQUIRED)
        case Behaviour.AUTHENTICATE:
            return _ask_customer(account, intent, params.get("return_url"))
        case Behaviour.PROCESS:
            return _process(account, intent, method)


def _succeed(account: Account, intent: Json, method: Json) -> Json:
    charge = objects.charge(intent, method, "succeeded", None, account.now)
    account.create(charge)
    return _paid(account, intent, charge)


def _paid(account: Account, intent: Json, charge: Json) -> Json:
    intent = intent | {
        "status": "succeeded",
        "amount_received": charge["amount_captured"],
        "latest_charge": charge["id"],
        "next_action": None,
    }
    account.save(intent)
    account.emit("charge.succeeded", charge)
    account.emit("payment_intent.succeeded", intent)
    return intent


def _decline(account: Account, intent: Json, method: Json, decline: Decline) -> Declined:
    charge = objects.charge(intent, method, "failed", decline, account.now)
    account.create(charge)
    account.emit("charge.failed", charge)
    return _failed(account, intent | {"latest_charge": charge["id"]}, method, decline, charge["id"])


def _failed(account: Account, intent: Json, method: Json, decline: Decline, charge_id: str | None) -> Declined:
    """Back to requires_payment_method: the intent lives on and can be confirmed with another method."""
    error = objects.card_error(decline, charge_id, method)
    intent = intent | {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": error,
    }
    account.save(intent)
    account.emit("payment_intent.payment_failed", intent)
    return Declined({**error, "payment_intent": intent})


def _ask_customer(account: Account, intent: Json, return_url: str | None) -> Json:
    if return_url is None:
        action: Json = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
    else:
        action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": return_url}}
    intent = intent | {"status": "requires_action", "next_action": action}
    account.save(intent)
    account.emit("payment_intent.requires_action", intent)
    return intent


def _process(account: Account, intent: Json, method: Json) -> Json:
    charge = objects.charge(intent, method, "pending", None, account.now)
    account.create(charge)
    intent = intent | {"status": "processing", "latest_charge": charge["id"]}
    account.save(intent)
    account.emit("charge.pending", charge)
    account.emit("payment_intent.processing", intent)
    return intent


def settle_intent(account: Account, intent_id: str, *, succeeded: bool) -> Json:
    """What happens outside the API: the customer authenticates (or fails to), the bank pays (or does not)."""
    intent = account.require("payment_intent", intent_id, "intent", in_path=True)
    if intent["status"] not in ("requires_action", "processing"):
        raise errors.unexpected_state(intent, f"Nothing to settle: the status is {intent['status']}.")
    method = account.require("payment_method", intent["payment_method"], "payment_method")
    if intent["status"] == "requires_action":
        if succeeded:
            return _succeed(account, intent, method)
        _failed(account, intent, method, cards.AUTHENTICATION_FAILED, None)
    else:
        charge = account.require("charge", intent["latest_charge"], "charge")
        decline = None if succeeded else cards.BANK_REFUSED
        status = "succeeded" if succeeded else "failed"
        fresh = objects.charge(intent, method, status, decline, account.now)
        charge = fresh | {"id": charge["id"], "created": charge["created"]}
        account.save(charge)
        if succeeded:
            return _paid(account, intent, charge)
        account.emit("charge.failed", charge)
        _failed(account, intent, method, cards.BANK_REFUSED, charge["id"])
    return account.require("payment_intent", intent_id, "intent")


def cancel_intent(account: Account, params: Json) -> Json:
    intent = account.require("payment_intent", params["intent"], "intent", in_path=True)
    if intent["status"] not in CANCELABLE:
        raise errors.unexpected_state(
            intent,
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a PaymentIntent"
            f" with one of the following statuses may be canceled: {', '.join(CANCELABLE)}.",
        )
    intent = intent | {
        "status": "canceled",
        "canceled_at": account.now,
        "cancellation_reason": params.get("cancellation_reason"),
        "next_action": None,
    }
    account.save(intent)
    account.emit("payment_intent.canceled", intent)
    return intent
