"""Charges in advance: what each event costs when it is recorded, by what it adds to all usage of its period."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from libs.common.money import Money
from services.pricing.domain.breakdown import EXACT, ZERO
from services.pricing.domain.dynamic import DynamicPrice
from services.pricing.domain.needs import first_events_of
from services.pricing.domain.plans import Charge, ChargeFilter
from services.pricing.domain.rating import rate
from services.pricing.domain.usage import EventValue, Group, Usage


class Recorded(NamedTuple):
    """The `number`th event of its filter and group in the period, in the order of recording. It adds `value`, says that
    it costs `amount`, in major units, and brings the highest that usage has been to `mark`.
    """

    filter_code: str
    group: Group
    number: int
    value: Decimal
    amount: Decimal
    mark: Decimal


@dataclass(slots=True)
class _Charging:
    """Usage of a filter and group up to an event. `cost` is what it was rated as last, None if events came since."""

    usage: Usage
    part: ChargeFilter | None
    values: list[EventValue] = field(default_factory=list)
    amount: Decimal = ZERO
    cost: Decimal | None = ZERO


def charge_events(
    charge: Charge, recorded: Iterable[Recorded], currency: str
) -> tuple[int, list[tuple[Charge, ChargeFilter | None, Usage]]]:
    """Minor units of the fees together, and all usage of each filter and group.

    A fee is what usage costs with the event less what it costs without, rounded once, and not below 0. The first units
    of a period bring the flat fee of the first tier. Raises what `rate` raises.
    """
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
