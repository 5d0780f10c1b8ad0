"""Every SQL statement of invoicing. Functions take a Conn; the caller owns the transaction."""

from libs.common.postgres import Conn
from services.invoicing.store import (
    applied_coupons,
    balances,
    clocks,
    credit_notes,
    customers,
    discounts,
    disputes,
    draft_requests,
    drafts,
    dues,
    final_actions,
    hand_overs,
    invoices,
    lines,
    one_offs,
    overdue,
    phases,
    prepaid,
    refreshes,
    refunds,
    regenerations,
    replays,
    runs,
    settlements,
    standings,
    subscriptions,
    voids,
)

__all__ = [
    "applied_coupons",
    "balances",
    "check",
    "clocks",
    "credit_notes",
    "customers",
    "discounts",
    "disputes",
    "draft_requests",
    "drafts",
    "dues",
    "final_actions",
    "hand_overs",
    "invoices",
    "lines",
    "one_offs",
    "overdue",
    "phases",
    "prepaid",
    "refreshes",
    "refunds",
    "regenerations",
    "replays",
    "runs",
    "settlements",
    "standings",
    "subscriptions",
    "voids",
]


async def check(conn: Conn) -> None:
    """Raises when the database does not answer, or has not been migrated."""
    await conn.execute("SELECT FROM billing_clock LIMIT 1")
