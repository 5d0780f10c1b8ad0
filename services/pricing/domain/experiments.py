"""Price experiments: which plan version a new subscription gets."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import accumulate

MAX_WEIGHT = 1_000_000


@dataclass(frozen=True, slots=True)
class Arm:
    """A plan version that is compared; `weight` is its part of the sum of all weights."""

    code: str
    plan_code: str
    version: int
    weight: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """Arms, of which some weight is more than 0, and the arm of each segment that has one whatever the weights.

    From `end_time` on, if that is set, nobody is assigned any more.
    """

    code: str
    name: str
    arms: tuple[Arm, ...]
    segments: tuple[tuple[str, str], ...]
    end_time: datetime | None
    create_time: datetime


def assigned(experiment: Experiment, customer_id: str, segment: str) -> Arm:
    """The same for a customer for ever, wherever it is asked; customers are spread over arms as the weights say."""
    by_code = {arm.code: arm for arm in experiment.arms}
    if (chosen := dict(experiment.segments).get(segment)) is not None:
        return by_code[chosen]
    digest = sha256(f"{experiment.code}\0{customer_id}".encode()).digest()
    ends = list(accumulate(arm.weight for arm in experiment.arms))
    place = int.from_bytes(digest) % ends[-1]
    return next(arm for arm, end in zip(experiment.arms, ends, strict=True) if place < end)
