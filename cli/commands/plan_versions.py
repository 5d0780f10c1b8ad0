"""Plan versions as people type them."""

import re

from cli.errors import WrongUsage
from weir.pricing.v1.simulation_pb2 import PlanVersionName

_NAME = re.compile(r"([^@]+)(?:@([1-9][0-9]{0,8}))?", re.ASCII)


def version_name(text: str) -> PlanVersionName:
    """PLAN or PLAN@VERSION; without a version it is 0."""
    if (found := _NAME.fullmatch(text)) is None:
        raise WrongUsage(f"{text!r} is neither a plan's code nor PLAN@VERSION")
    return PlanVersionName(plan_code=found[1], version=int(found[2] or 0))
