"""Charges and their filters on the wire."""

from collections.abc import Sequence
from functools import partial

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import code_in, decimal_in, text_in
from services.pricing.convert.collected import read_all, require_unique
from services.pricing.convert.described import tax_codes_in
from services.pricing.convert.prices import optional_amount_in, optional_out, price_in, require_ascending, set_price
from services.pricing.domain.accumulation import Accumulating, Accumulation
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.limits import Limits
from services.pricing.domain.matrix import MatrixPrice
from services.pricing.domain.plans import BASE_FEE_CODE, Charge, ChargeFilter, Price, PropertyFilter
from services.pricing.domain.pricing_unit import PricingUnit
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.time_of_day import TimeOfDayPrice
from services.pricing.domain.volume import VolumePrice
from weir.pricing.v1 import pricing_pb2

_ACCUMULATIONS = {
    pricing_pb2.Charge.ACCUMULATION_UNSPECIFIED: Accumulation.PERIOD,
    pricing_pb2.Charge.ACCUMULATION_CONTRACT: Accumulation.CONTRACT,
}
_ACCUMULATIONS_OUT = {accumulation: number for number, accumulation in _ACCUMULATIONS.items()}


def charge_in(message: pricing_pb2.Charge, field: str) -> Charge:
    charge = Charge(
        code=charge_code_in(message.code, f"{field}.code"),
        name=text_in(message.name, f"{field}.name", required=False),
        meter_code=code_in(message.meter_code, f"{field}.meter_code"),
        price=price_in(message, field),
        filters=_filters_in(message.filters, f"{field}.filters"),
        group_keys=_group_keys_in(message.group_keys, f"{field}.group_keys"),
        limits=_limits_in(message, field),
        in_advance=message.in_advance,
        prorated=message.prorated,
        invoiceable=message.invoiceable if message.HasField("invoiceable") else True,
        regroup_paid_fees=message.regroup_paid_fees,
        tax_codes=tax_codes_in(message.tax_codes, f"{field}.tax_codes"),
        accumulation=_accumulation_in(message, f"{field}.accumulation"),
        pricing_unit=_pricing_unit_in(message, f"{field}.pricing_unit"),
    )
    require_valid(charge, field)
    return charge


def charge_code_in(value: str, field: str) -> str:
    """Of a charge, or of a fixed charge."""
    code = code_in(value, field)
    if code == BASE_FEE_CODE:
        raise InvalidArgument("CHARGE_CODE_RESERVED", f"{field} is {code!r}, the line of the base fee", field=field)
    return code


def require_valid(charge: Charge, field: str) -> None:
    """What prices need of their charge. Raises InvalidArgument."""
    _require_grouped(charge.price, charge.group_keys, field)
    for index, each in enumerate(charge.filters):
        _require_grouped(each.price, charge.group_keys, f"{field}.filters[{index}]")
    _require_timed(charge, field)
    _require_accumulating(charge, f"{field}.accumulation")


def charge_out(charge: Charge) -> pricing_pb2.Charge:
    message = pricing_pb2.Charge(
        code=charge.code,
        name=charge.name,
        meter_code=charge.meter_code,
        filters=[_filter_out(each) for each in charge.filters],
        group_keys=charge.group_keys,
        minimum_amount=optional_out(charge.limits.minimum_amount),
        maximum_amount=optional_out(charge.limits.maximum_amount),
        in_advance=charge.in_advance,
        prorated=charge.prorated,
        invoiceable=None if charge.invoiceable else False,
        regroup_paid_fees=charge.regroup_paid_fees,
        tax_codes=charge.tax_codes,
        accumulation=_ACCUMULATIONS_OUT[charge.accumulation],
        pricing_unit=None if charge.pricing_unit is None else _pricing_unit_out(charge.pricing_unit),
    )
    set_price(message, charge.price)
    return message


def _filters_in(messages: Sequence[pricing_pb2.ChargeFilter], field: str) -> tuple[ChargeFilter, ...]:
    filters = read_all(partial(_filter_in, message, f"{field}[{index}]") for index, message in enumerate(messages))
    require_unique("FILTER_DUPLICATE", [each.code for each in filters], field + "[{}].code")
    admitted = [frozenset((one.property, frozenset(one.values)) for one in each.properties) for each in filters]
    require_unique("FILTER_DUPLICATE", admitted, field + "[{}].properties")
    return filters


def _filter_in(message: pricing_pb2.ChargeFilter, field: str) -> ChargeFilter:
    if not message.properties:
        raise InvalidArgument("FIELD_MISSING", f"{field}.properties is required", field=f"{field}.properties")
    properties = read_all(
        partial(_property_in, each, f"{field}.properties[{index}]") for index, each in enumerate(message.properties)
    )
    require_unique("PROPERTY_DUPLICATE", [each.property for each in properties], field + ".properties[{}].property")
    return ChargeFilter(
        code=code_in(message.code, f"{field}.code"),
        name=text_in(message.name, f"{field}.name", required=False),
        properties=properties,
        price=price_in(message, field),
    )


def _filter_out(each: ChargeFilter) -> pricing_pb2.ChargeFilter:
    message = pricing_pb2.ChargeFilter(
        code=each.code,
        name=each.name,
        properties=[
            pricing_pb2.PropertyFilter(property=admits.property, values=admits.values) for admits in each.properties
        ],
    )
    set_price(message, each.price)
    return message


