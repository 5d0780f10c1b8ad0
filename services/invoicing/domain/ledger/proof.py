"""Whether documents and the ledger agree."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """What an account should come to by an invoice's documents, and does by its bookings; minor units of `currency`.

    What was written off counts as receivable, roundings as deferred revenue. Revenue is what deferred revenue is to be
    earned of: what schedules come to in the end.
    """

    invoice_id: str
    currency: str
    account: str
    documents: int
    ledger: int
