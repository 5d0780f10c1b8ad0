"""Payouts at Stripe, whose parts are balance transactions."""

import stripe

from services.payments.domain.reconciliation import Item, ItemKind
from services.payments.providers.amounts import STRIPE

_KINDS = {
    "charge": ItemKind.CHARGE,
    "refund": ItemKind.REFUND,
    "dispute": ItemKind.DISPUTE,
    "dispute_reversal": ItemKind.DISPUTE,
    "fee": ItemKind.FEE,
    "network_cost": ItemKind.FEE,
    "tax": ItemKind.FEE,
}
"""By reporting category, of which Stripe has one for each kind of type."""
PAYOUT = frozenset({"payout", "payout_reversal"})
"""The payout itself is among its transactions."""


def item(transaction: stripe.BalanceTransaction) -> Item:
    """`transaction.source` is expanded."""
    currency = transaction.currency.upper()
    kind = _KINDS.get(transaction.reporting_category, ItemKind.OTHER)
    gross, fee, net = (
        STRIPE.amount(units, currency) for units in (transaction.amount, transaction.fee, transaction.net)
    )
    return Item(kind, _reference(kind, transaction.source), gross, fee, net)


def _reference(kind: ItemKind, source: object) -> str:
    """Charges and disputes are known here by the intent."""
    name = {ItemKind.CHARGE: "payment_intent", ItemKind.DISPUTE: "payment_intent", ItemKind.REFUND: "id"}.get(kind)
    found = getattr(source, name, None) if name else None
    return str(getattr(found, "id", found) or "")
