"""The prices of the charge models on the wire."""

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import TypeAlias, assert_never

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import amount_in, decimal_in, text_in
from services.pricing.convert.collected import read_all, require_unique
from services.pricing.convert.time_of_day import time_of_day_in, time_of_day_out
from services.pricing.domain.breakdown import ZERO
from services.pricing.domain.dynamic import DynamicPrice
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice, PercentageTier
from services.pricing.domain.matrix import MatrixPrice
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.plans import Price
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.time_of_day import TimeOfDayPrice
from services.pricing.domain.volume import VolumePrice
from weir.pricing.v1 import pricing_pb2

Priced: TypeAlias = pricing_pb2.Charge | pricing_pb2.ChargeFilter | pricing_pb2.ChargePrice
"""Messages with the oneof `price`."""


def price_in(message: Priced, field: str) -> Price:
    model = message.WhichOneof("price")
    path = f"{field}.{model}"
    match model:
        case "standard":
            return StandardPrice(amount_in(message.standard.unit_price, f"{path}.unit_price"))
        case "graduated":
            return GraduatedPrice(_price_tiers_in(message.graduated.tiers, f"{path}.tiers"))
        case "package":
            return _package_in(message.package, path)
        case "volume":
            return VolumePrice(_price_tiers_in(message.volume.tiers, f"{path}.tiers"))
        case "percentage":
            return _percentage_in(message.percentage, path)
        case "graduated_percentage":
            return _graduated_percentage_in(message.graduated_percentage, path)
        case "dynamic":
            return DynamicPrice()
        case "matrix":
            return _matrix_in(message.matrix, path)
        case "time_of_day":
            return time_of_day_in(message.time_of_day, path)
        case None:
            known = ", ".join(each.name for each in message.DESCRIPTOR.oneofs_by_name["price"].fields)
            raise InvalidArgument("FIELD_MISSING", f"{field} has no price: give one of {known}", field=f"{field}.price")
        case unknown:
            assert_never(unknown)


def set_price(message: Priced, price: Price) -> None:
    match price:
        case StandardPrice(unit_price):
            message.standard.unit_price = plain(unit_price)
        case GraduatedPrice(tiers):
            message.graduated.tiers.extend(map(_price_tier_out, tiers))
        case PackagePrice():
            message.package.CopyFrom(_package_out(price))
        case VolumePrice(tiers):
            message.volume.tiers.extend(map(_price_tier_out, tiers))
        case PercentagePrice():
            message.percentage.CopyFrom(_percentage_out(price))
        case GraduatedPercentagePrice(tiers):
            message.graduated_percentage.tiers.extend(map(_percentage_tier_out, tiers))
        case DynamicPrice():
            message.dynamic.SetInParent()
        case MatrixPrice():
            message.matrix.CopyFrom(_matrix_out(price))
        case TimeOfDayPrice():
            message.time_of_day.CopyFrom(time_of_day_out(price))
        case unknown:
            assert_never(unknown)


def optional_amount_in(value: str, field: str) -> Decimal | None:
    return amount_in(value, field) if value else None


def optional_out(value: Decimal | None) -> str:
    return "" if value is None else plain(value)


def require_ascending(minimum: Decimal | None, maximum: Decimal | None, field: str) -> None:
    """`field` is the maximum's."""
    if minimum is not None and maximum is not None and maximum < minimum:
        raise InvalidArgument(
            "MAXIMUM_BELOW_MINIMUM", f"{field} is {plain(maximum)}, less than the minimum {plain(minimum)}", field=field
        )


def _price_tiers_in(messages: Sequence[pricing_pb2.PriceTier], field: str) -> tuple[PriceTier, ...]:
    last = len(messages) - 1
    tiers = read_all(
        partial(_price_tier_in, tier, f"{field}[{index}]", is_last=index == last) for index, tier in enumerate(messages)
    )
    _require_tiers([tier.up_to for tier in tiers], field)
    return tiers


def _price_tier_in(message: pricing_pb2.PriceTier, field: str, *, is_last: bool) -> PriceTier:
    return PriceTier(
        up_to=_up_to_in(message.up_to, f"{field}.up_to", is_last=is_last),
        unit_price=amount_in(message.unit_price, f"{field}.unit_price"),
        flat_fee=amount_in(message.flat_fee, f"{field}.flat_fee", default=ZERO),
    )


def _price_tier_out(tier: PriceTier) -> pricing_pb2.PriceTier:
    return pricing_pb2.PriceTier(
        up_to=optional_out(tier.up_to), unit_price=plain(tier.unit_price), flat_fee=plain(tier.flat_fee)
    )


def _graduated_percentage_in(message: pricing_pb2.GraduatedPercentagePrice, field: str) -> GraduatedPercentagePrice:
    last = len(message.tiers) - 1
    tiers = read_all(
        partial(_percentage_tier_in, tier, f"{field}.tiers[{index}]", is_last=index == last)
        for index, tier in enumerate(message.tiers)
    )
    _require_tiers([tier.up_to for tier in tiers], f"{field}.tiers")
    return GraduatedPercentagePrice(tiers)


def _percentage_tier_in(message: pricing_pb2.PercentageTier, field: str, *, is_last: bool) -> PercentageTier:
    return PercentageTier(
        up_to=_up_to_in(message.up_to, f"{field}.up_to", is_last=is_last),
        rate_percent=amount_in(message.rate_percent, f"{field}.rate_percent"),
        flat_fee=amount_in(message.flat_fee, f"{field}.flat_fee", default=ZERO),
    )


