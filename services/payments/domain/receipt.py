"""Money that came, and the receipt for it."""

from dataclasses import dataclass
from datetime import date, datetime

from libs.common.money import Money


@dataclass(frozen=True, slots=True)
class ManualPayment:
    """Money that came past the processors. `reference` is what the sender's bank or the cheque calls it."""

    tenant_id: str
    id: str
    payment_id: str
    invoice_id: str
    amount: Money
    reference: str
    receive_date: date
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """For a charge (`attempt_number`) or for money that came by hand (`manual_payment_id`). `sequence` counts the
    tenant's receipts from 1, without gaps.
    """

    id: str
    sequence: int
    payment_id: str
    invoice_id: str
    invoice_number: str
    customer_id: str
    attempt_number: int | None
    manual_payment_id: str | None
    amount: Money
    create_time: datetime

    @property
    def number(self) -> str:
        return f"RCP-{self.sequence:06d}"
