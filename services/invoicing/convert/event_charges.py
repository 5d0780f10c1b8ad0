"""What metering says of single events in advance, and what pricing is asked of them."""

from collections.abc import Iterable
from datetime import UTC
from decimal import Decimal

from libs.common.money import plain
from libs.common.wire import money_out, period_out, timestamp_out
from services.invoicing.convert.ratings import rated_usage_in
from services.invoicing.convert.usages import part_out
from services.invoicing.domain.advance_fee import ZERO, Advance, Charged, EventCharge, Step
from services.invoicing.domain.line import RatedUsage
from weir.invoicing.v1 import advance_fees_pb2
from weir.metering.v1 import event_charges_pb2, metering_pb2
from weir.pricing.v1 import pricing_pb2


def event_charges_query(of: Advance, watermark: int, since: int) -> event_charges_pb2.GetEventChargesRequest:
    """All events of the period where single ones matter to the price."""
    split = of.charge.split
    return event_charges_pb2.GetEventChargesRequest(
        query=metering_pb2.GetUsageRequest(
            subscription_id=of.source.subscription_id,
            meter_codes=[of.charge.meter_code],
            period=period_out(of.period.start, of.period.end),
            parts=[part_out(part) for part in split.parts],
            group_by=split.group_keys,
            watermark=watermark,
            prorated=split.prorated,
            full_period=period_out(of.full_period.start, of.full_period.end) if split.prorated else None,
            time_zone=of.time_zone if split.prorated else "",
        ),
        since_watermark=0 if of.charge.is_per_event else since,
    )


def event_charges_in(messages: Iterable[event_charges_pb2.EventCharge]) -> list[EventCharge]:
    return [
        EventCharge(
            transaction_id=each.transaction_id,
            event_time=each.timestamp.ToDatetime(UTC),
            sequence=each.sequence,
            number=each.event_number,
            value=Decimal(each.value),
            amount=Decimal(each.amount or 0),
            part=each.usage.part,
            group=tuple(sorted(each.usage.group.items())),
            mark=Decimal(each.usage.high_water_mark),
            units=Decimal(each.usage.units),
            prorated_units=Decimal(each.usage.prorated_units or 0),
        )
        for each in messages
    ]


def step_out(of: Advance, step: Step) -> tuple[pricing_pb2.ChargeQuantity, pricing_pb2.ChargeQuantity]:
    """All usage without the event, and with it; of units by the day, none and those that it adds."""
    if of.charge.split.prorated:
        return _by_day_out(of, step, ZERO, ZERO), _by_day_out(of, step, step.after - step.before, step.days_left)
    *earlier, _ = step.values
    return _quantity_out(of, step, step.before, earlier), _quantity_out(of, step, step.after, step.values)


def _by_day_out(of: Advance, step: Step, units: Decimal, prorated: Decimal) -> pricing_pb2.ChargeQuantity:
    return pricing_pb2.ChargeQuantity(
        charge_code=of.charge.code,
        quantity=plain(prorated),
        full_quantity=plain(units),
        filter=step.event.part,
        group=dict(step.event.group),
    )


def _quantity_out(
    of: Advance, step: Step, quantity: Decimal, events: Iterable[EventCharge]
) -> pricing_pb2.ChargeQuantity:
    charge, told = of.charge, list(events)
    values = []
    if charge.takes_amounts:
        values = [pricing_pb2.EventValue(amount=plain(sum((each.amount for each in told), Decimal(0))))]
    elif charge.split.first_events:
        first = told[: charge.split.first_events]
        values = [pricing_pb2.EventValue(value=plain(each.value), amount=plain(each.amount)) for each in first]
    return pricing_pb2.ChargeQuantity(
        charge_code=charge.code,
        quantity=plain(quantity),
        filter=step.event.part,
        group=dict(step.event.group),
        event_count=step.event.number - (events is not step.values),
        events=values,
    )


def rated_step_in(step: Step, messages: Iterable[pricing_pb2.RatedCharge]) -> RatedUsage:
    """Of what pricing rated, what the step is of. The rating keeps what was used before the event."""
    found = next(
        each
        for each in messages
        if each.filter == step.event.part and tuple(sorted(each.group.items())) == step.event.group
    )
    found.quantity_before = plain(step.before)
    return rated_usage_in(found)


def charged_out(charged: Charged) -> advance_fees_pb2.AdvanceFee:
    line = charged.line
    assert line.rating is not None, "usage is rated"
    return advance_fees_pb2.AdvanceFee(
        charge_code=line.code,
        description=line.description,
        transaction_id=line.transaction_id or "",
        event_time=timestamp_out(charged.event_time),
        units=plain(charged.units),
        amount=money_out(line.amount),
        unrounded_amount=plain(line.unrounded_amount),
        rating=pricing_pb2.RatedCharge.FromString(line.rating),
        watermark=line.watermark or 0,
        invoice_id=charged.invoice_id,
        number=charged.serial,
        regrouped=charged.is_regrouped,
        paid_time=timestamp_out(charged.paid_time),
    )
