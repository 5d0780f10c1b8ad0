"""Alerts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.money import plain
from libs.common.wire import code_in, decimal_in, period_out, text_in, timestamp_out
from services.metering.convert.meters import filters_in
from services.metering.convert.usage import zone_in
from services.metering.domain.alerts import Alert, AlertWindow, Direction, Evaluation, Threshold, Trigger
from services.metering.domain.meters import Aggregation, Meter
from weir.metering.v1 import alerts_pb2, metering_pb2

MAX_THRESHOLDS = 100

T = TypeVar("T")

_DIRECTIONS = {getattr(alerts_pb2.Alert, f"DIRECTION_{each.name}"): each for each in Direction}
_DIRECTIONS_OUT = {direction: number for number, direction in _DIRECTIONS.items()}
_WINDOWS = {getattr(alerts_pb2.Alert, f"WINDOW_{each.name}"): each for each in AlertWindow}
_WINDOWS_OUT = {window: number for number, window in _WINDOWS.items()}


def alert_in(alert: alerts_pb2.Alert, create_time: datetime) -> Alert:
    """A new alert; its name is its code where it is empty."""
    code = code_in(alert.code, "alert.code")
    thresholds, step = _thresholds_in(alert)
    return Alert(
        code=code,
        name=text_in(alert.name, "alert.name", required=False) or code,
        subscription_id=text_in(alert.subscription_id, "alert.subscription_id"),
        meter_code=code_in(alert.meter_code, "alert.meter_code"),
        filters=filters_in(alert.filters, "alert.filters", any_value=True),
        direction=_chosen(_DIRECTIONS, alert.direction, "alert.direction"),
        thresholds=thresholds,
        recurring_step=step,
        window=_chosen(_WINDOWS, alert.window, "alert.window"),
        zone=zone_in(alert.time_zone, "alert.time_zone"),
        create_time=create_time,
    )


def require_suits(alert: Alert, meter: Meter) -> None:
    """Raises InvalidArgument when the meter can't answer what the alert watches."""
    for index, each in enumerate(alert.filters):
        if each.property not in meter.dimensions:
            raise InvalidArgument(
                "DIMENSION_UNKNOWN",
                f"{each.property!r} is not a dimension of meter {meter.code}",
                field=f"alert.filters[{index}].property",
                meter_code=meter.code,
            )
    if alert.window is AlertWindow.LIFETIME and meter.aggregation is Aggregation.WEIGHTED_SUM:
        raise InvalidArgument(
            "WINDOW_UNSUPPORTED", "a weighted sum is an average over a period and has no lifetime", field="alert.window"
        )


def alert_change_in(present: Alert, alert: alerts_pb2.Alert, mask: FieldMask) -> Alert:
    """`present` with the changes of an update."""
    if not mask.paths:
        raise InvalidArgument("FIELD_MISSING", "update_mask is required", field="update_mask")
    changed = set(mask.paths)
    if fixed := sorted(changed - {"name", "thresholds", "recurring_step"}):
        raise FailedPrecondition(
            "ALERT_DEFINITION_FIXED",
            f"what an alert watches never changes: {', '.join(fixed)} can't be updated",
            alert_code=present.code,
        )
    merged = alert_out(present)
    for name in changed:
        merged.ClearField(name)  # type: ignore[arg-type]
    merged.MergeFrom(_only(alert, changed))
    thresholds, step = _thresholds_in(merged)
    name = text_in(merged.name, "alert.name", required=False) or present.code
    return replace(present, name=name, thresholds=thresholds, recurring_step=step)


def _only(alert: alerts_pb2.Alert, names: set[str]) -> alerts_pb2.Alert:
    found = alerts_pb2.Alert()
    FieldMask(paths=sorted(names)).MergeMessage(alert, found)
    return found


def _thresholds_in(alert: alerts_pb2.Alert) -> tuple[tuple[Threshold, ...], Threshold | None]:
    field, count = "alert.thresholds", len(alert.thresholds)
    if count > MAX_THRESHOLDS:
        raise InvalidArgument("THRESHOLDS_TOO_MANY", f"{count} thresholds, {MAX_THRESHOLDS} at most", field=field)
    if not count and not alert.HasField("recurring_step"):
        raise InvalidArgument("FIELD_MISSING", f"{field} or recurring_step is required", field=field)
    thresholds = tuple(_threshold_in(each, f"{field}[{index}]") for index, each in enumerate(alert.thresholds))
    if len({each.value for each in thresholds}) < count:
        raise InvalidArgument("THRESHOLD_REPEATED", f"{field} has two thresholds with one value", field=field)
    if not alert.HasField("recurring_step"):
        return thresholds, None
    step = _threshold_in(alert.recurring_step, "alert.recurring_step")
    if step.value <= 0:
        raise InvalidArgument(
            "STEP_NOT_POSITIVE",
            f"alert.recurring_step.value is {alert.recurring_step.value}; expected more than 0",
            field="alert.recurring_step.value",
        )
    return thresholds, step


def _threshold_in(each: alerts_pb2.AlertThreshold, field: str) -> Threshold:
    code = code_in(each.code, f"{field}.code") if each.code else ""
    return Threshold(code, decimal_in(each.value, f"{field}.value"))


def _chosen(choices: Mapping[int, T], number: int, field: str) -> T:
    if number not in choices:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    return choices[number]


def alert_out(alert: Alert) -> alerts_pb2.Alert:
    return alerts_pb2.Alert(
        code=alert.code,
        name=alert.name,
        subscription_id=alert.subscription_id,
        meter_code=alert.meter_code,
        filters=[metering_pb2.DimensionFilter(property=each.property, values=each.values) for each in alert.filters],
        direction=_DIRECTIONS_OUT[alert.direction],
        thresholds=map(_threshold_out, alert.thresholds),
        recurring_step=_threshold_out(alert.recurring_step) if alert.recurring_step else None,
        window=_WINDOWS_OUT[alert.window],
        time_zone=alert.zone.key,
        create_time=timestamp_out(alert.create_time),
        delete_time=timestamp_out(alert.delete_time),
        evaluation=_evaluation_out(alert.evaluation) if alert.evaluation else None,
    )


def trigger_out(trigger: Trigger) -> alerts_pb2.AlertTrigger:
    return alerts_pb2.AlertTrigger(
        id=trigger.id,
        alert_code=trigger.alert_code,
        subscription_id=trigger.subscription_id,
        meter_code=trigger.meter_code,
        threshold=_threshold_out(trigger.crossing.threshold),
        recurring=trigger.crossing.recurring,
        period=period_out(*trigger.evaluation.period),
        previous_quantity=plain(trigger.previous),
        quantity=plain(trigger.evaluation.quantity),
        watermark=trigger.evaluation.watermark,
        create_time=timestamp_out(trigger.create_time),
    )


def _threshold_out(threshold: Threshold) -> alerts_pb2.AlertThreshold:
    return alerts_pb2.AlertThreshold(code=threshold.code, value=plain(threshold.value))


def _evaluation_out(evaluation: Evaluation) -> alerts_pb2.AlertEvaluation:
    return alerts_pb2.AlertEvaluation(
        period=period_out(*evaluation.period), quantity=plain(evaluation.quantity), watermark=evaluation.watermark
    )
