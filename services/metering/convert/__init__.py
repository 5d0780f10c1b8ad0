"""Protobuf to domain and back. Events have `events_in`."""

from services.metering.convert.alerts import alert_change_in, alert_in, alert_out, require_suits, trigger_out
from services.metering.convert.events import after_in, event_out, key_out, outcome_out, series_in
from services.metering.convert.expressions import evaluation_out, expression_sample_in
from services.metering.convert.meter_versions import number_in, version_in
from services.metering.convert.meters import meter_change_in, meter_in, meter_out, version_out
from services.metering.convert.usage import (
    answer_out,
    asked_in,
    batch_in,
    batch_out,
    event_question_in,
    event_usage_out,
    stream_in,
    stream_out,
    watermark_in,
    windows_in,
    windows_out,
)

__all__ = [
    "after_in",
    "alert_change_in",
    "alert_in",
    "alert_out",
    "answer_out",
    "asked_in",
    "batch_in",
    "batch_out",
    "evaluation_out",
    "event_out",
    "event_question_in",
    "event_usage_out",
    "expression_sample_in",
    "key_out",
    "meter_change_in",
    "meter_in",
    "meter_out",
    "number_in",
    "outcome_out",
    "require_suits",
    "series_in",
    "stream_in",
    "stream_out",
    "trigger_out",
    "version_in",
    "version_out",
    "watermark_in",
    "windows_in",
    "windows_out",
]
