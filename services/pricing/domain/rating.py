"""What usage costs, and why. Exact until the end, where each amount is rounded once."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from libs.common.errors import InvalidArgument, NotFound
from libs.common.money import Money
from services.pricing.domain.accumulation import Accumulating, Accumulation, rate_accumulated
from services.pricing.domain.breakdown import ONE, ROUNDING, ZERO, RatedTier, total
from services.pricing.domain.dynamic import DynamicPrice, rate_dynamic
from services.pricing.domain.graduated import GraduatedPrice, rate_graduated
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice, rate_graduated_percentage
from services.pricing.domain.limits import Proration
from services.pricing.domain.matrix import MatrixPrice, rate_matrix
from services.pricing.domain.package import PackagePrice, paid_units, rate_package
from services.pricing.domain.percentage import PercentagePrice, rate_percentage
from services.pricing.domain.plans import Charge, ChargeFilter, PlanVersion, Price
from services.pricing.domain.prorated_graduated import rate_prorated_graduated
from services.pricing.domain.standard import StandardPrice, rate_standard
from services.pricing.domain.time_of_day import TimeOfDayPrice, rate_time_of_day
from services.pricing.domain.usage import Usage
from services.pricing.domain.volume import VolumePrice, rate_volume

MAX_MINOR_UNITS = 2**63 - 1
"""The largest amount that the contract's Money can state."""

_MAX_MAGNITUDE = 20
"""No currency has amounts of more digits before the point that Money can state."""

_UNIT_AMOUNT = Decimal("1e-12")


class RatedCharge(NamedTuple):
    """What `usage` costs under a price of `charge`: `filter`'s, or the charge's own when that is None. `model` is the
    price's, or MINIMUM or MAXIMUM for what leads to a limit of the charge.

    The amounts of `tiers` add up to `unrounded_amount`, or to what converts to that, where `charge` has a pricing unit
    and the entry is for usage, which is for so many `units`. Both are in major units.
    Immutable like the dataclasses, and made in a third of their time.
    """

    charge: Charge
    filter: ChargeFilter | None
    usage: Usage
    model: str
    amount: Money
    unrounded_amount: Decimal
    units: Decimal
    tiers: tuple[RatedTier, ...]

    @property
    def unit_amount(self) -> Decimal:
        """`unrounded_amount` by the unit, to 12 digits after the point; 0 without units."""
        if not self.unrounded_amount or self.units <= 0:
            return ZERO
        return ROUNDING.divide(self.unrounded_amount, self.units).quantize(_UNIT_AMOUNT, context=ROUNDING)


def rate_version(
    version: PlanVersion, usages: Iterable[Usage], proration: Proration | None = None, *, told_only: bool = False
) -> tuple[RatedCharge, ...]:
    """Every charge of `version`, in its order, or those that have usages; see `rate_charge`. Minimum amounts are owed
    for `proration`.

    Raises what `usages_by_charge` and `rate` raise.
    """
    by_charge = usages_by_charge(version, usages)
    rated: list[RatedCharge] = []
    for charge in version.charges:
        if told_only and not by_charge[charge.code]:
            continue
        rated += rate_charge(charge, by_charge[charge.code], version.currency, proration)
    return tuple(rated)


def usages_by_charge(version: PlanVersion, usages: Iterable[Usage]) -> dict[str, list[Usage]]:
    """For every charge of `version`, its usages.

    Raises NotFound CHARGE_NOT_FOUND or CHARGE_FILTER_NOT_FOUND for a code that the version lacks, and InvalidArgument
    GROUP_KEY_UNKNOWN for a group by what the charge is not grouped by, or WINDOW_UNKNOWN for a window of a price that
    has none.
    """
    by_charge: dict[str, list[Usage]] = {charge.code: [] for charge in version.charges}
    for usage in usages:
        if usage.charge_code not in by_charge:
            raise charge_not_found(version, usage.charge_code)
        by_charge[usage.charge_code].append(usage)
    for charge in version.charges:
        for usage in by_charge[charge.code]:
            if usage.filter_code or usage.group or usage.window is not None:
                _require_known(version, charge, usage)
    return by_charge


def rate_charge(
    charge: Charge, usages: Sequence[Usage], currency: str, proration: Proration | None
) -> list[RatedCharge]:
    """What no filter has, then each filter: an entry for each usage, or one at a quantity of 0. Then what leads to the
    charge's minimum or maximum, if that is an amount.
    """
    if charge.filters:
        rated = [
            rate(charge, usage, currency, part)
            for part in (None, *charge.filters)
            for usage in _of_part(charge, part, usages)
        ]
    else:
        rated = [rate(charge, usage, currency) for usage in usages or (Usage(charge.code, ZERO),)]
    if charge.limits.are_set and (entry := _to_limit(charge, rated, currency, proration)) is not None:
        rated.append(entry)
    return rated


def _of_part(charge: Charge, part: ChargeFilter | None, usages: Sequence[Usage]) -> Sequence[Usage]:
    code = "" if part is None else part.code
    return [usage for usage in usages if usage.filter_code == code] or (Usage(charge.code, ZERO, code),)


