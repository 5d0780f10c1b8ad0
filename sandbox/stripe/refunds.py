"""Refunds of charges, and what banks make of them later."""

from sandbox.state import Json
from sandbox.stripe import cards, errors, objects
from sandbox.stripe.account import Account
from sandbox.stripe.forms import merged_metadata


def create_refund(account: Account, params: Json) -> Json:
    charge = _charge_to_refund(account, params)
    remaining = charge["amount_captured"] - charge["amount_refunded"]
    if not remaining:
        raise errors.conflicting(
            f"Charge {charge['id']} has already been refunded.", "charge", "charge_already_refunded"
        )
    amount = params.get("amount", remaining)
    if not 0 < amount <= remaining:
        raise errors.conflicting(
            f"Refund amount ({amount} {charge['currency']}) is greater than unrefunded amount on charge"
            f" ({remaining} {charge['currency']}).",
            "amount",
        )
    refund = objects.refund(charge, amount, params.get("reason"), account.now)
    refund |= {"metadata": merged_metadata({}, params.get("metadata")), "status": _first_status(account, charge)}
    account.create(refund)
    refunded = charge["amount_refunded"] + amount
    after = charge | {"amount_refunded": refunded, "refunded": refunded == charge["amount_captured"]}
    account.save(after)
    account.emit("refund.created", refund)
    previous = {field: charge[field] for field in ("amount_refunded", "refunded") if charge[field] != after[field]}
    account.emit("charge.refunded", after, previous)
    return refund


def _charge_to_refund(account: Account, params: Json) -> Json:
    if ("charge" in params) == ("payment_intent" in params):
        raise errors.refused("One of the following params should be provided: payment_intent or charge.")
    if "payment_intent" in params:
        intent = account.require("payment_intent", params["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise errors.conflicting(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.", "payment_intent"
            )
        return account.require("charge", intent["latest_charge"], "charge")
    charge = account.require("charge", params["charge"], "charge")
    if charge["status"] != "succeeded":
        raise errors.conflicting(f"Charge {charge['id']} did not succeed and cannot be refunded.", "charge")
    return charge


def _first_status(account: Account, charge: Json) -> str:
    method = account.require("payment_method", charge["payment_method"], "payment_method")
    test_method = cards.find(account.private(method)["test_method"])
    assert test_method is not None, "methods are only made from test methods"
    return test_method.refund


def settle_refund(account: Account, refund_id: str, *, succeeded: bool) -> Json:
    """The bank takes a pending refund, or sends one back, even after it had taken it: it can be refunded anew."""
    refund = account.require("refund", refund_id, "refund", in_path=True)
    if refund["status"] != "pending" and (succeeded or refund["status"] != "succeeded"):
        raise errors.conflicting(f"Nothing to settle: the status is {refund['status']}.", "refund")
    after = refund | {"status": "succeeded" if succeeded else "failed"}
    if not succeeded:
        after["failure_reason"] = "expired_or_canceled_card"
        charge = account.require("charge", refund["charge"], "charge")
        returned = charge["amount_refunded"] - refund["amount"]
        account.save(charge | {"amount_refunded": returned, "refunded": False})
    account.save(after)
    account.emit("refund.updated", after, {"status": refund["status"]})
    if not succeeded:
        account.emit("refund.failed", after)
    return after
