"""Taxes."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

MAX_PERCENT = Decimal(100)
PERCENT_DIGITS = 6
"""Digits after the point that a rate may have."""


@dataclass(frozen=True, slots=True)
class Tax:
    """A rate of tax that an invoice adds to what it bills: Decimal("8.875") is 8.875 %."""

    code: str
    name: str
    rate_percent: Decimal
    create_time: datetime
