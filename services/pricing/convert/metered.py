"""Usage as metering is asked for it, and as it tells it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias

from libs.common.wire import period_out
from services.pricing.domain.advance import Recorded
from services.pricing.domain.bills import Span
from services.pricing.domain.breakdown import EXACT, ZERO
from services.pricing.domain.calendar import Period
from services.pricing.domain.needs import Needs, Source, Split
from services.pricing.domain.time_of_day import TimeOfDayPrice, window_at
from services.pricing.domain.usage import EventValue, Group, Usage
from weir.metering.v1 import event_charges_pb2, metering_pb2

Usages: TypeAlias = dict[Source, list[Usage]]

NO_AMOUNTS = (EventValue(),)
"""Of events that carry none."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is asked of a subscription: a part of a billing interval, or all of it. `start` is that of the contract."""

    subscription_id: str
    start: datetime
    period: Period
    full_period: Period
    time_zone: str

    @classmethod
    def of(cls, subscription_id: str, span: Span) -> "Stretch":
        return cls(subscription_id, span.start, span.period, span.whole, span.tz.key)

    @property
    def before(self) -> Period | None:
        """The contract before the period, if there is any."""
        return Period(self.start, self.period.start) if self.start < self.period.start else None

    @property
    def renewed(self) -> Period | None:
        """The contract before the period, if that begins an interval: what units were there is renewed for it."""
        return self.before if self.period.start == self.full_period.start else None


def usage_queries(stretch: Stretch, needs: Needs) -> Iterator[metering_pb2.GetUsageRequest]:
    """One for each way in which usage is to be told, and one more where that of the contract before is needed; none for
    usage by the hour or event by event.
    """
    period, full_period = stretch.period, stretch.full_period
    for split, meters in needs.items():
        if split.in_advance:
            if split.renewed and (there := stretch.renewed) is not None:
                yield metering_pb2.GetUsageRequest(
                    subscription_id=stretch.subscription_id,
                    meter_codes=meters,
                    period=period_out(there.start, there.end),
                    parts=_parts_out(split),
                    group_by=split.group_by,
                )
            continue
        if split.hours is not None:
            continue
        is_part = split.prorated or period != full_period
        yield metering_pb2.GetUsageRequest(
            subscription_id=stretch.subscription_id,
            meter_codes=meters,
            period=period_out(period.start, period.end),
            full_period=period_out(full_period.start, full_period.end) if is_part else None,
            time_zone=stretch.time_zone if is_part else "",
            parts=_parts_out(split),
            group_by=split.group_by,
            first_events=split.first_events,
            prorated=split.prorated,
        )
        if split.accumulates and (before := stretch.before) is not None:
            yield metering_pb2.GetUsageRequest(
                subscription_id=stretch.subscription_id,
                meter_codes=meters,
                period=period_out(before.start, before.end),
                parts=_parts_out(split),
                group_by=split.group_by,
            )


def told_in(stretch: Stretch, needs: Needs, answers: Iterable[metering_pb2.GetUsageResponse]) -> Usages:
    """`answers` to `usage_queries`."""
    told: Usages = {}
    each = iter(answers)
    for split in needs:
        if split.in_advance:
            if split.renewed and stretch.renewed is not None:
                for there in next(each).usages:
                    told.setdefault(Source(there.meter_code, split), []).append(_usage_in(there, split))
        elif split.hours is None:
            usages = [_usage_in(usage, split) for usage in next(each).usages]
            if split.accumulates:
                earlier = [_usage_in(usage, split) for usage in next(each).usages] if stretch.before else []
                usages = _accumulated(usages, earlier)
            for usage in usages:
                told.setdefault(Source(usage.charge_code, split), []).append(usage)
    return told


def hours_query(
    stretch: Stretch, split: Split, price: TimeOfDayPrice, meters: Sequence[str], watermark: int
) -> metering_pb2.QueryUsageRequest:
    return metering_pb2.QueryUsageRequest(
        subscription_id=stretch.subscription_id,
        meter_codes=meters,
        period=period_out(stretch.period.start, stretch.period.end),
        window=metering_pb2.QueryUsageRequest.WINDOW_HOUR,
        time_zone=price.time_zone,
        group_by=split.group_by,
        watermark=watermark,
    )


