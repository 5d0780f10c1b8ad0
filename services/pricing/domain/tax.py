"""Taxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

MAX_PERCENT = Decimal(100)
PERCENT_DIGITS = 6
"""Digits after the point that a rate may have."""


@dataclass(frozen=True, slots=True)
class Tax:
    """A rate of tax that an invoice adds to what it bills: Decimal("8.875") is 8.875 %.

    `tenant_default` taxes are of whatever nothing more particular has taxes for.
    """

    code: str
    name: str
    rate_percent: Decimal
    create_time: datetime
    tenant_default: bool = False


def applicable_taxes(*levels: Sequence[str]) -> tuple[str, ...]:
    """Codes of the first level that has any: told for the line; of its charge, fixed charge, minimum commitment or
    add-on; of the plan; of the customer; the tenant's defaults.
    """
    return tuple(next((level for level in levels if level), ()))
