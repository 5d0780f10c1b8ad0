"""What one event of an invoice's life comes to in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.earning import Earning

DEFAULT_ENTITY = "default"
"""In whose books invoices are that no legal entity has issued."""


@dataclass(frozen=True, slots=True)
class Booking:
    """Legs that come to 0: minor units of `currency` by account, debits above 0 and credits below; on the day
    `effective`. `source` is what was booked, once for an invoice. `earnings` say how deferred revenue is earned.
    """

    invoice_id: str
    source: str
    currency: str
    effective: date
    legs: Mapping[Account, int]
    earnings: tuple[Earning, ...]
    legal_entity: str

    def __post_init__(self) -> None:
        assert sum(self.legs.values()) == 0, f"{self.source} of {self.invoice_id} is balanced"
