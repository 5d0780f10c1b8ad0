"""Prepaid credit on invoices."""

from dataclasses import dataclass

from libs.common.money import Money


@dataclass(frozen=True, slots=True)
class Draw:
    """What an invoice draws of its customer's prepaid credit: at most `amount`, or once it is drawn, that much."""

    tenant_id: str
    invoice_id: str
    customer_id: str
    amount: Money
