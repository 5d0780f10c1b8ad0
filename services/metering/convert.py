"""Protobuf to domain and back, for meters and usage. Events have `events_in`."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.money import plain
from libs.common.wire import code_in, period_in, text_in, timestamp_out
from services.metering.domain.events import Outcome
from services.metering.domain.meters import Aggregation, DimensionFilter, Meter
from services.metering.domain.usage import Answers, Question, Usage
from weir.metering.v1 import metering_pb2

MAX_QUERIES = 10_000
MAX_FILTERS = 64
MAX_FILTER_VALUES = 1_000
MAX_DESCRIPTION = 2_000

_AGGREGATIONS = {
    metering_pb2.Meter.AGGREGATION_COUNT: Aggregation.COUNT,
    metering_pb2.Meter.AGGREGATION_SUM: Aggregation.SUM,
}
_AGGREGATIONS_OUT = {aggregation: number for number, aggregation in _AGGREGATIONS.items()}


def meter_in(meter: metering_pb2.Meter, create_time: datetime) -> Meter:
    """A new meter; its name and event_code are its code where they are empty."""
    code = code_in(meter.code, "meter.code")
    aggregation = _AGGREGATIONS.get(meter.aggregation)
    if aggregation is None:
        raise InvalidArgument("FIELD_MISSING", "meter.aggregation is required", field="meter.aggregation")
    if aggregation is Aggregation.COUNT and meter.value_property:
        raise InvalidArgument(
            "VALUE_PROPERTY_UNUSED", "a meter that counts events has no value_property", field="meter.value_property"
        )
    return Meter(
        code=code,
        name=text_in(meter.name, "meter.name", required=False) or code,
        description=_description_in(meter),
        event_code=code_in(meter.event_code or code, "meter.event_code"),
        aggregation=aggregation,
        value_property=text_in(
            meter.value_property, "meter.value_property", required=aggregation is not Aggregation.COUNT
        ),
        filters=_filters_in(meter.filters),
        create_time=create_time,
    )


def meter_change_in(meter: metering_pb2.Meter, mask: FieldMask) -> tuple[str, str | None, str | None]:
    """Code, new name and new description; None leaves alone."""
    code = code_in(meter.code, "meter.code")
    if not mask.paths:
        raise InvalidArgument("FIELD_MISSING", "update_mask is required", field="update_mask")
    if fixed := sorted(set(mask.paths) - {"name", "description"}):
        raise FailedPrecondition(
            "METER_DEFINITION_FIXED",
            f"what a meter measures never changes: {', '.join(fixed)} can't be updated",
            meter_code=code,
        )
    name = text_in(meter.name, "meter.name", required=False) or code
    return code, name if "name" in mask.paths else None, _description_in(meter) if "description" in mask.paths else None


def meter_out(meter: Meter) -> metering_pb2.Meter:
    return metering_pb2.Meter(
        code=meter.code,
        name=meter.name,
        description=meter.description,
        event_code=meter.event_code,
        aggregation=_AGGREGATIONS_OUT[meter.aggregation],
        value_property=meter.value_property,
        filters=[metering_pb2.DimensionFilter(property=each.property, values=each.values) for each in meter.filters],
        create_time=timestamp_out(meter.create_time),
    )


def _description_in(meter: metering_pb2.Meter) -> str:
    return text_in(meter.description, "meter.description", most=MAX_DESCRIPTION, required=False)


def _filters_in(filters: Sequence[metering_pb2.DimensionFilter]) -> tuple[DimensionFilter, ...]:
    if len(filters) > MAX_FILTERS:
        raise InvalidArgument(
            "FILTERS_TOO_MANY", f"meter has {len(filters)} filters, {MAX_FILTERS} at most", field="meter.filters"
        )
    return tuple(_filter_in(each, f"meter.filters[{index}]") for index, each in enumerate(filters))


def _filter_in(each: metering_pb2.DimensionFilter, field: str) -> DimensionFilter:
    if not each.values:
        raise InvalidArgument("FIELD_MISSING", f"{field}.values is required", field=f"{field}.values")
    if len(each.values) > MAX_FILTER_VALUES:
        raise InvalidArgument(
            "FILTER_VALUES_TOO_MANY",
            f"{field} has {len(each.values)} values, {MAX_FILTER_VALUES} at most",
            field=f"{field}.values",
        )
    values = (text_in(value, f"{field}.values[{index}]", required=False) for index, value in enumerate(each.values))
    return DimensionFilter(text_in(each.property, f"{field}.property"), tuple(dict.fromkeys(values)))


def outcome_out(outcome: Outcome) -> metering_pb2.IngestEventsResponse:
    return metering_pb2.IngestEventsResponse(
        accepted_count=outcome.accepted_count,
        duplicate_indexes=outcome.duplicate_indexes,
        failures=[
            metering_pb2.EventFailure(
                index=refusal.index, field=refusal.field, reason=refusal.reason, message=refusal.message
            )
            for refusal in outcome.refusals
        ],
    )


def question_in(query: metering_pb2.GetUsageRequest, path: str = "") -> Question:
    """`path` leads to the query in its request, for example "queries[3]."."""
    subscription_id = text_in(query.subscription_id, f"{path}subscription_id")
    if not query.meter_codes:
        raise InvalidArgument("FIELD_MISSING", f"{path}meter_codes is required", field=f"{path}meter_codes")
    codes = [code_in(code, f"{path}meter_codes[{index}]") for index, code in enumerate(query.meter_codes)]
    if len(set(codes)) < len(codes):
        raise InvalidArgument("METER_REPEATED", f"{path}meter_codes names a meter twice", field=f"{path}meter_codes")
    start, end = period_in(query.period, query.HasField("period"), f"{path}period")
    return Question(subscription_id, codes, start, end)


def questions_in(queries: Sequence[metering_pb2.GetUsageRequest]) -> list[Question]:
    if not queries:
        raise InvalidArgument("FIELD_MISSING", "queries is required", field="queries")
    if len(queries) > MAX_QUERIES:
        raise InvalidArgument(
            "QUERIES_TOO_MANY", f"{len(queries)} queries in one call, {MAX_QUERIES} at most", field="queries"
        )
    for index, query in enumerate(queries):
        if query.watermark:
            raise InvalidArgument(
                "WATERMARK_MISPLACED",
                "the questions of a batch have one watermark, that of the request",
                field=f"queries[{index}].watermark",
            )
    return [question_in(query, f"queries[{index}].") for index, query in enumerate(queries)]


def watermark_in(watermark: int) -> int | None:
    """None for all that has been recorded."""
    if watermark < 0:
        raise InvalidArgument("WATERMARK_NEGATIVE", f"watermark is {watermark}", field="watermark")
    return watermark or None


def answers_out(answers: Answers) -> list[metering_pb2.GetUsageResponse]:
    return [
        metering_pb2.GetUsageResponse(usages=map(_usage_out, usages), watermark=answers.watermark)
        for usages in answers.usages
    ]


def _usage_out(usage: Usage) -> metering_pb2.Usage:
    return metering_pb2.Usage(
        meter_code=usage.meter_code, quantity=plain(usage.quantity), event_count=usage.event_count
    )
