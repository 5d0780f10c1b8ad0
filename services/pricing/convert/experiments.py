"""Price experiments on the wire."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, text_in, timestamp_in, timestamp_out
from services.pricing.convert.collected import mask_in, read_all, read_fields, require_unique
from services.pricing.convert.versions import version_number_in
from services.pricing.domain.experiments import MAX_WEIGHT, Arm, Experiment
from weir.pricing.v1 import experiments_pb2


def experiment_in(message: experiments_pb2.Experiment, create_time: datetime) -> Experiment:
    experiment = Experiment(create_time=create_time, **read_fields(message, _FIELDS, _FIELDS))
    known = {arm.code for arm in experiment.arms}
    for index, (_, arm_code) in enumerate(experiment.segments):
        if arm_code not in known:
            path = f"experiment.segments[{index}].arm_code"
            raise InvalidArgument("ARM_UNKNOWN", f"{path} is {arm_code!r}, which is no arm", field=path)
    return experiment


def experiment_change_in(
    message: experiments_pb2.Experiment, mask: FieldMask
) -> tuple[str, Callable[[Experiment], Experiment]]:
    """The experiment's code, and what the update makes of it."""
    values = read_fields(message, _FIELDS, {"code", *mask_in(mask, "name", "end_time")})
    return values["code"], lambda experiment: replace(experiment, **values)


def experiment_out(experiment: Experiment) -> experiments_pb2.Experiment:
    return experiments_pb2.Experiment(
        code=experiment.code,
        name=experiment.name,
        arms=[
            experiments_pb2.ExperimentArm(
                code=arm.code, plan_code=arm.plan_code, version=arm.version, weight=arm.weight
            )
            for arm in experiment.arms
        ],
        segments=[
            experiments_pb2.ExperimentSegment(segment=segment, arm_code=arm_code)
            for segment, arm_code in experiment.segments
        ],
        end_time=timestamp_out(experiment.end_time),
        create_time=timestamp_out(experiment.create_time),
    )


def _arms_in(messages: Sequence[experiments_pb2.ExperimentArm]) -> tuple[Arm, ...]:
    field = "experiment.arms"
    if not messages:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    arms = read_all(partial(_arm_in, each, f"{field}[{index}]") for index, each in enumerate(messages))
    require_unique("CODE_DUPLICATE", [arm.code for arm in arms], field + "[{}].code")
    if not any(arm.weight for arm in arms):
        raise InvalidArgument("WEIGHT_OUT_OF_RANGE", f"{field}: some weight must be more than 0", field=field)
    return arms


def _arm_in(message: experiments_pb2.ExperimentArm, field: str) -> Arm:
    if not 0 <= message.weight <= MAX_WEIGHT:
        path = f"{field}.weight"
        raise InvalidArgument(
            "WEIGHT_OUT_OF_RANGE", f"{path} is {message.weight}; expected 0 to {MAX_WEIGHT}", field=path
        )
    return Arm(
        code=code_in(message.code, f"{field}.code"),
        plan_code=code_in(message.plan_code, f"{field}.plan_code"),
        version=version_number_in(message.version, f"{field}.version"),
        weight=message.weight,
    )


def _segments_in(messages: Sequence[experiments_pb2.ExperimentSegment]) -> tuple[tuple[str, str], ...]:
    field = "experiment.segments"
    segments = tuple(
        (text_in(each.segment, f"{field}[{index}].segment"), code_in(each.arm_code, f"{field}[{index}].arm_code"))
        for index, each in enumerate(messages)
    )
    require_unique("CODE_DUPLICATE", [segment for segment, _ in segments], field + "[{}].segment")
    return segments


def _end_time_in(message: experiments_pb2.Experiment) -> datetime | None:
    return timestamp_in(message.end_time, True, "experiment.end_time") if message.HasField("end_time") else None


_FIELDS: dict[str, Callable[[experiments_pb2.Experiment], Any]] = {
    "code": lambda message: code_in(message.code, "experiment.code"),
    "name": lambda message: text_in(message.name, "experiment.name"),
    "arms": lambda message: _arms_in(message.arms),
    "segments": lambda message: _segments_in(message.segments),
    "end_time": _end_time_in,
}
