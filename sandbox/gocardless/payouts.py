"""Payouts, and the items that they are made of: amounts in fractions of the smallest unit, as text."""

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sandbox.accounts import Account
from sandbox.gocardless.errors import invalid
from sandbox.gocardless.events import emit, new_id, page, time
from sandbox.json_api import Call
from sandbox.state import Json

TENTH = Decimal("0.1")
FEE_FIXED, FEE_RATE = Decimal(20), Decimal("0.01")


def pay_out(account: Account, payments: Iterable[Json], taken_back: Iterable[Json]) -> None:
    """What was collected, less what was taken back and refunded since the last one; in one for each currency."""
    items: dict[str, list[Json]] = {}
    for payment in payments:
        own = items.setdefault(payment["currency"], [])
        links = {"payment": payment["id"], "mandate": payment["links"].get("mandate")}
        own.append(_item("payment_paid_out", payment["amount"], links))
        own.append(_item("gocardless_fee", -(FEE_FIXED + payment["amount"] * FEE_RATE), links))
    for payment in taken_back:
        links = {"payment": payment["id"], "mandate": payment["links"].get("mandate")}
        items.setdefault(payment["currency"], []).append(_item("payment_charged_back", -payment["amount"], links))
    for document in account.every("refund"):
        refund = document.body
        if "payout" not in document.private and refund["status"] not in ("bounced", "funds_returned", "cancelled"):
            links = {"payment": refund["links"]["payment"], "refund": refund["id"]}
            items.setdefault(refund["currency"], []).append(_item("payment_refunded", -refund["amount"], links))
            account.save("refund", refund, document.private | {"payout": True})
    for currency, own in items.items():
        _create(account, currency, own)


def _create(account: Account, currency: str, items: list[Json]) -> None:
    total = sum((Decimal(item["amount"]) for item in items), Decimal(0))
    fees = -sum((Decimal(item["amount"]) for item in items if item["type"] == "gocardless_fee"), Decimal(0))
    body = {
        "id": new_id("PO"),
        "amount": int(total.to_integral_value(ROUND_FLOOR)),
        "arrival_date": time(account.now)[:10],
        "created_at": time(account.now),
        "currency": currency,
        "deducted_fees": int(fees.to_integral_value(ROUND_CEILING)),
        "fx": {"fx_currency": currency, "fx_amount": None, "exchange_rate": None, "estimated_exchange_rate": None},
        "metadata": {},
        "payout_type": "merchant",
        "reference": new_id("WEIR-")[:12],
        "status": "paid",
        "tax_currency": None,
        "links": {"creditor": "CR000SANDBOX", "creditor_bank_account": "BA000SANDBOX"},
    }
    account.create("payout", body, {"items": items})
    emit(account, "payouts", "paid", {"payout": body["id"]}, {})


def _item(kind: str, amount: Decimal | int, links: Json) -> Json:
    return {"amount": f"{Decimal(amount).quantize(TENTH)}", "type": kind, "links": links, "taxes": []}


def list_payouts(account: Account, call: Call) -> Json:
    return page(account, "payout", "payouts", call, {"currency": "currency", "status": "status"})


def list_items(account: Account, call: Call) -> Json:
    """All in one page."""
    payout_id = call.query.get("payout", "")
    if account.find("payout", payout_id) is None:
        raise invalid("payout", "must be a payout of yours")
    items = account.private("payout", payout_id)["items"]
    return {"payout_items": items, "meta": {"cursors": {"before": None, "after": None}, "limit": len(items)}}
