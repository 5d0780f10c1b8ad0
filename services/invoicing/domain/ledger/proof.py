"""Whether documents and the ledger agree."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """What an account should come to by an invoice's documents, and does by its bookings; minor units of `currency`.

    What was written off counts as receivable, roundings as deferred revenue. Revenue is what deferred revenue is to be
    earned of: what schedules come to in the end. The legs of `all` accounts come to 0.
    """

    invoice_id: str
    currency: str
    account: str
    documents: int
    ledger: int


@dataclass(frozen=True, slots=True)
class Proving:
    """A day's proof of a tenant, that has come as far as an invoice's id."""

    tenant_id: str
    day: date
    checked_until: str


@dataclass(frozen=True, slots=True)
class DailyProof:
    """`complete_time` is None while it is under way; `differences` are at most 100 of `difference_count`."""

    day: date
    create_time: datetime
    complete_time: datetime | None
    difference_count: int
    differences: tuple[Difference, ...]
