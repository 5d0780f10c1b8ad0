"""The dynamic charge model: events bring their prices along."""

from dataclasses import dataclass
from typing import ClassVar

from libs.common.errors import InvalidArgument
from services.pricing.domain.breakdown import EXACT, ZERO, RatedTier, StepKind, once
from services.pricing.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class DynamicPrice:
    """The sum of the amounts that events carry."""

    model: ClassVar[str] = "dynamic"


def rate_dynamic(usage: Usage) -> tuple[RatedTier, ...]:
    """One step; nothing for a quantity of 0, whatever the events carry.

    Raises InvalidArgument EVENTS_MISSING when there is a quantity without events.
    """
    if not usage.quantity:
        return (once(ZERO, StepKind.EVENT_AMOUNTS),)
    if not usage.events:
        raise InvalidArgument(
            "EVENTS_MISSING",
            f"charge {usage.charge_code} needs the amounts that its events carry",
            field="quantities",
            charge_code=usage.charge_code,
        )
    amount = ZERO
    for event in usage.events:
        amount = EXACT.add(amount, event.amount)
    return (once(amount, StepKind.EVENT_AMOUNTS),)
