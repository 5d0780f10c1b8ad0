"""Charges in advance: what each event costs when it is recorded, by what it adds to all usage of its period."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from libs.common.money import Money
from services.pricing.domain.breakdown import EXACT, ZERO
from services.pricing.domain.dynamic import DynamicPrice
from services.pricing.domain.needs import first_events_of
from services.pricing.domain.plans import Charge, ChargeFilter
from services.pricing.domain.rating import rate
from services.pricing.domain.usage import EventValue, Group, Usage

Place: TypeAlias = tuple[Charge, ChargeFilter | None, Usage]
"""Usage of a charge, and the filter that it falls under."""


class Recorded(NamedTuple):
    """The `number`th event of its filter and group in the period, in the order of recording. It adds `value`, says that
    it costs `amount`, in major units, and brings the highest that usage has been to `mark`: by so many `units`, which
    for the days that are left are `prorated_units`.
    """

    filter_code: str
    group: Group
    number: int
    value: Decimal
    amount: Decimal
    mark: Decimal
    units: Decimal = ZERO
    prorated_units: Decimal = ZERO


@dataclass(slots=True)
class _Charging:
    """Usage of a filter and group up to an event. `cost` is what it was rated as last, None if events came since."""

    usage: Usage
    part: ChargeFilter | None
    values: list[EventValue] = field(default_factory=list)
    amount: Decimal = ZERO
    cost: Decimal | None = ZERO


def charge_events(charge: Charge, recorded: Iterable[Recorded], currency: str) -> tuple[int, list[Place]]:
    """Minor units of the fees together, and all usage of each filter and group.

    A fee is what usage costs with the event less what it costs without, rounded once, and not below 0. The first units
    of a period bring the flat fee of the first tier. Units that are prorated cost the days that are left. Raises what
    `rate` raises.
    """
    if charge.prorated:
        return _charge_by_day(charge, recorded, currency)
    first_events = first_events_of(charge)
    takes_amounts = any(isinstance(price, DynamicPrice) for price in charge.prices)
    parts = {each.code: each for each in charge.filters}
    found: dict[tuple[str, Group], _Charging] = {}
    minor_units = 0
    for event in recorded:
        key = event.filter_code, event.group
        if (place := found.get(key)) is None:
            part = parts.get(event.filter_code)
            found[key] = place = _Charging(Usage(charge.code, ZERO, *key, event_count=0), part)
        before = place.usage
        place.usage = _with(event, place, first_events, takes_amounts=takes_amounts)
        if takes_amounts or first_events or place.usage.quantity > before.quantity:
            minor_units += _fee(charge, before, place, currency)
        else:
            place.cost = None
    return minor_units, [(charge, each.part, each.usage) for each in found.values()]


def renew(charge: Charge, there: Iterable[Usage], currency: str) -> int:
    """Minor units that units cost which are there when a period begins: all of it, for each filter and group."""
    parts = {each.code: each for each in charge.filters}
    return sum(
        rate(charge, replace(usage, charge_code=charge.code), currency, parts.get(usage.filter_code)).amount.minor_units
        for usage in there
        if usage.quantity
    )


def _charge_by_day(charge: Charge, recorded: Iterable[Recorded], currency: str) -> tuple[int, list[Place]]:
    parts = {each.code: each for each in charge.filters}
    rated = [
        rate(
            charge,
            Usage(charge.code, event.prorated_units, event.filter_code, event.group, full_quantity=event.units),
            currency,
            parts.get(event.filter_code),
        )
        for event in recorded
        if event.units
    ]
    return sum(each.amount.minor_units for each in rated), [(charge, each.filter, each.usage) for each in rated]


def _with(event: Recorded, place: _Charging, first_events: int, *, takes_amounts: bool) -> Usage:
    place.amount = EXACT.add(place.amount, event.amount)
    if len(place.values) < first_events:
        place.values.append(EventValue(event.value, amount=event.amount))
    events = (EventValue(amount=place.amount),) if takes_amounts else tuple(place.values)
    return Usage(
        place.usage.charge_code,
        max(place.usage.quantity, event.mark),
        event.filter_code,
        event.group,
        event_count=event.number,
        events=events,
    )


def _fee(charge: Charge, before: Usage, place: _Charging, currency: str) -> int:
    if not before.quantity:
        place.cost = ZERO
    elif place.cost is None:
        place.cost = rate(charge, before, currency, place.part).unrounded_amount
    after = rate(charge, place.usage, currency, place.part).unrounded_amount
    fee = max(EXACT.subtract(after, place.cost), ZERO)
    place.cost = after
    return Money.rounded(fee, currency).minor_units
