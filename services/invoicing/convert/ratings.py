"""What pricing rated."""

from collections.abc import Iterable
from decimal import Decimal

from libs.common.money import Money, plain
from services.invoicing.domain.line import RatedUsage
from services.invoicing.domain.plan import PlanVersion
from services.invoicing.domain.rating import PricedUnits, RatedTier, Rating, StepKind
from weir.pricing.v1 import pricing_pb2

_KINDS = {
    pricing_pb2.RatedTier.KIND_PACKAGES: StepKind.PACKAGES,
    pricing_pb2.RatedTier.KIND_TRANSACTIONS: StepKind.TRANSACTIONS,
    pricing_pb2.RatedTier.KIND_EVENT_AMOUNTS: StepKind.EVENT_AMOUNTS,
    pricing_pb2.RatedTier.KIND_LIMIT: StepKind.LIMIT,
}


def rated_usages_in(plan: PlanVersion, messages: Iterable[pricing_pb2.RatedCharge]) -> list[RatedUsage]:
    """Pricing rates all charges of the version, of which the plan may be without some."""
    codes = {each.code for each in plan.charges}
    return [rated_usage_in(each) for each in messages if each.charge_code in codes]


def rated_usage_in(message: pricing_pb2.RatedCharge) -> RatedUsage:
    """As pricing sent it."""
    return RatedUsage(
        code=message.charge_code,
        name=_line_name(message),
        quantity=Decimal(message.quantity),
        amount=Money(message.amount.minor_units, message.amount.currency_code),
        unrounded_amount=Decimal(message.unrounded_amount),
        rating=message.SerializeToString(),
        meter_code=message.meter_code,
    )


def other_units(code: str, recorded: bytes, units: Decimal) -> pricing_pb2.ChargeQuantity:
    """Other units of what was rated."""
    message = pricing_pb2.RatedCharge.FromString(recorded)
    return pricing_pb2.ChargeQuantity(
        charge_code=code,
        quantity=plain(units),
        filter=message.filter,
        group=message.group,
        event_count=message.event_count if message.HasField("event_count") else None,
        window=message.window if message.HasField("window") else None,
        quantity_before=message.quantity_before,
    )


def _line_name(message: pricing_pb2.RatedCharge) -> str:
    """The charge's or filter's name, with the group that the line is for."""
    group = ", ".join(f"{key} {message.group[key]}" for key in sorted(message.group))
    limit = {"minimum": "up to the minimum", "maximum": "down to the maximum"}.get(message.charge_model, "")
    window = f"in {message.window}" if message.window else ""
    return ", ".join(part for part in (message.name, group, window, limit) if part)


def _priced_units_in(message: pricing_pb2.PricedUnits) -> PricedUnits:
    return PricedUnits(message.code, Decimal(message.amount), Decimal(message.conversion_rate))


def rating_in(recorded: bytes) -> Rating:
    """What pricing said when the line was made."""
    message = pricing_pb2.RatedCharge.FromString(recorded)
    return Rating(
        meter_code=message.meter_code,
        charge_model=message.charge_model,
        part=message.filter,
        group=tuple(sorted(message.group.items())),
        window=message.window if message.HasField("window") else None,
        full_quantity=Decimal(message.full_quantity) if message.full_quantity else None,
        quantity_before=Decimal(message.quantity_before) if message.quantity_before else None,
        pricing_unit=_priced_units_in(message.pricing_unit) if message.HasField("pricing_unit") else None,
        quantity=Decimal(message.quantity),
        amount=Money(message.amount.minor_units, message.amount.currency_code),
        unrounded_amount=Decimal(message.unrounded_amount),
        tiers=tuple(
            RatedTier(
                above=Decimal(getattr(tier, "from")),
                up_to=Decimal(tier.up_to) if tier.up_to else None,
                quantity=Decimal(tier.quantity),
                unit_price=Decimal(tier.unit_price),
                flat_fee=Decimal(tier.flat_fee or 0),
                amount=Decimal(tier.amount),
                free_units=Decimal(tier.free_units or 0),
                kind=_KINDS.get(tier.kind, StepKind.UNITS),
                rate_percent=Decimal(tier.rate_percent) if tier.rate_percent else None,
            )
            for tier in message.tiers
        ),
    )
