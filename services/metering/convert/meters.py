"""Meters."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.money import plain
from libs.common.wire import code_in, decimal_in, text_in, timestamp_out
from services.metering.domain.expressions import MAX_LENGTH, MalformedExpressionError, compiled
from services.metering.domain.meters import RECURRING, Aggregation, DimensionFilter, Meter
from services.metering.domain.rounding import MAX_PRECISION, MIN_PRECISION, Rounding, RoundingFunction
from services.metering.domain.versions import History
from weir.metering.v1 import metering_pb2

MAX_FILTERS = 64
MAX_FILTER_VALUES = 1_000
MAX_DIMENSIONS = 32
MAX_DESCRIPTION = 2_000

_AGGREGATIONS = {
    getattr(metering_pb2.Meter, f"AGGREGATION_{aggregation.name}"): aggregation for aggregation in Aggregation
}
_AGGREGATIONS_OUT = {aggregation: number for number, aggregation in _AGGREGATIONS.items()}
_FUNCTIONS = {getattr(metering_pb2.Rounding, f"FUNCTION_{function.name}"): function for function in RoundingFunction}
_FUNCTIONS_OUT = {function: number for number, function in _FUNCTIONS.items()}


def meter_in(meter: metering_pb2.Meter, create_time: datetime) -> Meter:
    """A new meter; its name and event_code are its code where they are empty."""
    code = code_in(meter.code, "meter.code")
    undefined = Meter(
        code=code,
        name=text_in(meter.name, "meter.name", required=False) or code,
        description=_description_in(meter),
        event_code=code,
        aggregation=_aggregation_in(meter),
        value_property="",
        filters=(),
        create_time=create_time,
        recurring=meter.recurring,
        percentile=decimal_in(meter.percentile, "meter.percentile") if meter.percentile else None,
    )
    return defined(undefined, meter, "meter.")


def defined(meter: Meter, sent: metering_pb2.Meter | metering_pb2.MeterDefinition, path: str) -> Meter:
    """The meter with the definition that was sent at `path`; its event_code stays where none was."""
    is_count = meter.aggregation is Aggregation.COUNT
    if is_count and sent.value_property:
        raise InvalidArgument(
            "VALUE_PROPERTY_UNUSED", "a meter that counts events has no value_property", field=f"{path}value_property"
        )
    if is_count and sent.expression:
        raise InvalidArgument(
            "EXPRESSION_UNUSED", "a meter that counts events has no expression", field=f"{path}expression"
        )
    return replace(
        meter,
        event_code=code_in(sent.event_code or meter.event_code, f"{path}event_code"),
        value_property=text_in(sent.value_property, f"{path}value_property", required=not is_count),
        filters=filters_in(sent.filters, f"{path}filters"),
        dimensions=dimensions_in(sent.dimensions, f"{path}dimensions"),
        rounding=_rounding_in(sent.rounding, f"{path}rounding") if sent.HasField("rounding") else None,
        expression=expression_in(sent.expression, f"{path}expression") if sent.expression else "",
    )


def expression_in(text: str, field: str) -> str:
    text_in(text, field, most=MAX_LENGTH)
    try:
        return compiled(text).text
    except MalformedExpressionError as error:
        raise InvalidArgument("EXPRESSION_MALFORMED", f"{field} is malformed: {error}", field=field) from None


def _aggregation_in(meter: metering_pb2.Meter) -> Aggregation:
    """Raises where the aggregation and what belongs to it do not go together."""
    aggregation = _AGGREGATIONS.get(meter.aggregation)
    if aggregation is None:
        raise InvalidArgument("FIELD_MISSING", "meter.aggregation is required", field="meter.aggregation")
    if meter.recurring and aggregation not in RECURRING:
        raise InvalidArgument(
            "RECURRING_UNSUPPORTED",
            f"a {aggregation} can't be recurring; only a sum, unique count or weighted sum can",
            field="meter.recurring",
        )
    if aggregation is not Aggregation.PERCENTILE:
        if meter.percentile:
            raise InvalidArgument("PERCENTILE_UNUSED", f"a {aggregation} has no percentile", field="meter.percentile")
    elif not 0 < decimal_in(meter.percentile, "meter.percentile") <= 100:
        raise InvalidArgument(
            "PERCENTILE_OUT_OF_RANGE",
            f"meter.percentile is {meter.percentile}; expected more than 0 and at most 100",
            field="meter.percentile",
        )
    return aggregation


def _rounding_in(rounding: metering_pb2.Rounding, field: str) -> Rounding:
    function = _FUNCTIONS.get(rounding.function)
    if function is None:
        raise InvalidArgument("FIELD_MISSING", f"{field}.function is required", field=f"{field}.function")
    if not MIN_PRECISION <= rounding.precision <= MAX_PRECISION:
        raise InvalidArgument(
            "PRECISION_OUT_OF_RANGE",
            f"{field}.precision is {rounding.precision}; expected {MIN_PRECISION} to {MAX_PRECISION}",
            field=f"{field}.precision",
        )
    return Rounding(function, rounding.precision)


def meter_change_in(meter: metering_pb2.Meter, mask: FieldMask) -> tuple[str, str | None, str | None]:
    """Code, new name and new description; None leaves alone."""
    code = code_in(meter.code, "meter.code")
    if not mask.paths:
        raise InvalidArgument("FIELD_MISSING", "update_mask is required", field="update_mask")
    if fixed := sorted(set(mask.paths) - {"name", "description"}):
        raise FailedPrecondition(
            "METER_DEFINITION_FIXED",
            f"what a meter measures changes only by a new version: {', '.join(fixed)} can't be updated",
            meter_code=code,
        )
    name = text_in(meter.name, "meter.name", required=False) or code
    return code, name if "name" in mask.paths else None, _description_in(meter) if "description" in mask.paths else None


def meter_out(history: History, now: datetime) -> metering_pb2.Meter:
    """By the version in effect."""
    meter = history.at(now)
    return metering_pb2.Meter(
        code=meter.code,
        name=meter.name,
        description=meter.description,
        event_code=meter.event_code,
        aggregation=_AGGREGATIONS_OUT[meter.aggregation],
        value_property=meter.value_property,
        filters=_filters_out(meter),
        create_time=timestamp_out(history.versions[0].create_time),
        recurring=meter.recurring,
        dimensions=meter.dimensions,
        rounding=_rounding_out(meter.rounding) if meter.rounding else None,
        percentile=plain(meter.percentile) if meter.percentile is not None else "",
        expression=meter.expression,
        version=meter.version,
        pending_versions=map(version_out, history.after(now)),
    )


def version_out(meter: Meter) -> metering_pb2.MeterVersion:
    return metering_pb2.MeterVersion(
        version=meter.version,
        definition=metering_pb2.MeterDefinition(
            event_code=meter.event_code,
            value_property=meter.value_property,
            filters=_filters_out(meter),
            expression=meter.expression,
            rounding=_rounding_out(meter.rounding) if meter.rounding else None,
            dimensions=meter.dimensions,
        ),
        effective_time=timestamp_out(meter.since),
        create_time=timestamp_out(meter.create_time),
    )


def _filters_out(meter: Meter) -> list[metering_pb2.DimensionFilter]:
    return [metering_pb2.DimensionFilter(property=each.property, values=each.values) for each in meter.filters]


def _rounding_out(rounding: Rounding) -> metering_pb2.Rounding:
    return metering_pb2.Rounding(function=_FUNCTIONS_OUT[rounding.function], precision=rounding.precision)


def _description_in(meter: metering_pb2.Meter) -> str:
    return text_in(meter.description, "meter.description", most=MAX_DESCRIPTION, required=False)


def dimensions_in(names: Sequence[str], field: str) -> tuple[str, ...]:
    if len(names) > MAX_DIMENSIONS:
        raise InvalidArgument(
            "DIMENSIONS_TOO_MANY", f"{field} has {len(names)} properties, {MAX_DIMENSIONS} at most", field=field
        )
    if len(set(names)) < len(names):
        raise InvalidArgument("DIMENSION_REPEATED", f"{field} names a property twice", field=field)
    return tuple(text_in(name, f"{field}[{index}]") for index, name in enumerate(names))


def filters_in(
    filters: Sequence[metering_pb2.DimensionFilter], field: str, *, any_value: bool = False
) -> tuple[DimensionFilter, ...]:
    """`any_value` lets a filter be without values."""
    if len(filters) > MAX_FILTERS:
        raise InvalidArgument(
            "FILTERS_TOO_MANY", f"{field} has {len(filters)} filters, {MAX_FILTERS} at most", field=field
        )
    return tuple(_filter_in(each, f"{field}[{index}]", any_value) for index, each in enumerate(filters))


def _filter_in(each: metering_pb2.DimensionFilter, field: str, any_value: bool) -> DimensionFilter:
    if not each.values and not any_value:
        raise InvalidArgument("FIELD_MISSING", f"{field}.values is required", field=f"{field}.values")
    if len(each.values) > MAX_FILTER_VALUES:
        raise InvalidArgument(
            "FILTER_VALUES_TOO_MANY",
            f"{field} has {len(each.values)} values, {MAX_FILTER_VALUES} at most",
            field=f"{field}.values",
        )
    values = (text_in(value, f"{field}.values[{index}]", required=False) for index, value in enumerate(each.values))
    return DimensionFilter(text_in(each.property, f"{field}.property"), tuple(dict.fromkeys(values)))
