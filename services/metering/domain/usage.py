"""What was used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

EMPTY_LOG = 1
"""The watermark at which nothing has been recorded yet. (0 on the wire asks for all there is.)"""


@dataclass(frozen=True, slots=True)
class Question:
    """What a subscription used in [start, end), by each of some meters."""

    subscription_id: str
    meter_codes: Sequence[str]
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """A quantity, and how many events it was added up from."""

    meter_code: str
    quantity: Decimal
    event_count: int


@dataclass(frozen=True, slots=True)
class Answers:
    """To each question its usages, in the order asked, all at one watermark."""

    usages: Sequence[Sequence[Usage]]
    watermark: int
