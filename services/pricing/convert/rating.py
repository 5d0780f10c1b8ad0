"""What Rate and BatchRate are asked, and what they answer, on the wire."""

import re
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Literal, Protocol

from libs.common.errors import InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import code_in, decimal_in, money_out, period_in, text_in
from services.pricing.convert.collected import read_all, require_unique
from services.pricing.convert.fixed_charges import fixed_units_in
from services.pricing.convert.prices import optional_out
from services.pricing.convert.time_of_day import time_zone_in
from services.pricing.convert.versions import version_number_in
from services.pricing.domain.breakdown import ZERO, RatedTier, StepKind, total
from services.pricing.domain.calendar import Period, days, zone
from services.pricing.domain.fixed_charges import FixedUnits
from services.pricing.domain.limits import MAXIMUM, MINIMUM, Proration
from services.pricing.domain.rating import RatedCharge
from services.pricing.domain.usage import EventValue, Group, Usage
from weir.pricing.v1 import pricing_pb2

MAX_REQUESTS = 10_000

QUANTITY = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,12})?", re.ASCII)
"""Wider than a price: sums of units of the smallest size may be long."""

_KINDS = {
    StepKind.UNITS: pricing_pb2.RatedTier.KIND_UNITS,
    StepKind.PACKAGES: pricing_pb2.RatedTier.KIND_PACKAGES,
    StepKind.TRANSACTIONS: pricing_pb2.RatedTier.KIND_TRANSACTIONS,
    StepKind.EVENT_AMOUNTS: pricing_pb2.RatedTier.KIND_EVENT_AMOUNTS,
    StepKind.LIMIT: pricing_pb2.RatedTier.KIND_LIMIT,
}


