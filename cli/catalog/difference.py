"""What has to change so that the services have what a catalog says; pure.

Two elements are compared field by field in one normal form, in which "1.00" is "1" and a default is the same as saying
nothing. What the services have and the file does not mention stays as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias, TypeVar

from cli.catalog.reader import AGGREGATIONS, INTERVALS, ROUNDINGS, Catalog, Coded, PlanSource
from libs.common.money import Money, plain
from weir.common.v1 import money_pb2
from weir.metering.v1.metering_pb2 import Meter
from weir.pricing.v1.pricing_pb2 import Charge, Plan, Tax

C = TypeVar("C", bound=Coded)
Kind: TypeAlias = Literal["meter", "tax", "plan"]
Action: TypeAlias = Literal["create", "update", "new_version", "unchanged"]
Fields: TypeAlias = Mapping[str, str]

_AGGREGATION_NAMES = {value: name for name, value in AGGREGATIONS.items()}
_ROUNDING_NAMES = {value: name for name, value in ROUNDINGS.items()}
_INTERVAL_NAMES = {value: name for name, value in INTERVALS.items()}
UPDATABLE_IN_METER = ("name", "description")
PLAN_FIELDS = ("name", "description")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """`old` or `new` is "" where the field is not there."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Change:
    """`version` is the plan version that results; 0 for a meter and a tax."""

    kind: Kind
    code: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class Existing:
    """What the services have, by code."""

    meters: Mapping[str, Meter]
    taxes: Mapping[str, Tax]
    plans: Mapping[str, Plan]


def changes(catalog: Catalog, existing: Existing) -> list[Change]:
    """In the order in which they must be applied. Raises CatalogError for what can't be changed."""
    _require_known_names(catalog, existing)
    return [
        *(_meter_change(catalog, index, existing.meters.get(m.code)) for index, m in enumerate(catalog.meters)),
        *(_tax_change(tax, existing.taxes.get(tax.code)) for tax in catalog.taxes),
        *(_plan_change(catalog, index, existing.plans.get(p.code)) for index, p in enumerate(catalog.plans)),
    ]


def _require_known_names(catalog: Catalog, existing: Existing) -> None:
    meters = {meter.code for meter in catalog.meters} | existing.meters.keys()
    taxes = {tax.code for tax in catalog.taxes} | existing.taxes.keys()
    for index, source in enumerate(catalog.plans):
        for number, charge in enumerate(source.version.charges):
            if charge.meter_code not in meters:
                path = f"plans[{index}].charges[{number}].meter_code"
                raise catalog.error(path, f"there is no meter {charge.meter_code!r}, here or in the service")
        for number, code in enumerate(source.version.tax_codes):
            if code not in taxes:
                raise catalog.error(
                    f"plans[{index}].tax_codes[{number}]", f"there is no tax {code!r}, here or in the service"
                )


def _meter_change(catalog: Catalog, index: int, old: Meter | None) -> Change:
    meter = catalog.meters[index]
    if old is None:
        return Change("meter", meter.code, "create", _fields({}, meter_fields(meter)))
    changed = _fields(meter_fields(old), meter_fields(meter))
    for each in changed:
        if each.field not in UPDATABLE_IN_METER:
            raise catalog.error(
                f"meters[{index}].{each.field}",
                f"meter {meter.code!r} was made with {each.old or 'none'}, here it is {each.new or 'none'};"
                " what a meter measures never changes: give the new one another code",
            )
    return Change("meter", meter.code, "update" if changed else "unchanged", changed)


def _tax_change(tax: Tax, old: Tax | None) -> Change:
    if old is None:
        return Change("tax", tax.code, "create", _fields({}, tax_fields(tax)))
    changed = _fields(tax_fields(old), tax_fields(tax))
    return Change("tax", tax.code, "update" if changed else "unchanged", changed)


