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
    """`reference` is the processor's id of the `subject`, empty when that is OTHER; `customer_reference` says whose
    method it is. `body` is the event as received. `error` says why a new one cannot be used, or a later one's last
    try was in vain; it is empty otherwise.
    """

    tenant_id: str
    processor_account_id: str
    id: str
    type: str
    subject: str
    reference: str
    tries: int
    receive_time: datetime
    customer_reference: str
    body: bytes
    error: str = ""
