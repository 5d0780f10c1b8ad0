"""Price experiments."""

from datetime import datetime

from services.pricing.domain.experiments import Arm, Experiment
from services.pricing.store.objects import Json, Objects


def _contents(experiment: Experiment) -> Json:
    return {
        "name": experiment.name,
        "arms": [[arm.code, arm.plan_code, arm.version, arm.weight] for arm in experiment.arms],
        "segments": [list(pair) for pair in experiment.segments],
        "end_time": None if experiment.end_time is None else experiment.end_time.isoformat(),
    }


def _read(code: str, create_time: datetime, value: Json) -> Experiment:
    end_time = value["end_time"]
    return Experiment(
        code=code,
        name=value["name"],
        arms=tuple(Arm(*arm) for arm in value["arms"]),
        segments=tuple((segment, arm_code) for segment, arm_code in value["segments"]),
        end_time=None if end_time is None else datetime.fromisoformat(end_time),
        create_time=create_time,
    )


EXPERIMENTS = Objects("experiment", "experiment", "EXPERIMENT_EXISTS", "EXPERIMENT_NOT_FOUND", _contents, _read)