def _plan_change(catalog: Catalog, index: int, old: Plan | None) -> Change:
    source = catalog.plans[index]
    if old is None:
        return Change("plan", source.code, "create", _fields({}, plan_fields(source)), 1)
    changed = _fields(plan_fields(PlanSource(old, old.latest_version)), plan_fields(source))
    for each in changed:
        if each.field in PLAN_FIELDS:
            raise catalog.error(
                f"plans[{index}].{each.field}",
                f"plan {source.code!r} was made with {each.old or 'none'}, here it is {each.new or 'none'};"
                " a plan keeps its name and description, only what it costs has versions",
            )
    version = old.latest_version.version
    if changed:
        return Change("plan", source.code, "new_version", changed, version + 1)
    return Change("plan", source.code, "unchanged", (), version)


def meter_fields(meter: Meter) -> Fields:
    filters = {f"filters.{each.property}": ", ".join(each.values) for each in meter.filters}
    return {
        "name": meter.name or meter.code,
        "description": meter.description,
        "event_code": meter.event_code or meter.code,
        "aggregation": _AGGREGATION_NAMES.get(meter.aggregation, str(meter.aggregation)),
        "value_property": meter.value_property,
        "recurring": "true" if meter.recurring else "",
        "dimensions": ", ".join(meter.dimensions),
        "rounding": _rounding(meter),
        "percentile": _decimal(meter.percentile) if meter.percentile else "",
        **filters,
    }


def _rounding(meter: Meter) -> str:
    if not meter.HasField("rounding"):
        return ""
    return f"{_ROUNDING_NAMES.get(meter.rounding.function, '?')} to {meter.rounding.precision} digits"


def tax_fields(tax: Tax) -> Fields:
    return {"name": tax.name, "rate_percent": _decimal(tax.rate_percent)}


def plan_fields(source: PlanSource) -> Fields:
    version = source.version
    fields = {
        "name": source.plan.name,
        "description": source.plan.description,
        "currency_code": version.currency_code,
        "billing_interval": _INTERVAL_NAMES.get(version.billing_interval, str(version.billing_interval)),
        "base_fee": _major(version.base_fee, version.currency_code),
        "tax_codes": ", ".join(version.tax_codes),
        "charges": ", ".join(charge.code for charge in version.charges),
    }
    for charge in version.charges:
        fields |= {f"charges.{charge.code}.{name}": value for name, value in _charge_fields(charge).items()}
    return fields


def _charge_fields(charge: Charge) -> dict[str, str]:
    fields = {"name": charge.name or charge.code, "meter_code": charge.meter_code}
    match charge.WhichOneof("price"):
        case "standard":
            fields["standard"] = _decimal(charge.standard.unit_price)
        case "graduated":
            for number, tier in enumerate(charge.graduated.tiers, 1):
                flat = f" + {_decimal(tier.flat_fee)} flat" if _decimal(tier.flat_fee) != "0" else ""
                end = f"up to {_decimal(tier.up_to)}" if tier.up_to else "beyond"
                fields[f"graduated.tier_{number}"] = f"{_decimal(tier.unit_price)} each{flat}, {end}"
        case "package":
            package = charge.package
            free = f", first {_decimal(package.free_units)} free" if _decimal(package.free_units) != "0" else ""
            fields["package"] = f"{_decimal(package.package_price)} per {_decimal(package.package_size)}{free}"
    return fields


def _fields(old: Fields, new: Fields) -> tuple[FieldChange, ...]:
    names = dict.fromkeys((*old, *new))
    return tuple(
        FieldChange(name, old.get(name, ""), new.get(name, ""))
        for name in names
        if old.get(name, "") != new.get(name, "")
    )


def _decimal(text: str) -> str:
    try:
        return plain(Decimal(text or "0"))
    except InvalidOperation:
        return text


def _major(money: money_pb2.Money, currency: str) -> str:
    return plain(Money(money.minor_units, currency).amount)


def by_code(found: Sequence[C], code: Callable[[C], str] = lambda each: each.code) -> dict[str, C]:
    return {code(each): each for each in found}
