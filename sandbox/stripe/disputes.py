"""Disputes: what the banks of customers take back of charges."""

from sandbox.state import Json
from sandbox.stripe import errors
from sandbox.stripe.account import Account
from sandbox.stripe.objects import new_id

DAYS_TO_RESPOND = 7


def open_dispute(account: Account, charge_id: str) -> Json:
    """The customer's bank takes the money back for now."""
    charge = account.require("charge", charge_id, "charge", in_path=True)
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise errors.conflicting(f"Charge {charge_id} cannot be disputed.", "charge")
    dispute = _dispute(charge, account.now)
    account.create(dispute)
    account.save(charge | {"disputed": True})
    account.emit("charge.dispute.created", dispute)
    account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(account: Account, dispute_id: str, *, succeeded: bool) -> Json:
    """The card network decides: succeeded is won."""
    dispute = account.require("dispute", dispute_id, "dispute", in_path=True)
    if dispute["status"] != "needs_response":
        raise errors.conflicting(f"The dispute is {dispute['status']}.", "dispute")
    after = dispute | {"status": "won" if succeeded else "lost"}
    account.save(after)
    account.emit("charge.dispute.closed", after, {"status": dispute["status"]})
    if succeeded:
        account.emit("charge.dispute.funds_reinstated", after)
    return after


def _dispute(charge: Json, now: int) -> Json:
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": now + DAYS_TO_RESPOND * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": None,
        "reason": "fraudulent",
        "status": "needs_response",
    }
