"""A message to a customer.

WAITING ──┬──> SENT
          └──> DROPPED    it can't be sent, or need not be any more
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Message:
    """`subject` and `body` are templates, filled in when it is sent."""

    tenant_id: str
    id: str
    payment_id: str
    campaign_id: str
    subject: str
    body: str
    tries: int
    create_time: datetime
