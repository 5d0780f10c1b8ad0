"""What is to be priced."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import TypeAlias

from services.pricing.domain.breakdown import EXACT, ZERO

Group: TypeAlias = tuple[tuple[str, str], ...]
"""Values of event properties, ordered by property."""


@dataclass(frozen=True, slots=True)
class EventValue:
    """One event: the units it adds (takes away, when negative), those for the part of the period in which they were
    held (None where nothing is prorated), and the amount that it carries, in major units.
    """

    value: Decimal = ZERO
    prorated_value: Decimal | None = None
    amount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Usage:
    """A quantity under the charge `charge_code`: of its filter `filter_code`, or of none when that is empty.

    `full_quantity` is the quantity without proration, None where it was not told; so is `event_count`. `events` are in
    the order of their time, and as many as the charge model needs. `window` is that of a time-of-day price in which the
    units were used, and `quantity_before` what was used in the contract before the period; None where not told.
    """

    charge_code: str
    quantity: Decimal
    filter_code: str = ""
    group: Group = ()
    full_quantity: Decimal | None = None
    event_count: int | None = None
    events: tuple[EventValue, ...] = ()
    window: str | None = None
    quantity_before: Decimal | None = None

    @property
    def is_prorated_by_event(self) -> bool:
        return bool(self.events) and self.events[0].prorated_value is not None


def running_totals(events: Iterable[EventValue]) -> Iterator[Decimal]:
    return accumulate((event.value for event in events), EXACT.add)
