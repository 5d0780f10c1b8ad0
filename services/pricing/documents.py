"""Charges as the column `charges` holds them: a JSON document in which every decimal is a string in plain notation.

What a charge leaves out is left out here too, so that versions of earlier releases read as they were written.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, assert_never

from libs.common.money import plain
from services.pricing.domain.accumulation import Accumulation
from services.pricing.domain.dynamic import DynamicPrice
from services.pricing.domain.graduated import GraduatedPrice
from services.pricing.domain.graduated_percentage import GraduatedPercentagePrice, PercentageTier
from services.pricing.domain.limits import Limits
from services.pricing.domain.matrix import MatrixPrice
from services.pricing.domain.package import PackagePrice
from services.pricing.domain.percentage import PercentagePrice
from services.pricing.domain.plans import Charge, ChargeFilter, Price, PropertyFilter
from services.pricing.domain.pricing_unit import PricingUnit
from services.pricing.domain.standard import StandardPrice
from services.pricing.domain.tiers import PriceTier
from services.pricing.domain.time_of_day import TimeOfDayPrice, TimeWindow
from services.pricing.domain.volume import VolumePrice

Json = dict[str, Any]


def charges_json(charges: Iterable[Charge]) -> str:
    return json.dumps([_charge_json(charge) for charge in charges])


def charges_from_json(text: str) -> tuple[Charge, ...]:
    return tuple(_charge(each) for each in json.loads(text))


def _charge_json(charge: Charge) -> Json:
    optional = {
        "filters": [_filter_json(each) for each in charge.filters],
        "group_keys": list(charge.group_keys),
        "minimum_amount": _text(charge.limits.minimum_amount),
        "maximum_amount": _text(charge.limits.maximum_amount),
        "in_advance": charge.in_advance,
        "prorated": charge.prorated,
        "not_invoiceable": not charge.invoiceable,
        "regroup_paid_fees": charge.regroup_paid_fees,
        "tax_codes": list(charge.tax_codes),
        "accumulation": charge.accumulation if charge.accumulation is Accumulation.CONTRACT else None,
        "pricing_unit": _unit_json(charge.pricing_unit),
    }
    return {
        "code": charge.code,
        "name": charge.name,
        "meter_code": charge.meter_code,
        "price": price_json(charge.price),
        **{key: value for key, value in optional.items() if value},
    }


def _charge(value: Json) -> Charge:
    return Charge(
        code=value["code"],
        name=value["name"],
        meter_code=value["meter_code"],
        price=price_from_json(value["price"]),
        filters=tuple(_filter(each) for each in value.get("filters", ())),
        group_keys=tuple(value.get("group_keys", ())),
        limits=Limits(_decimal(value.get("minimum_amount")), _decimal(value.get("maximum_amount"))),
        in_advance=value.get("in_advance", False),
        prorated=value.get("prorated", False),
        invoiceable=not value.get("not_invoiceable", False),
        regroup_paid_fees=value.get("regroup_paid_fees", False),
        tax_codes=tuple(value.get("tax_codes", ())),
        accumulation=Accumulation(value.get("accumulation", Accumulation.PERIOD)),
        pricing_unit=_unit(value.get("pricing_unit")),
    )


def _unit_json(unit: PricingUnit | None) -> Json | None:
    return None if unit is None else {"code": unit.code, "conversion_rate": plain(unit.conversion_rate)}


def _unit(value: Json | None) -> PricingUnit | None:
    return None if value is None else PricingUnit(value["code"], Decimal(value["conversion_rate"]))


def _filter_json(each: ChargeFilter) -> Json:
    return {
        "code": each.code,
        "name": each.name,
        "properties": [{"property": one.property, "values": list(one.values)} for one in each.properties],
        "price": price_json(each.price),
    }


def _filter(value: Json) -> ChargeFilter:
    properties = tuple(PropertyFilter(one["property"], tuple(one["values"])) for one in value["properties"])
    return ChargeFilter(value["code"], value["name"], properties, price_from_json(value["price"]))


def price_json(price: Price) -> Json:
    content: Json
    match price:
        case StandardPrice(unit_price):
            content = {"unit_price": plain(unit_price)}
        case GraduatedPrice(tiers) | VolumePrice(tiers):
            content = {"tiers": [_tier_json(tier) for tier in tiers]}
        case PackagePrice(package_size, package_price, free_units):
            content = {
                "package_size": plain(package_size),
                "package_price": plain(package_price),
                "free_units": plain(free_units),
            }
        case PercentagePrice():
            content = {
                "rate_percent": plain(price.rate_percent),
                "fixed_per_transaction": plain(price.fixed_per_transaction),
                "free_transactions": price.free_transactions,
                "free_amount": plain(price.free_amount),
                "minimum_per_transaction": _text(price.minimum_per_transaction),
                "maximum_per_transaction": _text(price.maximum_per_transaction),
            }
        case GraduatedPercentagePrice(tiers):
            content = {"tiers": [_percentage_tier_json(tier) for tier in tiers]}
        case DynamicPrice():
            content = {}
        case MatrixPrice(dimensions, cells, default_unit_price):
            content = {
                "dimensions": list(dimensions),
                "cells": [{"values": list(values), "unit_price": plain(each)} for values, each in cells.items()],
                "default_unit_price": plain(default_unit_price),
            }
        case TimeOfDayPrice():
            content = {
                "time_zone": price.time_zone,
                "windows": [_window_json(window) for window in price.windows],
                "default_unit_price": plain(price.default_unit_price),
            }
        case unknown:
            assert_never(unknown)
    return {"model": price.model, **content}


def price_from_json(value: Json) -> Price:
    match value:
        case {"model": StandardPrice.model, "unit_price": unit_price}:
            return StandardPrice(Decimal(unit_price))
        case {"model": GraduatedPrice.model, "tiers": tiers}:
            return GraduatedPrice(tuple(_tier(tier) for tier in tiers))
        case {"model": PackagePrice.model, "package_size": size, "package_price": price, "free_units": free_units}:
            return PackagePrice(Decimal(size), Decimal(price), Decimal(free_units))
        case {"model": VolumePrice.model, "tiers": tiers}:
            return VolumePrice(tuple(_tier(tier) for tier in tiers))
        case {"model": PercentagePrice.model}:
            return _percentage(value)
        case {"model": GraduatedPercentagePrice.model, "tiers": tiers}:
            return GraduatedPercentagePrice(tuple(_percentage_tier(tier) for tier in tiers))
        case {"model": DynamicPrice.model}:
            return DynamicPrice()
        case {"model": MatrixPrice.model, "dimensions": dimensions, "cells": cells, "default_unit_price": price}:
            table = {tuple(cell["values"]): Decimal(cell["unit_price"]) for cell in cells}
            return MatrixPrice(tuple(dimensions), table, Decimal(price))
        case {"model": TimeOfDayPrice.model, "time_zone": time_zone, "windows": windows, "default_unit_price": price}:
            return TimeOfDayPrice(time_zone, tuple(_window(window) for window in windows), Decimal(price))
        case _:
            raise ValueError(f"not a price that this release knows: {value}")


def _percentage(value: Json) -> PercentagePrice:
    return PercentagePrice(
        rate_percent=Decimal(value["rate_percent"]),
        fixed_per_transaction=Decimal(value["fixed_per_transaction"]),
        free_transactions=value["free_transactions"],
        free_amount=Decimal(value["free_amount"]),
        minimum_per_transaction=_decimal(value["minimum_per_transaction"]),
        maximum_per_transaction=_decimal(value["maximum_per_transaction"]),
    )


def _tier_json(tier: PriceTier) -> Json:
    return {"up_to": _text(tier.up_to), "unit_price": plain(tier.unit_price), "flat_fee": plain(tier.flat_fee)}


def _tier(value: Json) -> PriceTier:
    return PriceTier(_decimal(value["up_to"]), Decimal(value["unit_price"]), Decimal(value["flat_fee"]))


def _percentage_tier_json(tier: PercentageTier) -> Json:
    return {"up_to": _text(tier.up_to), "rate_percent": plain(tier.rate_percent), "flat_fee": plain(tier.flat_fee)}


def _percentage_tier(value: Json) -> PercentageTier:
    return PercentageTier(_decimal(value["up_to"]), Decimal(value["rate_percent"]), Decimal(value["flat_fee"]))


def _window_json(window: TimeWindow) -> Json:
    return {
        "code": window.code,
        "weekdays": list(window.weekdays),
        "start_hour": window.start_hour,
        "end_hour": window.end_hour,
        "unit_price": plain(window.unit_price),
    }


def _window(value: Json) -> TimeWindow:
    return TimeWindow(
        value["code"],
        tuple(value["weekdays"]),
        value["start_hour"],
        value["end_hour"],
        Decimal(value["unit_price"]),
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
