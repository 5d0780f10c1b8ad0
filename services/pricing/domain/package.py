"""The package charge model: units are sold by the package, and a package begun is a package sold."""

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from services.pricing.domain.breakdown import EXACT, ONE, ZERO, RatedTier, StepKind


@dataclass(frozen=True, slots=True)
class PackagePrice:
    """`package_price`, in major units, of each `package_size` units (greater than 0) above the `free_units`."""

    model: ClassVar[str] = "package"

    package_size: Decimal
    package_price: Decimal
    free_units: Decimal = ZERO


def rate_package(price: PackagePrice, quantity: Decimal) -> tuple[RatedTier, ...]:
    """One step, whose quantity is the number of packages."""
    packages, begun = EXACT.divmod(paid_units(price, quantity), price.package_size)
    if begun:
        packages = EXACT.add(packages, ONE)
    amount = EXACT.multiply(packages, price.package_price)
    return (
        RatedTier(
            ZERO,
            None,
            packages,
            price.package_price,
            amount,
            free_units=price.free_units,
            kind=StepKind.PACKAGES,
            package_size=price.package_size,
        ),
    )


def paid_units(price: PackagePrice, quantity: Decimal) -> Decimal:
    """Units above the free ones."""
    return max(EXACT.subtract(quantity, price.free_units), ZERO)
