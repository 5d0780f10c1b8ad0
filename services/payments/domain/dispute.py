"""Money that was collected and is taken back: by the payer's bank, or by the bank that had paid.

    OPEN ──> LOST ──> WON

A dispute moves to the right, over as many states as the news is ahead. OPEN: nothing is debited yet. LOST: the money is
gone, at least for now; banks debit first. WON: the money is there, or came back.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from libs.common.money import Money


class DisputeState(StrEnum):
    OPEN = "OPEN"
    LOST = "LOST"
    WON = "WON"


_ORDER = tuple(DisputeState)


@dataclass(frozen=True, slots=True)
class Dispute:
    """One for each charge. `code` is the processor's word for why."""

    tenant_id: str
    id: str
    payment_id: str
    invoice_id: str
    attempt_number: int
    amount: Money
    state: DisputeState
    code: str
    revision: int
    create_time: datetime


def is_news(state: DisputeState, told: DisputeState) -> bool:
    return _ORDER.index(told) > _ORDER.index(state)
