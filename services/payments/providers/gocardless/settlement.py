"""Payouts at GoCardless. The amounts of their items may have fractions of the smallest unit, and are text."""

from decimal import Decimal
from typing import Any

from services.payments.domain.reconciliation import Item, ItemKind

_KINDS = {
    "payment_paid_out": (ItemKind.CHARGE, "payment"),
    "payment_failed": (ItemKind.DISPUTE, "payment"),
    "payment_charged_back": (ItemKind.DISPUTE, "payment"),
    "payment_refunded": (ItemKind.REFUND, "refund"),
    "refund": (ItemKind.REFUND, "refund"),
    "gocardless_fee": (ItemKind.FEE, ""),
    "app_fee": (ItemKind.FEE, ""),
    "surcharge_fee": (ItemKind.FEE, ""),
}


def item(each: dict[str, Any]) -> Item:
    kind, link = _KINDS.get(each["type"], (ItemKind.OTHER, ""))
    amount = Decimal(each["amount"]).scaleb(-2)
    return Item(kind, str((each.get("links") or {}).get(link, "")) if link else "", amount, Decimal(0), amount)