def _to_limit(
    charge: Charge, rated: Iterable[RatedCharge], currency: str, proration: Proration | None
) -> RatedCharge | None:
    spent = Money(sum(entry.amount.minor_units for entry in rated), currency)
    if (found := charge.limits.step(spent.amount, proration)) is None:
        return None
    model, step = found
    entry = priced(charge, None, Usage(charge.code, ONE), currency, model, (step,), step.amount, ONE)
    return entry if entry.amount.minor_units else None


def rate(charge: Charge, usage: Usage, currency: str, part: ChargeFilter | None = None) -> RatedCharge:
    """`usage` under the price of `part`, or of `charge`.

    Raises InvalidArgument AMOUNT_TOO_LARGE when no Money can state the amount, and what the charge models raise.
    """
    price = charge.price if part is None else part.price
    tiers = _accumulated(price, usage) if charge.accumulation is Accumulation.CONTRACT else _tiers(price, usage)
    amount = total(tiers)
    if charge.pricing_unit is not None:
        amount = charge.pricing_unit.converted(amount)
    return priced(charge, part, usage, currency, price.model, tiers, amount, _units(price, usage))


def priced(
    charge: Charge,
    part: ChargeFilter | None,
    usage: Usage,
    currency: str,
    model: str,
    tiers: tuple[RatedTier, ...],
    unrounded_amount: Decimal,
    units: Decimal,
) -> RatedCharge:
    """What `tiers` come to, `unrounded_amount`, for so many units. Raises InvalidArgument AMOUNT_TOO_LARGE."""
    if unrounded_amount.adjusted() > _MAX_MAGNITUDE:
        raise _too_large(usage)
    amount = Money.rounded(unrounded_amount, currency)
    if amount.minor_units > MAX_MINOR_UNITS:
        raise _too_large(usage)
    return RatedCharge(charge, part, usage, model, amount, unrounded_amount, units, tiers)


def _tiers(price: Price, usage: Usage) -> tuple[RatedTier, ...]:
    if usage.quantity < 0:  # corrections outweighed usage: that costs nothing, not even a first tier's flat fee
        return ()
    match price:
        case StandardPrice():
            return rate_standard(price, usage.quantity)
        case GraduatedPrice() if usage.is_prorated_by_event:
            return _unless_negative(rate_prorated_graduated(price, usage.events))
        case GraduatedPrice():
            return rate_graduated(price, usage.quantity)
        case PackagePrice():
            return rate_package(price, usage.quantity)
        case VolumePrice():
            return rate_volume(price, usage.quantity, usage.full_quantity)
        case PercentagePrice():
            return _unless_negative(rate_percentage(price, usage))
        case GraduatedPercentagePrice():
            return rate_graduated_percentage(price, usage.quantity)
        case DynamicPrice():
            return _unless_negative(rate_dynamic(usage))
        case MatrixPrice():
            return rate_matrix(price, usage.quantity, usage.group)
        case TimeOfDayPrice():
            return rate_time_of_day(price, usage)


def _accumulated(price: Price, usage: Usage) -> tuple[RatedTier, ...]:
    """Nothing for no usage, and for corrections that outweigh it."""
    assert isinstance(price, Accumulating)
    return rate_accumulated(price, usage) if usage.quantity > 0 else ()


def _unless_negative(tiers: tuple[RatedTier, ...]) -> tuple[RatedTier, ...]:
    """What single events come to may be negative though the quantity is not: that costs nothing."""
    return tiers if total(tiers) >= 0 else ()


def _units(price: Price, usage: Usage) -> Decimal:
    """What the amount is divided by to say what a unit costs."""
    units = usage.quantity if usage.full_quantity is None else usage.full_quantity
    return paid_units(price, units) if isinstance(price, PackagePrice) else units


def _require_known(version: PlanVersion, charge: Charge, usage: Usage) -> None:
    if usage.filter_code and all(part.code != usage.filter_code for part in charge.filters):
        raise charge_not_found(version, usage.charge_code, usage.filter_code)
    if usage.window is not None and not isinstance(_price(charge, usage), TimeOfDayPrice):
        raise InvalidArgument(
            "WINDOW_UNKNOWN",
            f"charge {charge.code} has no window {usage.window}",
            field="quantities",
            charge_code=charge.code,
        )
    for key, _ in usage.group:
        if key not in charge.group_keys:
            raise InvalidArgument(
                "GROUP_KEY_UNKNOWN",
                f"charge {charge.code} is not grouped by {key!r}",
                field="quantities",
                charge_code=charge.code,
            )


def _price(charge: Charge, usage: Usage) -> Price:
    return next((part.price for part in charge.filters if part.code == usage.filter_code), charge.price)


def charge_not_found(version: PlanVersion, code: str, filter_code: str = "") -> NotFound:
    return NotFound(
        "CHARGE_FILTER_NOT_FOUND" if filter_code else "CHARGE_NOT_FOUND",
        f"version {version.version} of plan {version.plan_code} has no charge {code}"
        + (f" with a filter {filter_code}" if filter_code else ""),
        plan_code=version.plan_code,
        version=str(version.version),
        charge_code=code,
    )


def _too_large(usage: Usage) -> InvalidArgument:
    return InvalidArgument(
        "AMOUNT_TOO_LARGE",
        f"{usage.quantity:f} units under charge {usage.charge_code} cost more than an amount can state",
        field="quantities",
        charge_code=usage.charge_code,
    )
