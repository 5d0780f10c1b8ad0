"""The `given` of a case as a charge of a plan."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from libs.common.money import plain
from tests.reference.cases import Fields, Json, Unsupported
from weir.pricing.v1 import pricing_pb2
from weir.pricing.v1.pricing_pb2 import Charge, PriceTier

CHARGEABLES = (None, "charge", "fixed_charge")
"""What a price belongs to does not change what it comes to."""


def charge_in(given: Fields, code: str) -> Charge:
    """Raises Unsupported for what a plan can't say."""
    model = given.take("charge_model")
    if model not in PRICES:
        raise Unsupported(f"the charge model {model!r}")
    if given.take("chargeable") not in CHARGEABLES:
        raise Unsupported("given.chargeable")
    for key in ("prorated", "recurring", "aggregation"):  # how the units came about: they are told in `when`
        given.take(key)
    premium = given.take("premium", True)
    properties = Fields(given.take("properties", {}), "given.properties")
    given.close()
    charge = Charge(code=code, meter_code=code, group_keys=properties.take("pricing_group_keys") or ())
    PRICES[model](charge, properties)
    properties.close()
    if model == "percentage" and not premium:  # what the reference ignores without a licence
        charge.percentage.ClearField("minimum_per_transaction")
        charge.percentage.ClearField("maximum_per_transaction")
    return charge


def text(value: Any) -> str:
    """A figure in plain notation, "" for none."""
    return "" if value is None else plain(Decimal(str(value)))


def _standard(charge: Charge, properties: Fields) -> None:
    charge.standard.unit_price = text(properties.take("amount"))


def _graduated(charge: Charge, properties: Fields) -> None:
    charge.graduated.tiers.extend(_tiers(properties.take("graduated_ranges", []), "given.properties.graduated_ranges"))


def _volume(charge: Charge, properties: Fields) -> None:
    charge.volume.tiers.extend(_tiers(properties.take("volume_ranges", []), "given.properties.volume_ranges"))


def _package(charge: Charge, properties: Fields) -> None:
    charge.package.package_size = text(properties.take("package_size"))
    charge.package.package_price = text(properties.take("amount"))
    charge.package.free_units = text(properties.take("free_units"))


def _percentage(charge: Charge, properties: Fields) -> None:
    charge.percentage.rate_percent = text(properties.take("rate"))
    charge.percentage.fixed_per_transaction = text(properties.take("fixed_amount"))
    charge.percentage.free_transactions = int(properties.take("free_units_per_events") or 0)
    charge.percentage.free_amount = text(properties.take("free_units_per_total_aggregation"))
    charge.percentage.minimum_per_transaction = text(properties.take("per_transaction_min_amount"))
    charge.percentage.maximum_per_transaction = text(properties.take("per_transaction_max_amount"))


def _graduated_percentage(charge: Charge, properties: Fields) -> None:
    path = "given.properties.graduated_percentage_ranges"
    for each in _ranges(properties.take("graduated_percentage_ranges", []), path):
        charge.graduated_percentage.tiers.add(
            up_to=text(each.take("to_value")),
            rate_percent=text(each.take("rate")),
            flat_fee=text(each.take("flat_amount")),
        )
        each.close()


def _dynamic(charge: Charge, properties: Fields) -> None:
    charge.dynamic.SetInParent()


PRICES: dict[str, Callable[[Charge, Fields], None]] = {
    "standard": _standard,
    "graduated": _graduated,
    "prorated_graduated": _graduated,
    "package": _package,
    "volume": _volume,
    "percentage": _percentage,
    "graduated_percentage": _graduated_percentage,
    "dynamic": _dynamic,
}


def _tiers(ranges: Sequence[Json], path: str) -> list[PriceTier]:
    tiers = []
    for each in _ranges(ranges, path):
        tiers.append(
            pricing_pb2.PriceTier(
                up_to=text(each.take("to_value")),
                unit_price=text(each.take("per_unit_amount")),
                flat_fee=text(each.take("flat_amount")),
            )
        )
        each.close()
    return tiers


def _ranges(ranges: Sequence[Json], path: str) -> list[Fields]:
    """Ranges such as 0-10, 11-20, … or 0-0.1, 0.1-1, …, which are tiers up to 10, 20, … and 0.1, 1, …"""
    fields: list[Fields] = []
    end: str | None = "0"
    for index, each in enumerate(ranges):
        fields.append(Fields(each, f"{path}[{index}]"))
        start = text(fields[-1].take("from_value"))
        follows = end and start in (end, plain(Decimal(end) + 1) if index else end)
        if not follows:
            raise Unsupported(f"{path}[{index}].from_value, {start} after {end or 'the end'}")
        end = text(each.get("to_value"))
    return fields