def require_batch(requests: Sized) -> None:
    """1 to MAX_REQUESTS of them."""
    if not requests:
        raise InvalidArgument("FIELD_MISSING", "requests is required", field="requests")
    if len(requests) > MAX_REQUESTS:
        raise InvalidArgument(
            "REQUESTS_TOO_MANY", f"{len(requests)} requests; at most {MAX_REQUESTS} in one call", field="requests"
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What Rate is asked."""

    plan_code: str
    version: int
    month: int | None
    usages: tuple[Usage, ...]
    proration: Proration | None
    fixed_units: tuple[FixedUnits, ...]
    told_only: bool


def question_in(message: pricing_pb2.RateRequest, prefix: str) -> Question:
    """`prefix` is the path of `message` in its request, with a point at the end; empty for the request itself."""
    return Question(
        plan_code=code_in(message.plan_code, f"{prefix}plan_code"),
        version=version_number_in(message.version, f"{prefix}version"),
        month=month_in(message, f"{prefix}contract_month"),
        usages=usages_in(message.quantities, f"{prefix}quantities"),
        proration=proration_in(message, f"{prefix}proration"),
        fixed_units=fixed_units_in(message.fixed_charges, f"{prefix}fixed_charges") if message.fixed_charges else (),
        told_only=message.told_only,
    )


def usages_in(messages: Sequence[pricing_pb2.ChargeQuantity], field: str) -> tuple[Usage, ...]:
    usages = read_all(partial(_usage_in, message, f"{field}[{index}]") for index, message in enumerate(messages))
    require_unique(
        "CHARGE_CODE_DUPLICATE",
        [(usage.charge_code, usage.filter_code, usage.group, usage.window) for usage in usages],
        field + "[{}].charge_code",
    )
    return usages


class OfMonth(Protocol):
    """A request with the field `contract_month`."""

    contract_month: int

    def HasField(self, field_name: Literal["contract_month"]) -> bool: ...


class Prorated(Protocol):
    """A request with the field `proration`."""

    @property
    def proration(self) -> pricing_pb2.Proration: ...

    def HasField(self, field_name: Literal["proration"]) -> bool: ...


def proration_in(message: Prorated, field: str) -> Proration | None:
    if not message.HasField("proration"):
        return None
    if message.proration.HasField("period"):
        return _counted(message.proration, field)
    return _proration(message.proration.days, message.proration.period_days, field)


def rated_out(
    charges: Iterable[RatedCharge],
    proration: Proration | None,
    fixed_charges: Iterable[RatedCharge] = (),
    base_fee: Money | None = None,
) -> pricing_pb2.RateResponse:
    return pricing_pb2.RateResponse(
        charges=[rated_charge_out(charge) for charge in charges],
        proration=None
        if proration is None
        else pricing_pb2.Proration(days=proration.days, period_days=proration.period_days),
        fixed_charges=[rated_fixed_charge_out(charge) for charge in fixed_charges],
        base_fee=None if base_fee is None else money_out(base_fee),
    )


def _counted(message: pricing_pb2.Proration, field: str) -> Proration:
    """The days of two stretches of time."""
    if message.days or message.period_days:
        raise InvalidArgument("PRORATION_MALFORMED", f"{field} has both days and a period", field=field)
    tz = zone(time_zone_in(message.time_zone, f"{field}.time_zone"))
    part = Period(*period_in(message.period, True, f"{field}.period"))
    whole = Period(*period_in(message.full_period, message.HasField("full_period"), f"{field}.full_period"))
    if not whole.start <= part.start < part.end <= whole.end:
        raise InvalidArgument(
            "PRORATION_MALFORMED", f"{field}.period is not within the full_period", field=f"{field}.period"
        )
    return _proration(days(part, tz), days(whole, tz), field)


def month_in(message: OfMonth, field: str) -> int | None:
    """The month of the contract, if it is told."""
    if not message.HasField("contract_month"):
        return None
    if message.contract_month < 0:
        raise InvalidArgument("CONTRACT_MONTH_NEGATIVE", f"{field} is {message.contract_month}", field=field)
    return message.contract_month


def _proration(part: int, whole: int, field: str) -> Proration:
    if whole < 1 or not 0 <= part <= whole:
        raise InvalidArgument(
            "PRORATION_MALFORMED", f"{field} is {part} of {whole} days; expected 0 or more of them", field=field
        )
    return Proration(part, whole)


def _usage_in(message: pricing_pb2.ChargeQuantity, field: str) -> Usage:
    return Usage(
        charge_code=code_in(message.charge_code, f"{field}.charge_code"),
        quantity=_quantity_in(message.quantity, f"{field}.quantity"),
        filter_code=code_in(message.filter, f"{field}.filter") if message.filter else "",
        group=_group_in(message, f"{field}.group") if message.group else (),
        full_quantity=_quantity_in(message.full_quantity, f"{field}.full_quantity") if message.full_quantity else None,
        event_count=_event_count_in(message.event_count, f"{field}.event_count")
        if message.HasField("event_count")
        else None,
        events=_events_in(message.events, f"{field}.events") if message.events else (),
        window=_window_in(message.window, f"{field}.window") if message.HasField("window") else None,
        quantity_before=_quantity_in(message.quantity_before, f"{field}.quantity_before")
        if message.quantity_before
        else None,
    )


def _window_in(value: str, field: str) -> str:
    return code_in(value, field) if value else value


def _quantity_in(value: str, field: str) -> Decimal:
    if not value:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    if not QUANTITY.fullmatch(value):
        raise InvalidArgument(
            "DECIMAL_MALFORMED",
            f"{field} is {value[:64]!r}; expected a decimal in plain notation such as 0.0025, at most 40 digits before"
            " the point and 12 after it",
            field=field,
        )
    return Decimal(value)


def _group_in(message: pricing_pb2.ChargeQuantity, field: str) -> Group:
    return tuple(sorted((text_in(key, field), text_in(value, field)) for key, value in message.group.items()))


def _event_count_in(value: int, field: str) -> int:
    if value < 0:
        raise InvalidArgument("AMOUNT_NEGATIVE", f"{field} is {value}; it must not be negative", field=field)
    return value


def _events_in(messages: Sequence[pricing_pb2.EventValue], field: str) -> tuple[EventValue, ...]:
    events = read_all(partial(_event_in, message, f"{field}[{index}]") for index, message in enumerate(messages))
    prorated = sum(event.prorated_value is not None for event in events)
    if prorated not in (0, len(events)):
        raise InvalidArgument(
            "PRORATION_MALFORMED", f"{field} has prorated_value in some events, but not in all", field=field
        )
    return events


def _event_in(message: pricing_pb2.EventValue, field: str) -> EventValue:
    value = _quantity_in(message.value, f"{field}.value") if message.value else ZERO
    path = f"{field}.prorated_value"
    prorated = _quantity_in(message.prorated_value, path) if message.prorated_value else None
    if prorated and not value:
        raise InvalidArgument("PRORATION_MALFORMED", f"{path} is {plain(prorated)} of no units", field=path)
    return EventValue(value, prorated, decimal_in(message.amount, f"{field}.amount", default=ZERO))


def rated_charge_out(rated: RatedCharge) -> pricing_pb2.RatedCharge:
    charge, part, usage = rated.charge, rated.filter, rated.usage
    return pricing_pb2.RatedCharge(
        charge_code=charge.code,
        name=(part is not None and part.name) or charge.name or charge.code,
        meter_code=charge.meter_code,
        charge_model=rated.model,
        quantity=plain(usage.quantity),
        amount=money_out(rated.amount),
        unrounded_amount=plain(rated.unrounded_amount),
        tiers=[_rated_tier_out(tier) for tier in rated.tiers],
        unit_amount=plain(rated.unit_amount),
        filter=usage.filter_code,
        group=dict(usage.group),
        full_quantity=optional_out(usage.full_quantity),
        event_count=usage.event_count,
        window=usage.window,
        quantity_before=optional_out(usage.quantity_before),
        pricing_unit=_priced_units_out(rated),
    )


def rated_fixed_charge_out(rated: RatedCharge) -> pricing_pb2.RatedCharge:
    """Without a name of its own, it has its add-on's, which can change."""
    message = rated_charge_out(rated)
    message.name = rated.charge.name
    return message


def _priced_units_out(rated: RatedCharge) -> pricing_pb2.PricedUnits | None:
    """None for what leads to a limit, which is in the currency."""
    unit = rated.charge.pricing_unit
    if unit is None or rated.model in (MINIMUM, MAXIMUM):
        return None
    return pricing_pb2.PricedUnits(
        code=unit.code, amount=plain(total(rated.tiers)), conversion_rate=plain(unit.conversion_rate)
    )


def _rated_tier_out(tier: RatedTier) -> pricing_pb2.RatedTier:
    begin = {"from": plain(tier.above)}  # a keyword of Python
    return pricing_pb2.RatedTier(
        **begin,
        up_to=optional_out(tier.up_to),
        quantity=plain(tier.quantity),
        unit_price=plain(tier.unit_price),
        flat_fee=plain(tier.flat_fee),
        amount=plain(tier.amount),
        free_units=plain(tier.free_units),
        kind=_KINDS[tier.kind],
        rate_percent=optional_out(tier.rate_percent),
        package_size=optional_out(tier.package_size),
    )
