"""The steps of a rated charge in the words of a case's `expect.details`."""

from collections.abc import Sequence
from decimal import Decimal

from tests.reference.cases import Json
from weir.pricing.v1.pricing_pb2 import RatedCharge, RatedTier


def details(rated: RatedCharge, properties: Json) -> Json:
    """`properties` are those that the charge was made from."""
    if not rated.tiers:
        return {}
    match rated.charge_model:
        case "graduated" | "graduated_percentage":
            name = f"{rated.charge_model}_ranges"
            return {name: _ranges(rated.tiers, properties[name])}
        case "volume":
            return _volume(rated)
        case "package":
            return _package(rated)
        case "percentage":
            return _percentage(rated)
    return {}


def _ranges(tiers: Sequence[RatedTier], ranges: Sequence[Json]) -> list[Json]:
    """A tier begins where the one before it ends; the case may call that the next whole number."""
    ends = [Decimal(0), *(Decimal(str(each["to_value"])) for each in ranges[:-1])]
    told = [_tier(tier) for tier in tiers]
    for tier, end, each in zip(told, ends, ranges, strict=False):
        if tier["from_value"] == end:
            tier["from_value"] = each["from_value"]
    return told


def _tier(tier: RatedTier) -> Json:
    return {
        "from_value": Decimal(getattr(tier, "from")),
        "to_value": Decimal(tier.up_to) if tier.up_to else None,
        "units": Decimal(tier.quantity),
        "rate": Decimal(tier.rate_percent or 0),
        "per_unit_amount": Decimal(tier.unit_price),
        "per_unit_total_amount": Decimal(tier.amount) - Decimal(tier.flat_fee),
        "flat_unit_amount": Decimal(tier.flat_fee),
        "total_with_flat_amount": Decimal(tier.amount),
    }


def _volume(rated: RatedCharge) -> Json:
    [step] = map(_tier, rated.tiers)
    return {key: step[key] for key in ("flat_unit_amount", "per_unit_amount", "per_unit_total_amount")}


def _package(rated: RatedCharge) -> Json:
    [step] = rated.tiers
    free_units = Decimal(step.free_units)
    return {
        "free_units": free_units,
        "paid_units": max(Decimal(rated.quantity) - free_units, Decimal(0)),
        "per_package_size": Decimal(step.package_size),
        "per_package_unit_amount": Decimal(step.unit_price),
    }


def _percentage(rated: RatedCharge) -> Json:
    steps = {step.kind: step for step in rated.tiers}
    units = steps[RatedTier.KIND_UNITS]
    transactions = steps.get(RatedTier.KIND_TRANSACTIONS, RatedTier(unit_price="0", amount="0", free_units="0"))
    limit = steps.get(RatedTier.KIND_LIMIT, RatedTier(amount="0"))
    free_events = Decimal(transactions.free_units)
    return {
        "units": Decimal(rated.quantity),
        "free_units": Decimal(units.free_units),
        "paid_units": Decimal(units.quantity),
        "rate": Decimal(units.rate_percent),
        "per_unit_total_amount": Decimal(units.amount),
        "free_events": free_events,
        "paid_events": max(rated.event_count - free_events, Decimal(0)),
        "fixed_fee_unit_amount": Decimal(transactions.unit_price),
        "fixed_fee_total_amount": Decimal(transactions.amount),
        "min_max_adjustment_total_amount": Decimal(limit.amount),
    }