def _property_in(message: pricing_pb2.PropertyFilter, field: str) -> PropertyFilter:
    values = read_all(partial(text_in, value, f"{field}.values[{index}]") for index, value in enumerate(message.values))
    return PropertyFilter(text_in(message.property, f"{field}.property"), values)


def _group_keys_in(keys: Sequence[str], field: str) -> tuple[str, ...]:
    read = read_all(partial(text_in, key, f"{field}[{index}]") for index, key in enumerate(keys))
    require_unique("PROPERTY_DUPLICATE", read, field + "[{}]")
    return read


def _limits_in(message: pricing_pb2.Charge, field: str) -> Limits:
    minimum = optional_amount_in(message.minimum_amount, f"{field}.minimum_amount")
    maximum = optional_amount_in(message.maximum_amount, f"{field}.maximum_amount")
    require_ascending(minimum, maximum, f"{field}.maximum_amount")
    return Limits(minimum, maximum)


def _accumulation_in(message: pricing_pb2.Charge, field: str) -> Accumulation:
    if message.accumulation not in _ACCUMULATIONS:
        raise InvalidArgument(
            "ACCUMULATION_UNKNOWN", f"{field} is {message.accumulation}, which means nothing", field=field
        )
    return _ACCUMULATIONS[message.accumulation]


def _require_accumulating(charge: Charge, field: str) -> None:
    if charge.accumulation is Accumulation.PERIOD:
        return
    for price in charge.prices:
        if not isinstance(price, Accumulating):
            raise InvalidArgument(
                "ACCUMULATION_UNSUPPORTED",
                f"{field}: a {price.model} price can't run through the contract",
                field=field,
            )


def _pricing_unit_in(message: pricing_pb2.Charge, field: str) -> PricingUnit | None:
    if not message.HasField("pricing_unit"):
        return None
    rate = decimal_in(message.pricing_unit.conversion_rate, f"{field}.conversion_rate")
    if rate <= 0:
        path = f"{field}.conversion_rate"
        raise InvalidArgument("CONVERSION_RATE_NOT_POSITIVE", f"{path} is {plain(rate)}", field=path)
    return PricingUnit(code_in(message.pricing_unit.code, f"{field}.code"), rate)


def _pricing_unit_out(unit: PricingUnit) -> pricing_pb2.PricingUnit:
    return pricing_pb2.PricingUnit(code=unit.code, conversion_rate=plain(unit.conversion_rate))


def _require_grouped(price: Price, group_keys: Sequence[str], field: str) -> None:
    """A quantity tells its cell by its group, so a matrix price needs its dimensions in the charge's group_keys."""
    if not isinstance(price, MatrixPrice):
        return
    for index, dimension in enumerate(price.dimensions):
        if dimension not in group_keys:
            path = f"{field}.matrix.dimensions[{index}]"
            raise InvalidArgument(
                "MATRIX_DIMENSION_UNGROUPED", f"{path} is {dimension!r}, not one of the charge's group_keys", field=path
            )


def _require_timed(charge: Charge, field: str) -> None:
    """What can be billed as usage happens, and what can be prorated. What depends on the meter, who bills checks."""
    if charge.in_advance and any(isinstance(price, VolumePrice) for price in charge.prices):
        raise InvalidArgument(
            "IN_ADVANCE_UNSUPPORTED",
            f"{field}.in_advance: a volume price depends on all usage of the period, so it is billed in arrears",
            field=f"{field}.in_advance",
        )
    if charge.in_advance and charge.limits.are_set:
        raise InvalidArgument(
            "IN_ADVANCE_UNSUPPORTED",
            f"{field}.in_advance: a minimum or maximum is of all usage of the period, so it is billed in arrears",
            field=f"{field}.in_advance",
        )
    if charge.in_advance and any(isinstance(price, TimeOfDayPrice) for price in charge.prices):
        raise InvalidArgument(
            "IN_ADVANCE_UNSUPPORTED",
            f"{field}.in_advance: a price by time of day is of hours that are over, so it is billed in arrears",
            field=f"{field}.in_advance",
        )
    if charge.in_advance and charge.accumulation is Accumulation.CONTRACT:
        raise InvalidArgument(
            "IN_ADVANCE_UNSUPPORTED",
            f"{field}.in_advance: tiers that go on over the contract depend on usage of periods before, which may still"
            " change, so it is billed in arrears",
            field=f"{field}.in_advance",
        )
    if not (charge.invoiceable or charge.in_advance):
        raise InvalidArgument(
            "INVOICE_REQUIRED",
            f"{field}.invoiceable: what is billed in arrears is billed on an invoice",
            field=f"{field}.invoiceable",
        )
    if charge.regroup_paid_fees and charge.invoiceable:
        raise InvalidArgument(
            "REGROUPING_UNSUPPORTED",
            f"{field}.regroup_paid_fees: fees that are on an invoice at once are paid by that",
            field=f"{field}.regroup_paid_fees",
        )
    proratable = StandardPrice if charge.in_advance else (StandardPrice, GraduatedPrice, VolumePrice)
    if charge.prorated and not all(isinstance(price, proratable) for price in charge.prices):
        raise InvalidArgument(
            "PRORATION_UNSUPPORTED",
            f"{field}.prorated: standard prices can be, and in arrears graduated and volume prices",
            field=f"{field}.prorated",
        )
