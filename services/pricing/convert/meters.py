"""Metering's meters, and the events that they would count, on the wire."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, decimal_in, text_in, timestamp_in
from services.pricing.domain.additions import Aggregation, Definition, Event, Meter, counts
from services.pricing.domain.breakdown import ZERO
from services.pricing.domain.plans import PropertyFilter
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import estimation_pb2

_AGGREGATIONS = {
    metering_pb2.Meter.AGGREGATION_COUNT: Aggregation.COUNT,
    metering_pb2.Meter.AGGREGATION_SUM: Aggregation.SUM,
    metering_pb2.Meter.AGGREGATION_MAX: Aggregation.MAX,
    metering_pb2.Meter.AGGREGATION_LATEST: Aggregation.LATEST,
    metering_pb2.Meter.AGGREGATION_UNIQUE_COUNT: Aggregation.UNIQUE_COUNT,
}
_MEASURED = (Aggregation.SUM, Aggregation.MAX, Aggregation.LATEST)
"""What adds up decimals."""


def meter_in(message: metering_pb2.Meter) -> Meter:
    """As metering sent it, who has validated it."""
    return Meter(
        code=message.code,
        aggregation=_AGGREGATIONS.get(message.aggregation, Aggregation.OTHER),
        definition=_definition_in(message),
        pending=tuple(
            (each.effective_time.ToDatetime(UTC), _definition_in(each.definition)) for each in message.pending_versions
        ),
    )


def _definition_in(message: metering_pb2.Meter | metering_pb2.MeterDefinition) -> Definition:
    return Definition(
        event_code=message.event_code,
        value_property=message.value_property,
        filters=tuple(PropertyFilter(each.property, tuple(each.values)) for each in message.filters),
        is_computed=bool(message.expression),
    )


def event_in(request: estimation_pb2.EstimateEventRequest, now: datetime) -> Event:
    return Event(
        code=code_in(request.code, "code"),
        properties={text_in(name, "properties"): value for name, value in request.properties.items()},
        amount=decimal_in(request.amount, "amount", default=ZERO),
        timestamp=timestamp_in(request.timestamp, True, "timestamp") if request.HasField("timestamp") else now,
    )


def values_in(event: Event, meters: Iterable[Meter]) -> dict[str, Decimal]:
    """What each meter that counts the event takes from it, by meter."""
    values: dict[str, Decimal] = {}
    for meter in meters:
        definition = meter.at(event.timestamp)
        if counts(meter, event) and definition.value_property and not definition.is_computed:
            field = f"properties.{definition.value_property}"
            if definition.value_property not in event.properties:
                raise InvalidArgument("PROPERTY_MISSING", f"{field} is required: a meter measures it", field=field)
            if meter.aggregation in _MEASURED:
                values[meter.code] = decimal_in(event.properties[definition.value_property], field)
    return values
