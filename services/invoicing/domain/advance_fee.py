"""Usage in advance: what each event is charged for when it is recorded."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from libs.common.money import EXACT, QUOTIENT, Money
from services.invoicing.domain.line import Line, LineKind, RatedUsage, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.phase import Phase
from services.invoicing.domain.plan import Charge, PlanVersion
from services.invoicing.domain.subscription import Subscription

ZERO = Decimal(0)
_UNIT = Decimal("1e-12")

Group: TypeAlias = tuple[tuple[str, str], ...]
Key: TypeAlias = tuple[Source, str, Period, str, Group]
"""What a high-water mark is of: (phase, charge, period, filter, group)."""


@dataclass(frozen=True, slots=True)
class Advance:
    """A charge of a phase in a period, of which events are charged, at the prices of the `contract_month`, if prices
    depend on it. Units that are prorated cost the days that are left of the `full_period`.
    """

    source: Source
    charge: Charge
    period: Period
    full_period: Period
    time_zone: str
    contract_month: int | None = None


@dataclass(frozen=True, slots=True)
class EventCharge:
    """As metering tells it: the `number`th event of its filter and group in the period, which brings the high-water
    mark to `mark`: by so many `units`, which for the days that are left are `prorated_units`.
    """

    transaction_id: str
    event_time: datetime
    sequence: int
    number: int
    value: Decimal
    amount: Decimal
    part: str
    group: Group
    mark: Decimal
    units: Decimal = ZERO
    prorated_units: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Step:
    """The usage of a filter and group before an event and after it; where prices need them, with all single events."""

    event: EventCharge
    before: Decimal
    after: Decimal
    values: tuple[EventCharge, ...]

    @property
    def days_left(self) -> Decimal:
        """Its units for the days that are left; in proportion, where not all that the event adds is to be charged."""
        units, event = EXACT.subtract(self.after, self.before), self.event
        if units == event.units or not event.units:
            return event.prorated_units if units else ZERO
        return QUOTIENT.divide(QUOTIENT.multiply(event.prorated_units, units), event.units).quantize(
            _UNIT, context=QUOTIENT
        )


@dataclass(frozen=True, slots=True)
class AdvanceFee:
    """What an event costs: all usage with it, less all without it, rounded once. It waits for the next invoice of the
    period unless it `is_invoiceable`, and then has one at once, if it is not 0.
    """

    of: Advance
    step: Step
    name: str
    amount: Money
    unrounded_amount: Decimal
    rating: bytes
    watermark: int
    tax_codes: tuple[str, ...]
    is_tax_inclusive: bool

    @property
    def line(self) -> Line:
        return Line(
            LineKind.ADVANCE_USAGE,
            self.of.charge.code,
            self.name,
            self.of.source,
            self.of.period,
            self.amount,
            self.unrounded_amount,
            self.tax_codes,
            rating=self.rating,
            watermark=self.watermark,
            meter_code=self.of.charge.meter_code,
            is_tax_inclusive=self.is_tax_inclusive,
            transaction_id=self.step.event.transaction_id,
        )


@dataclass(frozen=True, slots=True)
class Charged:
    """A fee as it was recorded. `invoice_id` is that of the invoice that it is on, "" if none; one that `is_regrouped`
    waits until it is paid, at its `paid_time`.
    """

    serial: int
    line: Line
    event_time: datetime
    units: Decimal
    invoice_id: str
    is_regrouped: bool = False
    paid_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Renewed:
    """The line of a filter's and group's units that are renewed, with a fee that waits to be paid."""

    line: Line
    part: str
    group: Group
    units: Decimal

    @property
    def source(self) -> Source:
        assert self.line.source is not None, "units are a subscription's"
        return self.line.source


def advances(of: Subscription, plans: Sequence[tuple[Phase, PlanVersion]], span: Period) -> Iterator[Advance]:
    """The charges in advance of every period of a subscription that `span` touches."""
    for phase, plan in plans:
        if not plan.advance_charges:
            continue
        following = next((each for each in of.phases if each.number > phase.number), None)
        whole = Period(phase.start_time, span.end).until(following.start_time if following else None)
        whole = whole if of.end_time is None or of.end_time >= whole.end else Period(whole.start, of.end_time)
        at = max(phase.start_time, span.start)
        while at < min(span.end, whole.end):
            period = of.schedule_of(phase).period_of(at)
            end = period.end
            if following is not None:
                end = min(end, following.start_time)
            if of.end_time is not None:
                end = min(end, of.end_time)
            source = Source(of.id, phase.number, plan.plan_code, plan.version)
            for charge in plan.advance_charges:
                yield advance(of, phase, plan, source, charge, Period(max(period.start, phase.start_time), end))
            at = period.end


def advance(
    of: Subscription, phase: Phase, plan: PlanVersion, source: Source, charge: Charge, period: Period
) -> Advance:
    """A charge of a phase in a period that is not whole, perhaps."""
    month = of.contract_month(phase, period.start) if plan.ramps else None
    return Advance(source, charge, period, of.schedule_of(phase).period_of(period.start), of.time_zone, month)


def steps(events: Iterable[EventCharge], since: int, marks: dict[tuple[str, Group], Decimal]) -> Iterator[Step]:
    """Of the events recorded after `since`, in the order of recording; `marks` is what was charged up to there, by
    filter and group: of what was corrected since, nothing is charged twice.
    """
    seen: dict[tuple[str, Group], list[EventCharge]] = {}
    for event in events:
        key = event.part, event.group
        values = seen.setdefault(key, [])
        values.append(event)
        if event.sequence <= since:
            continue
        before = marks.get(key, ZERO)
        marks[key] = after = max(before, event.mark)
        yield Step(event, before, after, tuple(values))


def fee(
    of: Advance, plan: PlanVersion, step: Step, before: RatedUsage, after: RatedUsage, watermark: int
) -> AdvanceFee:
    """The first units bring what the first tier costs at nothing, too."""
    unrounded = EXACT.subtract(after.unrounded_amount, before.unrounded_amount if step.before else ZERO)
    unrounded = max(unrounded, ZERO) if step.after > step.before or of.charge.is_per_event else ZERO
    return AdvanceFee(
        of,
        step,
        after.name,
        Money.rounded(unrounded, plan.currency),
        unrounded,
        after.rating,
        watermark,
        plan.tax_codes_of(of.charge.code),
        plan.is_tax_inclusive,
    )
