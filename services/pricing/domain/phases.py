"""Prices that change by the month of a contract, and other changes of a version's prices."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from services.pricing.domain.breakdown import EXACT, HUNDRED, ROUNDING
from services.pricing.domain.commitments import FixedPrice
from services.pricing.domain.dynamic import DynamicPrice
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice, PercentageTier
from services.pricing.domain.matrix import MatrixPrice
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.plans import Charge, ChargeFilter, Phase, PlanVersion, Price, PriceChange
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.time_of_day import TimeOfDayPrice
from services.pricing.domain.volume import VolumePrice

PRICE_DIGITS = Decimal("1e-12")
"""What a price is rounded to when it is changed by percent: the digits that any price has."""


def phase_in(version: PlanVersion, month: int) -> Phase | None:
    """The phase that has a month of the contract, counted from 0."""
    for phase in version.phases:
        if phase.from_month <= month and (phase.to_month is None or month < phase.to_month):
            return phase
    return None


def in_phase(version: PlanVersion, phase: Phase) -> PlanVersion:
    """What `version` costs in `phase`."""
    match phase.base_fee:
        case None:
            base_fee = version.base_fee
        case Money() as fee:
            base_fee = fee
        case percent:
            base_fee = version.base_fee and Money.rounded(_scaled(version.base_fee.amount, percent), version.currency)
    return replace(version, base_fee=base_fee, charges=repriced(version.charges, phase.changes, "prices"), phases=())


def repriced(charges: tuple[Charge, ...], changes: Iterable[PriceChange], field: str) -> tuple[Charge, ...]:
    """`charges` with other prices; `field` is the path of the changes. Raises InvalidArgument CHARGE_NOT_FOUND,
    CHARGE_FILTER_NOT_FOUND or PERCENT_CHANGE_UNSUPPORTED.
    """
    by_code = {charge.code: charge for charge in charges}
    for index, change in enumerate(changes):
        path = f"{field}[{index}]"
        if (charge := by_code.get(change.charge_code)) is None:
            path += ".charge_code"
            raise InvalidArgument(
                "CHARGE_NOT_FOUND", f"{path} is {change.charge_code!r}, which the version lacks", field=path
            )
        by_code[charge.code] = _repriced(charge, change, path)
    return tuple(by_code.values())


def _repriced(charge: Charge, change: PriceChange, path: str) -> Charge:
    if not change.filter_code:
        return replace(charge, price=_changed(charge.price, change, path))
    if all(each.code != change.filter_code for each in charge.filters):
        path += ".filter"
        raise InvalidArgument(
            "CHARGE_FILTER_NOT_FOUND",
            f"{path} is {change.filter_code!r}, which charge {charge.code} lacks",
            field=path,
        )

    def filter_with(each: ChargeFilter) -> ChargeFilter:
        return replace(each, price=_changed(each.price, change, path)) if each.code == change.filter_code else each

    return replace(charge, filters=tuple(map(filter_with, charge.filters)))


def _changed(price: Price, change: PriceChange, path: str) -> Price:
    if not isinstance(change.change, Decimal):
        return change.change
    if isinstance(price, DynamicPrice):
        raise InvalidArgument(
            "PERCENT_CHANGE_UNSUPPORTED",
            f"{path}.percent: events bring their prices along under a dynamic price",
            field=f"{path}.percent",
        )
    return scaled(price, change.change)


def scaled(price: Price, percent: Decimal) -> Price:
    """Every amount and rate of `price` changed by `percent`, to 12 digits after the point. Allowances stay."""

    def of(amount: Decimal) -> Decimal:
        return _scaled(amount, percent)

    match price:
        case StandardPrice() | GraduatedPrice() | VolumePrice():
            return _scaled_fixed(price, percent)
        case PackagePrice():
            return replace(price, package_price=of(price.package_price))
        case PercentagePrice():
            least, most = price.minimum_per_transaction, price.maximum_per_transaction
            return replace(
                price,
                rate_percent=of(price.rate_percent),
                fixed_per_transaction=of(price.fixed_per_transaction),
                minimum_per_transaction=None if least is None else of(least),
                maximum_per_transaction=None if most is None else of(most),
            )
        case GraduatedPercentagePrice(tiers):
            return GraduatedPercentagePrice(
                tuple(PercentageTier(tier.up_to, of(tier.rate_percent), of(tier.flat_fee)) for tier in tiers)
            )
        case MatrixPrice():
            cells = {values: of(each) for values, each in price.cells.items()}
            return MatrixPrice(price.dimensions, cells, of(price.default_unit_price))
        case TimeOfDayPrice():
            windows = tuple(replace(window, unit_price=of(window.unit_price)) for window in price.windows)
            return TimeOfDayPrice(price.time_zone, windows, of(price.default_unit_price))
        case DynamicPrice():
            return price
        case unknown:
            assert_never(unknown)


def _scaled_fixed(price: FixedPrice, percent: Decimal) -> FixedPrice:
    match price:
        case StandardPrice(unit_price):
            return StandardPrice(_scaled(unit_price, percent))
        case GraduatedPrice(tiers):
            return GraduatedPrice(tuple(_scaled_tier(tier, percent) for tier in tiers))
        case VolumePrice(tiers):
            return VolumePrice(tuple(_scaled_tier(tier, percent) for tier in tiers))


def _scaled_tier(tier: PriceTier, percent: Decimal) -> PriceTier:
    return PriceTier(tier.up_to, _scaled(tier.unit_price, percent), _scaled(tier.flat_fee, percent))


def _scaled(amount: Decimal, percent: Decimal) -> Decimal:
    part = ROUNDING.divide(EXACT.add(HUNDRED, percent), HUNDRED)
    return EXACT.multiply(amount, part).quantize(PRICE_DIGITS, context=ROUNDING)