def _percentage_tier_out(tier: PercentageTier) -> pricing_pb2.PercentageTier:
    return pricing_pb2.PercentageTier(
        up_to=optional_out(tier.up_to), rate_percent=plain(tier.rate_percent), flat_fee=plain(tier.flat_fee)
    )


def _up_to_in(value: str, field: str, *, is_last: bool) -> Decimal | None:
    if not is_last:
        return decimal_in(value, field)
    if value:
        raise InvalidArgument("LAST_TIER_BOUNDED", f"{field} must be empty: the last tier has no end", field=field)
    return None


def _require_tiers(ends: Sequence[Decimal | None], field: str) -> None:
    """At least one, and all but the last, which has none, ascending from above 0."""
    if not ends:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    floor = ZERO
    for index, end in enumerate(ends[:-1]):
        assert end is not None
        if end <= floor:
            path = f"{field}[{index}].up_to"
            raise InvalidArgument(
                "TIERS_NOT_ASCENDING", f"{path} is {plain(end)}, not more than {plain(floor)}", field=path
            )
        floor = end


def _package_in(message: pricing_pb2.PackagePrice, field: str) -> PackagePrice:
    size = decimal_in(message.package_size, f"{field}.package_size")
    if size <= 0:
        raise InvalidArgument(
            "PACKAGE_SIZE_NOT_POSITIVE",
            f"{field}.package_size is {plain(size)}; a package has more than 0 units",
            field=f"{field}.package_size",
        )
    return PackagePrice(
        package_size=size,
        package_price=amount_in(message.package_price, f"{field}.package_price"),
        free_units=amount_in(message.free_units, f"{field}.free_units", default=ZERO),
    )


def _package_out(price: PackagePrice) -> pricing_pb2.PackagePrice:
    return pricing_pb2.PackagePrice(
        package_size=plain(price.package_size),
        package_price=plain(price.package_price),
        free_units=plain(price.free_units),
    )


def _percentage_in(message: pricing_pb2.PercentagePrice, field: str) -> PercentagePrice:
    minimum = optional_amount_in(message.minimum_per_transaction, f"{field}.minimum_per_transaction")
    maximum = optional_amount_in(message.maximum_per_transaction, f"{field}.maximum_per_transaction")
    require_ascending(minimum, maximum, f"{field}.maximum_per_transaction")
    if message.free_transactions < 0:
        path = f"{field}.free_transactions"
        raise InvalidArgument(
            "AMOUNT_NEGATIVE", f"{path} is {message.free_transactions}; it must not be negative", field=path
        )
    return PercentagePrice(
        rate_percent=amount_in(message.rate_percent, f"{field}.rate_percent"),
        fixed_per_transaction=amount_in(message.fixed_per_transaction, f"{field}.fixed_per_transaction", default=ZERO),
        free_transactions=message.free_transactions,
        free_amount=amount_in(message.free_amount, f"{field}.free_amount", default=ZERO),
        minimum_per_transaction=minimum,
        maximum_per_transaction=maximum,
    )


def _percentage_out(price: PercentagePrice) -> pricing_pb2.PercentagePrice:
    return pricing_pb2.PercentagePrice(
        rate_percent=plain(price.rate_percent),
        fixed_per_transaction=plain(price.fixed_per_transaction),
        free_transactions=price.free_transactions,
        free_amount=plain(price.free_amount),
        minimum_per_transaction=optional_out(price.minimum_per_transaction),
        maximum_per_transaction=optional_out(price.maximum_per_transaction),
    )


def _matrix_in(message: pricing_pb2.MatrixPrice, field: str) -> MatrixPrice:
    if not message.dimensions:
        raise InvalidArgument("FIELD_MISSING", f"{field}.dimensions is required", field=f"{field}.dimensions")
    dimensions = read_all(
        partial(text_in, each, f"{field}.dimensions[{index}]") for index, each in enumerate(message.dimensions)
    )
    require_unique("PROPERTY_DUPLICATE", dimensions, field + ".dimensions[{}]")
    cells = read_all(
        partial(_cell_in, cell, len(dimensions), f"{field}.cells[{index}]") for index, cell in enumerate(message.cells)
    )
    require_unique("MATRIX_CELL_DUPLICATE", [values for values, _ in cells], field + ".cells[{}].values")
    return MatrixPrice(dimensions, dict(cells), amount_in(message.default_unit_price, f"{field}.default_unit_price"))


def _cell_in(message: pricing_pb2.MatrixCell, dimensions: int, field: str) -> tuple[tuple[str, ...], Decimal]:
    if len(message.values) != dimensions:
        raise InvalidArgument(
            "MATRIX_CELL_MALFORMED",
            f"{field}.values has {len(message.values)}, the matrix {dimensions} dimensions",
            field=f"{field}.values",
        )
    values = read_all(partial(text_in, value, f"{field}.values[{index}]") for index, value in enumerate(message.values))
    return values, amount_in(message.unit_price, f"{field}.unit_price")


def _matrix_out(price: MatrixPrice) -> pricing_pb2.MatrixPrice:
    return pricing_pb2.MatrixPrice(
        dimensions=price.dimensions,
        cells=[
            pricing_pb2.MatrixCell(values=values, unit_price=plain(unit_price))
            for values, unit_price in price.cells.items()
        ],
        default_unit_price=plain(price.default_unit_price),
    )
