"""What a case of an aggregation says of time and events, as events to send and a period to ask about."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

from libs.common.money import plain
from tests.reference.cases import Fields, Json, Unsupported

DEFAULT_START = datetime(2023, 5, 1, tzinfo=UTC)
DEFAULT_DAYS = 31
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CHARGED = "charged"


@dataclass(frozen=True, slots=True)
class Sent:
    """An event to send; `value` is a number or an id."""

    transaction_id: str
    at: datetime
    value: str
    operation_type: str | None = None
    amount: str = ""
    dimensions: dict[str, str] = field(default_factory=dict)

    @property
    def change(self) -> int:
        return -1 if self.operation_type == "remove" else 1


@dataclass(frozen=True, slots=True)
class Timeline:
    """`events` in the order of recording; `charged` is the one that is charged in advance. `is_charged_usage`: what has
    been charged is asked, not what is left.
    """

    start: datetime
    end: datetime
    full_start: datetime
    full_end: datetime
    time_zone: str
    prorated: bool = False
    is_charged_usage: bool = False
    events: tuple[Sent, ...] = ()
    charged: str | None = None

    @property
    def full_days(self) -> int:
        return (self.full_end - self.full_start).days

    @property
    def days(self) -> int:
        return ceil((self.end - self.start) / DAY)


def timeline_in(given: Fields, when: Fields, *, is_unique: bool) -> Timeline:
    pay_in_advance = given.take("pay_in_advance", False)
    timeline = replace(
        _period_in(given),
        prorated=bool(given.take("prorated", False)),
        is_charged_usage=_is_current_usage(when) and bool(pay_in_advance),
    )
    events = list(_events_in(given, when, timeline))
    cached, active = when.take("cached"), when.take("distinct_active")
    if cached is not None:
        state = _State.of(cached, events, active, timeline, is_unique)
        timeline, events = state.produced()
    elif active is not None:
        raise Unsupported("when.distinct_active without when.cached")
    charged = when.take("event") or when.take("pay_in_advance_event")
    value = when.take("event_value")
    if value is not None:
        charged = {"value": value}
    if charged is not None:
        events.append(replace(_event_in(charged, len(events), timeline), transaction_id=CHARGED))
    return replace(timeline, events=tuple(events), charged=CHARGED if charged is not None else None)


def _is_current_usage(when: Fields) -> bool:
    context = when.take("context")
    if context not in (None, "current_usage"):
        raise Unsupported(f"when.context {context!r}")
    return context is not None


def _period_in(given: Fields) -> Timeline:
    """Ends are told as the last second; a period that an end of the subscription cut short, as it was cut."""
    given.take("subscription_terminated_at")
    given.take("subscription_upgraded_at")
    zone = given.take("timezone", "UTC")
    told = given.take("period")
    if told is None:
        end = DEFAULT_START + DAY * DEFAULT_DAYS
        return Timeline(DEFAULT_START, end, DEFAULT_START, end, zone)
    period = Fields(told, "given.period")
    start = _instant(period.take("from"))
    end = _instant(period.take("to")).replace(microsecond=0) + timedelta(seconds=1)
    days = period.take("charges_duration_days", ceil((end - start) / DAY))
    period.close()
    local = start.astimezone(ZoneInfo(zone)).date()
    full_start, full_end = (
        datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC) for day in (local, local + DAY * days)
    )
    return Timeline(start, end, full_start, full_end, zone)


def _events_in(given: Fields, when: Fields, timeline: Timeline) -> Iterator[Sent]:
    if (level := given.take("initial_value")) is not None:
        yield Sent("initial", timeline.start - DAY, str(level))
    if (units := when.take("units")) is not None:
        yield Sent("units", timeline.start, str(units))
    for index, each in enumerate(when.take("events", [])):
        yield _event_in(each, index, timeline)


def _event_in(told: Json, index: int, timeline: Timeline) -> Sent:
    """Without a time of its own, an event is in the period, or before it; later ones are later."""
    event = Fields(told, f"when.events[{index}]")
    before = event.take("previous_subscription", False) or not event.take("in_period", True)
    order = event.take("order", index)
    at = event.take("at")
    base = timeline.start - DAY * 10 if before else timeline.start + DAY
    value, cents = event.take("value", event.take("unique_id")), event.take("precise_total_amount_cents")
    operation = event.take("operation_type")
    return Sent(
        transaction_id=f"event-{index:04}",
        at=_instant(at) if at is not None else base + HOUR * order,
        value=str(value),
        operation_type=operation,
        amount="" if cents is None else plain(Decimal(str(cents)) / 100),
        dimensions={key: str(left) for key, left in event.rest().items()},
    )


@dataclass(frozen=True, slots=True)
class _State:
    """The running state of charging in advance: `running` and `mark` of the period, and what has been charged prorated.

    Events of the period lead to it: they rise to `peak`, then fall to what is `left`. `persisted` come before them.
    """

    timeline: Timeline
    persisted: list[Sent]
    peak: Decimal
    left: Decimal
    prorated: Decimal | None
    is_unique: bool

    @classmethod
    def of(cls, cached: Json, events: list[Sent], active: Any, timeline: Timeline, is_unique: bool) -> "_State":
        told = Fields(cached, "when.cached")
        running, mark = (Decimal(told.take(f"{each}_aggregation")) for each in ("current", "max"))
        prorated = told.take("max_aggregation_with_proration")
        told.close()
        persisted = [event for event in events if event.at < timeline.start]
        inside = [event for event in events if event.at >= timeline.start]
        if active is not None:
            count = int(Decimal(active) - running)
            persisted = [Sent(f"persisted-{i}", timeline.start - DAY, f"persisted-{i}") for i in range(count)]
        left = running
        if inside and timeline.is_charged_usage and not timeline.prorated:
            left = Decimal(sum(event.change for event in inside)) if is_unique else sum_of(inside)
        return cls(
            timeline,
            persisted,
            left + mark - running,
            left,
            Decimal(prorated) if prorated is not None and timeline.is_charged_usage else None,
            is_unique,
        )

    def produced(self) -> tuple[Timeline, list[Sent]]:
        timeline, day = self._day()
        at = timeline.start + DAY * day
        return timeline, [*self.persisted, *(self._ids(at) if self.is_unique else self._sums(at))]

    def _ids(self, at: datetime) -> Iterator[Sent]:
        for number in range(int(self.peak)):
            yield Sent(f"state-add-{number}", at, f"state-{number}")
        for number in range(int(self.peak - self.left)):
            yield Sent(f"state-remove-{number}", at + HOUR, f"state-{number}", "remove")

    def _sums(self, at: datetime) -> Iterator[Sent]:
        yield Sent("state-rise", at, plain(self.peak))
        yield Sent("state-fall", at + HOUR, plain(self.left - self.peak))

    def _day(self) -> tuple[Timeline, int]:
        """The period, and the day of it, counted from 0, from which `peak` comes to what has been charged prorated.

        When no day of the period does, then one of the whole period that has the nearest number of days.
        """
        if self.prorated is None:
            return self.timeline, 0
        whole = self.timeline.days == self.timeline.full_days
        nearest = sorted(range(28, 32), key=lambda days: abs(days - self.timeline.full_days)) if whole else []
        for full_days in (self.timeline.full_days, *nearest):
            length = full_days if whole else self.timeline.days
            for day in range(length):
                share = Fraction(self.peak) * (length - day) / full_days
                if ceil(share * 10**5) == self.prorated * 10**5:
                    end = self.timeline.start + DAY * length
                    full_end = self.timeline.full_start + DAY * full_days
                    return replace(self.timeline, end=end, full_end=full_end), day
        raise Unsupported(f"when.cached with {self.prorated} prorated of {self.peak}: no day comes to that")


def sum_of(events: list[Sent]) -> Decimal:
    return sum((Decimal(event.value) for event in events), start=Decimal(0))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
