"""Several overdue invoices of a customer, asked for together. Each keeps its payment; the request looks at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from libs.common.money import Money
from services.payments.domain.payment import RETRIABLE, Payment, PaymentState

MOST_ITEMS = 100

OVERDUE = RETRIABLE | {PaymentState.AWAITING_METHOD}
"""What was asked for and did not come."""


class RequestState(StrEnum):
    OPEN = "OPEN"
    PAID = "PAID"
    CANCELED = "CANCELED"


@dataclass(frozen=True, slots=True)
class RequestItem:
    """`asked_minor` is what was due when it was asked for."""

    payment: Payment
    asked_minor: int

    @property
    def due_minor(self) -> int:
        """Now; nothing while invoicing has taken the invoice back."""
        return 0 if self.payment.state is PaymentState.CANCELED else self.payment.due.minor_units


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """`items` are in the order of their payments' age."""

    tenant_id: str
    id: str
    customer_id: str
    currency: str
    is_canceled: bool
    create_time: datetime
    items: tuple[RequestItem, ...]

    @property
    def amount(self) -> Money:
        return Money(sum(item.asked_minor for item in self.items), self.currency)

    @property
    def due(self) -> Money:
        return Money(sum(item.due_minor for item in self.items), self.currency)

    @property
    def state(self) -> RequestState:
        if self.is_canceled:
            return RequestState.CANCELED
        return RequestState.OPEN if self.due.minor_units else RequestState.PAID


def allocated(amount: Money, items: Sequence[RequestItem]) -> list[tuple[Payment, Money]]:
    """What `amount`, at most what is due, pays of which payment: the oldest first."""
    parts = []
    left = amount.minor_units
    for item in items:
        if part := min(left, item.due_minor):
            parts.append((item.payment, Money(part, amount.currency)))
            left -= part
    return parts
