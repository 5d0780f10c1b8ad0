"""What was used: questions, and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from libs.common.errors import InvalidArgument
from services.metering.domain.meters import IN_ADVANCE, PRORATED, DimensionFilter, Meter
from services.metering.domain.parts import REST, Part
from services.metering.domain.proration import Frame

EMPTY_LOG = 1
"""The watermark at which nothing has been recorded yet. (0 on the wire asks for all there is.)"""

UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True, eq=False)
class Question:
    """What was used in [start, end), by each of some meters. Those who ask it of many subscriptions have one of it.

    Only events that all `filters` admit count. `parts` and `group_by` split the usage. [full_start, full_end) is the
    billing period (None: the period asked for), of which the usage may be `prorated`. `first_events` asks for the
    values of that many single events.
    """

    meter_codes: Sequence[str]
    start: datetime
    end: datetime
    filters: tuple[DimensionFilter, ...] = ()
    parts: tuple[Part, ...] = ()
    group_by: tuple[str, ...] = ()
    full_period: tuple[datetime, datetime] | None = None
    zone: ZoneInfo = UTC_ZONE
    prorated: bool = False
    charged_in_advance: bool = False
    first_events: int = 0
    path: str = ""
    """Of the question in its request, for errors."""

    @cached_property
    def frame(self) -> Frame:
        full_start, full_end = self.full_period or (self.start, self.end)
        return Frame(self.start, self.end, full_start, full_end, self.zone)

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """Everything that tells where an event belongs."""
        filters = (*self.filters, *(each for part in self.parts for each in part.filters))
        return tuple(sorted({*self.group_by, *(each.property for each in filters)}))


Asked = tuple[str, Question]
"""Of a subscription."""

Group = tuple[tuple[str, str], ...]
"""Values of the properties in group_by, in their order; without those that the events do not have."""


@dataclass(frozen=True, slots=True)
class EventUnits:
    """One event's share of a quantity; without a transaction_id, what was there when the period began.

    `prorated_value` is None where nothing is prorated.
    """

    transaction_id: str
    event_time: datetime | None
    value: Decimal
    prorated_value: Decimal | None
    amount: Decimal | None


class Usage(NamedTuple):
    """A quantity, and how many events it was measured by. `full_quantity` is the one without proration, None where it
    is the same.
    """

    meter_code: str
    quantity: Decimal
    event_count: int
    part: str = REST
    group: Group = ()
    full_quantity: Decimal | None = None
    amount: Decimal | None = None
    events: tuple[EventUnits, ...] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """To each that was asked its usages, in the order asked, all at one watermark."""

    usages: Sequence[Sequence[Usage]]
    watermark: int


@dataclass(frozen=True, slots=True)
class EventUsage:
    """What one event is charged for in advance; see in_advance.Charge."""

    meter_code: str
    part: str
    group: Group
    units: Decimal
    prorated_units: Decimal | None
    running: Decimal
    mark: Decimal


@dataclass(frozen=True, slots=True)
class EventCharge:
    """What an event is charged for, as the `number`th of its part and group, of which it changes the quantity by
    `value`. It counts from `sequence` on.
    """

    transaction_id: str
    event_time: datetime
    sequence: int
    number: int
    value: Decimal
    amount: Decimal | None
    usage: EventUsage


def check(question: Question, meters: Mapping[str, Meter]) -> None:
    """Raises InvalidArgument when a question does not suit its meters."""
    for code in question.meter_codes:
        meter = meters[code]
        for name in question.dimensions:
            if name not in meter.dimensions:
                raise InvalidArgument(
                    "DIMENSION_UNKNOWN",
                    f"{name!r} is not a dimension of meter {code}",
                    field=f"{question.path}meter_codes",
                    meter_code=code,
                )
        if question.prorated and not (meter.recurring and meter.aggregation in PRORATED):
            raise InvalidArgument(
                "PRORATION_UNSUPPORTED",
                f"meter {code} can't be prorated; only a recurring sum or unique count can",
                field=f"{question.path}prorated",
                meter_code=code,
            )
        if question.charged_in_advance and meter.aggregation not in IN_ADVANCE:
            raise InvalidArgument(
                "IN_ADVANCE_UNSUPPORTED",
                f"meter {code} can't be charged in advance; only a count, sum or unique count can",
                field=f"{question.path}charged_in_advance",
                meter_code=code,
            )
