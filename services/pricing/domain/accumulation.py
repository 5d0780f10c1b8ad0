"""Charges whose tiers and free units do not begin anew in each period, but run through the contract.

What a period costs is what the usage of the contract costs by its end, less what it cost before. So the periods of a
contract add up to what all its usage costs at once. That is why the flat fee of the first tier is due with the first
unit, and not at a quantity of 0 in every period that begins there.
"""

from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from libs.common.errors import InvalidArgument
from services.pricing.domain.breakdown import EXACT, ZERO, RatedTier
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice
from services.pricing.domain.package import PackagePrice, rate_package
from services.pricing.domain.usage import Usage

Accumulating: TypeAlias = GraduatedPrice | GraduatedPercentagePrice | PackagePrice
"""Prices for which it makes a difference, and of which more never costs less."""


class Accumulation(StrEnum):
    """What a quantity is added to before tiers are looked up."""

    PERIOD = "period"
    """Nothing: each period begins at 0."""
    CONTRACT = "contract"
    """What was used in the contract before the period."""


def rate_accumulated(price: Accumulating, usage: Usage) -> tuple[RatedTier, ...]:
    """Steps of what lies above the quantity before. Raises InvalidArgument QUANTITY_BEFORE_MISSING without it."""
    before = usage.quantity_before
    if before is None:
        raise InvalidArgument(
            "QUANTITY_BEFORE_MISSING",
            f"charge {usage.charge_code} needs quantity_before, since its tiers run through the contract",
            field="quantities",
            charge_code=usage.charge_code,
        )
    after = EXACT.add(before, usage.quantity)
    before, after = max(before, ZERO), max(after, ZERO)
    if isinstance(price, PackagePrice):
        return (_packages(price, before, after),)
    return price.table.between(before, after)


def _packages(price: PackagePrice, before: Decimal, after: Decimal) -> RatedTier:
    [earlier], [whole] = rate_package(price, before), rate_package(price, after)
    free = EXACT.subtract(min(price.free_units, after), min(price.free_units, before))
    return whole._replace(
        above=before,
        quantity=EXACT.subtract(whole.quantity, earlier.quantity),
        amount=EXACT.subtract(whole.amount, earlier.amount),
        free_units=free,
    )
