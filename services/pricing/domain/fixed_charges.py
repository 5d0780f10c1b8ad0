"""What fixed charges come to: units of an add-on, for the days that they are held."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from libs.common.errors import InvalidArgument
from services.pricing.domain.breakdown import EXACT, ROUNDING, ZERO, RatedTier, cut, cut_steps, total
from services.pricing.domain.commitments import FixedCharge
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.limits import Proration
from services.pricing.domain.plans import Charge, PlanVersion
from services.pricing.domain.prorated_graduated import rate_prorated_graduated
from services.pricing.domain.rating import RatedCharge, charge_not_found, priced
from services.pricing.domain.standard import StandardPrice, rate_standard
from services.pricing.domain.usage import EventValue, Usage
from services.pricing.domain.volume import VolumePrice, rate_volume

_SHARE = Decimal("1e-60")
"""What units are prorated to; steps say them to 24 digits, and an amount of as many digits comes out exact."""


@dataclass(frozen=True, slots=True)
class Held:
    """Units, for some days. Neither is negative."""

    units: Decimal
    days: int


@dataclass(frozen=True, slots=True)
class FixedUnits:
    """`held`, in the order of time, in a billing period of `period_days`; empty for the version's units. `billed` are
    the units that the period was billed for already: only what lies above them is priced. None when it was not billed.
    """

    code: str
    held: tuple[Held, ...] = ()
    period_days: int = 0
    billed: Decimal | None = None


def rate_fixed_charges(
    version: PlanVersion, told: Iterable[FixedUnits], proration: Proration | None = None
) -> tuple[RatedCharge, ...]:
    """Those told, in their order; the version's units are held for `proration`.

    Raises NotFound CHARGE_NOT_FOUND, and InvalidArgument FIXED_CHARGE_IN_ARREARS for units that were billed of what is
    not billed in advance, or AMOUNT_TOO_LARGE.
    """
    charges = {charge.code: charge for charge in version.fixed_charges}
    rated: list[RatedCharge] = []
    for each in told:
        if (charge := charges.get(each.code)) is None:
            raise charge_not_found(version, each.code)
        if each.billed is not None and not charge.in_advance:
            raise InvalidArgument(
                "FIXED_CHARGE_IN_ARREARS",
                f"fixed charge {each.code} is billed when a period ends: none of its units are billed before",
                field="fixed_charges",
                charge_code=each.code,
            )
        rated.append(rate_fixed(charge, each if each.held else _as_sold(charge, each, proration), version.currency))
    return tuple(rated)


def _as_sold(charge: FixedCharge, told: FixedUnits, proration: Proration | None) -> FixedUnits:
    days, period_days = (1, 1) if proration is None else (proration.days, proration.period_days)
    return replace(told, held=(Held(charge.units, days),), period_days=period_days)


def rate_fixed(charge: FixedCharge, told: FixedUnits, currency: str) -> RatedCharge:
    """Of units that were held; those that are not prorated cost a whole period, as many as there are at the end.

    Raises InvalidArgument AMOUNT_TOO_LARGE.
    """
    units = _above(told, told.held[-1].units)
    quantity = _prorated(told) if charge.prorated else units
    tiers = cut_steps(_tiers(charge, told, quantity))
    usage = Usage(
        charge.code,
        cut(quantity),
        full_quantity=units if charge.prorated else None,
        quantity_before=told.billed,
    )
    carrier = Charge(charge.code, charge.name, "", charge.price)
    return priced(carrier, None, usage, currency, charge.price.model, tiers, total(tiers), units)


def _tiers(charge: FixedCharge, told: FixedUnits, quantity: Decimal) -> tuple[RatedTier, ...]:
    match charge.price:
        case StandardPrice() as price:
            return rate_standard(price, quantity)
        case VolumePrice() as price:
            return rate_volume(price, quantity, told.held[-1].units)
        case GraduatedPrice() as price if charge.prorated:
            return rate_prorated_graduated(price, _changes(told))
        case GraduatedPrice() as price if told.billed is None:
            return price.table.walk(quantity)
        case GraduatedPrice() as price:
            return _between(price, told.billed or ZERO, told.held[-1].units)


def _above(told: FixedUnits, units: Decimal) -> Decimal:
    return max(EXACT.subtract(units, told.billed or ZERO), ZERO)


def _prorated(told: FixedUnits) -> Decimal:
    days = ZERO
    for each in told.held:
        days = EXACT.add(days, EXACT.multiply(_above(told, each.units), Decimal(each.days)))
    return _share(days, told.period_days)


def _changes(told: FixedUnits) -> list[EventValue]:
    """What each stretch adds to the units, or takes away, for the days from then on."""
    changes: list[EventValue] = []
    before, days = ZERO, sum(each.days for each in told.held)
    for each in told.held:
        added = EXACT.subtract(each.units, before)
        prorated = _share(EXACT.multiply(added, Decimal(days)), told.period_days)
        changes.append(EventValue(added, prorated))
        before = each.units
        days -= each.days
    return changes


def _between(price: GraduatedPrice, billed: Decimal, units: Decimal) -> tuple[RatedTier, ...]:
    """Without the flat fee of the first tier, which is due at 0 units, and so was billed."""
    steps = price.table.between(billed, units)
    if billed or not steps:
        return steps
    first, *others = steps
    return (first._replace(flat_fee=ZERO, amount=EXACT.subtract(first.amount, first.flat_fee)), *others)


def _share(unit_days: Decimal, period_days: int) -> Decimal:
    return ROUNDING.divide(unit_days, Decimal(period_days)).quantize(_SHARE, context=ROUNDING)
