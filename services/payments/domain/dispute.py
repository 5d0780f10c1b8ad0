"""Money that was collected and is taken back: by the payer's bank, or by the bank that had paid.

    OPEN ──> LOST ──> WON ──> LOST AGAIN ──> WON AGAIN

A dispute moves to the right, over as many stages as the news is ahead. OPEN: nothing is debited yet. LOST: the money is
gone, at least for now; banks debit first. WON: the money is there, or came back.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from libs.common.money import Money


class DisputeState(StrEnum):
    OPEN = "OPEN"
    LOST = "LOST"
    WON = "WON"


class Stage(IntEnum):
    """AGAIN: in a second chargeback, which only some networks have."""

    OPEN = 0
    LOST = 1
    WON = 2
    LOST_AGAIN = 3
    WON_AGAIN = 4

    @property
    def state(self) -> DisputeState:
        return DisputeState(self.name.removesuffix("_AGAIN"))


@dataclass(frozen=True, slots=True)
class Dispute:
    """One for each charge. `code` is the processor's word for why."""

    tenant_id: str
    id: str
    payment_id: str
    invoice_id: str
    attempt_number: int
    amount: Money
    stage: Stage
    code: str
    revision: int
    create_time: datetime

    @property
    def state(self) -> DisputeState:
        return self.stage.state

    @property
    def lost_minor(self) -> int:
        """What is gone of it now."""
        return self.amount.minor_units if self.state is DisputeState.LOST else 0
