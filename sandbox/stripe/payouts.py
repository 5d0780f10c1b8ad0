"""Payouts, and the balance transactions that they are made of."""

from collections.abc import Mapping

from sandbox.state import Json
from sandbox.stripe import errors
from sandbox.stripe.account import DEFAULT_PAGE, Account
from sandbox.stripe.objects import new_id

FEE_PER_MILLE, FEE_FIXED = 29, 30
TYPES: Mapping[str, tuple[str, str, int]] = {
    "charge": ("charge", "charge", 1),
    "refund": ("refund", "refund", -1),
    "dispute": ("adjustment", "dispute", -1),
}
"""By kind of object: the type and reporting category of its transaction, and which way the money goes."""


def pay_out(account: Account) -> list[Json]:
    """What has been collected, given back or taken back and is in no payout yet, in one for each currency."""
    moved: dict[str, list[Json]] = {}
    for kind in TYPES:
        for document in account.state.every(account.owner, kind):
            if _has_moved(document.body) and "payout" not in document.private:
                moved.setdefault(document.body["currency"], []).append(document.body)
    return [_pay_out(account, currency, bodies) for currency, bodies in moved.items()]


def _has_moved(body: Json) -> bool:
    return bool(body["status"] == ("lost" if body["object"] == "dispute" else "succeeded"))


def _pay_out(account: Account, currency: str, bodies: list[Json]) -> Json:
    payout_id = new_id("po")
    transactions = []
    for body in bodies:
        transaction = _transaction(body, account.now)
        account.create(transaction)
        account.save(body, account.private(body) | {"payout": payout_id})
        transactions.append(transaction)
    payout = _payout(payout_id, currency, sum(each["net"] for each in transactions), account.now)
    account.create(payout, {"transactions": [each["id"] for each in transactions]})
    account.emit("payout.created", payout)
    account.emit("payout.paid", payout)
    return payout


def list_transactions(account: Account, params: Json) -> Json:
    payout = account.require("payout", params["payout"], "payout")
    names = account.private(payout)["transactions"]
    if (after := params.get("starting_after")) is not None:
        if after not in names:
            raise errors.no_such("balance_transaction", after, "starting_after")
        names = names[names.index(after) + 1 :]
    limit = params.get("limit", DEFAULT_PAGE)
    shown = [account.require("balance_transaction", name, "id") for name in names[:limit]]
    return {"object": "list", "url": "/v1/balance_transactions", "has_more": len(names) > limit, "data": shown}


def _transaction(body: Json, now: int) -> Json:
    kind, category, sign = TYPES[body["object"]]
    fee = (body["amount"] * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED if kind == "charge" else 0
    details = {"amount": fee, "application": None, "currency": body["currency"], "type": "stripe_fee"}
    return {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": sign * body["amount"],
        "available_on": now,
        "balance_type": "payments",
        "created": now,
        "currency": body["currency"],
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [details | {"description": "Stripe processing fees"}] if fee else [],
        "net": sign * body["amount"] - fee,
        "reporting_category": category,
        "source": body["id"],
        "status": "available",
        "type": kind,
    }


def _payout(payout_id: str, currency: str, amount: int, now: int) -> Json:
    return {
        "id": payout_id,
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": now,
        "automatic": True,
        "balance_transaction": None,
        "created": now,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": None,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "completed",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "paid",
        "trace_id": None,
        "type": "bank_account",
    }