def hours_in(split: Split, price: TimeOfDayPrice, answer: metering_pb2.QueryUsageResponse) -> Usages:
    """Hours added up by window."""
    sums: dict[tuple[str, str, Group], tuple[Decimal, int]] = {}
    for hour in answer.windows:
        window = window_at(price, hour.period.start_time.ToDatetime(UTC))
        for usage in hour.usages:
            key = usage.meter_code, window, _group_in(usage)
            quantity, count = sums.get(key, (ZERO, 0))
            sums[key] = EXACT.add(quantity, Decimal(usage.quantity)), count + usage.event_count
    told: Usages = {}
    for (meter, window, group), (quantity, count) in sums.items():
        summed = Usage(meter, quantity, group=group, event_count=count, window=window)
        told.setdefault(Source(meter, split), []).append(summed)
    return told


def events_query(
    stretch: Stretch, split: Split, meter_code: str, watermark: int
) -> event_charges_pb2.GetEventChargesRequest:
    return event_charges_pb2.GetEventChargesRequest(
        query=metering_pb2.GetUsageRequest(
            subscription_id=stretch.subscription_id,
            meter_codes=[meter_code],
            period=period_out(stretch.period.start, stretch.period.end),
            parts=_parts_out(split),
            group_by=split.group_by,
            watermark=watermark,
            prorated=split.prorated,
            full_period=period_out(stretch.full_period.start, stretch.full_period.end) if split.prorated else None,
            time_zone=stretch.time_zone if split.prorated else "",
        )
    )


def recorded_in(answer: event_charges_pb2.GetEventChargesResponse) -> list[Recorded]:
    return [
        Recorded(
            filter_code=each.usage.part,
            group=tuple(sorted(each.usage.group.items())),
            number=each.event_number,
            value=Decimal(each.value),
            amount=Decimal(each.amount or 0),
            mark=Decimal(each.usage.high_water_mark),
            units=Decimal(each.usage.units),
            prorated_units=Decimal(each.usage.prorated_units or 0),
        )
        for each in answer.charges
    ]


def _parts_out(split: Split) -> list[metering_pb2.UsagePart]:
    return [
        metering_pb2.UsagePart(
            code=code,
            filters=[metering_pb2.DimensionFilter(property=each.property, values=each.values) for each in properties],
        )
        for code, properties in split.parts
    ]


def _usage_in(message: metering_pb2.Usage, split: Split) -> Usage:
    return Usage(
        charge_code=message.meter_code,
        quantity=Decimal(message.quantity),
        filter_code=message.part,
        group=_group_in(message) if split.group_by else (),
        full_quantity=Decimal(message.full_quantity) if message.full_quantity else None,
        event_count=message.event_count,
        events=_events_in(message, split),
    )


def _group_in(message: metering_pb2.Usage) -> Group:
    return tuple(sorted(message.group.items()))


def _events_in(message: metering_pb2.Usage, split: Split) -> tuple[EventValue, ...]:
    """Single events where they are needed, else one with the sum of the amounts that events carry."""
    if split.first_events:
        return tuple(map(_event_in, message.events))
    return (EventValue(amount=Decimal(message.amount)),) if message.amount else NO_AMOUNTS


def _event_in(message: metering_pb2.EventUnits) -> EventValue:
    prorated = Decimal(message.prorated_value) if message.prorated_value else None
    return EventValue(Decimal(message.value), prorated, Decimal(message.amount or 0))


def _accumulated(usages: Iterable[Usage], earlier: Iterable[Usage]) -> list[Usage]:
    before = {(usage.charge_code, usage.filter_code, usage.group): usage.quantity for usage in earlier}
    return [
        replace(usage, quantity_before=before.get((usage.charge_code, usage.filter_code, usage.group), ZERO))
        for usage in usages
    ]
