"""What a processor sent, and what becomes of it.

RECEIVED ──┬──> PROCESSED     what it says is in our rows, or is no business of ours
           └──> PARKED        it cannot be applied; kept with the reason, for a person
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventState(StrEnum):
    RECEIVED = "RECEIVED"
    PROCESSED = "PROCESSED"
    PARKED = "PARKED"


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """`reference` is the processor's id of the charge the event is about, empty when it is about something else."""

    tenant_id: str
    processor_account_id: str
    id: str
    type: str
    reference: str
    tries: int
    receive_time: datetime
