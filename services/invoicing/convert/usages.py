"""What metering measured, as pricing is to rate it."""

from collections.abc import Iterable, Iterator

from services.invoicing.domain.plan import Charge
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import pricing_pb2


def quantities_out(
    charges: Iterable[Charge], answer: metering_pb2.GetUsageResponse
) -> Iterator[pricing_pb2.ChargeQuantity]:
    """What metering measured, as pricing is to rate it."""
    for charge in charges:
        for usage in answer.usages:
            if usage.meter_code == charge.meter_code:
                yield _quantity_out(charge, usage)


def _quantity_out(charge: Charge, usage: metering_pb2.Usage) -> pricing_pb2.ChargeQuantity:
    events = [
        pricing_pb2.EventValue(value=each.value, prorated_value=each.prorated_value, amount=each.amount)
        for each in usage.events
    ]
    if charge.takes_amounts and not events and usage.amount:
        events = [pricing_pb2.EventValue(amount=usage.amount)]
    return pricing_pb2.ChargeQuantity(
        charge_code=charge.code,
        quantity=usage.quantity,
        filter=usage.part,
        group=usage.group,
        full_quantity=usage.full_quantity,
        event_count=usage.event_count,
        events=events,
    )
