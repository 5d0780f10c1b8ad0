"""What quantities cost, and why. Exact until the end, where each charge's amount is rounded once."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, Inexact

from libs.common.errors import InvalidArgument, NotFound
from libs.common.money import Money
from services.pricing.domain.breakdown import ZERO, RatedTier, total
from services.pricing.domain.graduated import GraduatedPrice, rate_graduated
from services.pricing.domain.package import PackagePrice, rate_package
from services.pricing.domain.plans import Charge, PlanVersion, Price
from services.pricing.domain.standard import StandardPrice, rate_standard

MAX_MINOR_UNITS = 2**63 - 1
"""The largest amount that the contract's Money can state."""


@dataclass(frozen=True, slots=True)
class RatedCharge:
    """What `quantity` costs under `charge`. The amounts of `tiers` add up to `unrounded_amount`, in major units."""

    charge: Charge
    quantity: Decimal
    amount: Money
    unrounded_amount: Decimal
    tiers: tuple[RatedTier, ...]


def rate(charge: Charge, quantity: Decimal, currency: str) -> RatedCharge:
    """Raises InvalidArgument AMOUNT_TOO_LARGE when no Money can state the amount."""
    tiers = _tiers(charge.price, quantity)
    try:
        unrounded_amount = total(tiers)
    except Inexact:  # more than 76 digits
        raise _too_large(charge, quantity) from None
    amount = Money.rounded(unrounded_amount, currency)
    if amount.minor_units > MAX_MINOR_UNITS:
        raise _too_large(charge, quantity)
    return RatedCharge(charge, quantity, amount, unrounded_amount, tiers)


def rate_version(version: PlanVersion, quantities: Mapping[str, Decimal]) -> tuple[RatedCharge, ...]:
    """Every charge of `version`, in its order, for `quantities` by charge code; a charge left out has used nothing.

    Raises NotFound CHARGE_NOT_FOUND for a code that the version lacks.
    """
    if unknown := quantities.keys() - {charge.code for charge in version.charges}:
        code = min(unknown)
        raise NotFound(
            "CHARGE_NOT_FOUND",
            f"version {version.version} of plan {version.plan_code} has no charge {code}",
            plan_code=version.plan_code,
            version=str(version.version),
            charge_code=code,
        )
    return tuple(rate(charge, quantities.get(charge.code, ZERO), version.currency) for charge in version.charges)


def _tiers(price: Price, quantity: Decimal) -> tuple[RatedTier, ...]:
    if quantity < 0:  # corrections outweighed usage: that costs nothing, not even a first tier's flat fee
        return ()
    match price:
        case StandardPrice():
            return rate_standard(price, quantity)
        case GraduatedPrice():
            return rate_graduated(price, quantity)
        case PackagePrice():
            return rate_package(price, quantity)


def _too_large(charge: Charge, quantity: Decimal) -> InvalidArgument:
    return InvalidArgument(
        "AMOUNT_TOO_LARGE",
        f"{quantity:f} units under charge {charge.code} cost more than an amount can state",
        field="quantities",
        charge_code=charge.code,
    )
