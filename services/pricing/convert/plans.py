"""Plans on the wire."""

from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.wire import code_in, text_in, timestamp_out
from services.pricing.convert.collected import mask_in
from services.pricing.convert.described import description_in
from services.pricing.convert.versions import version_in, version_out
from services.pricing.domain.plans import Plan, PlanVersion
from services.pricing.domain.states import VersionState
from weir.pricing.v1 import pricing_pb2


def plan_in(
    message: pricing_pb2.Plan, version: pricing_pb2.PlanVersion, as_draft: bool, create_time: datetime
) -> tuple[Plan, PlanVersion]:
    """A new plan and its version 1."""
    code = code_in(message.code, "plan.code")
    first = version_in(version, code, 1, create_time)
    plan = Plan(
        code=code,
        name=text_in(message.name, "plan.name"),
        description=description_in(message.description, "plan.description"),
        version_count=1,
        latest_version=None if as_draft else first,
        create_time=create_time,
    )
    return plan, first


def plan_change_in(message: pricing_pb2.Plan, mask: FieldMask) -> tuple[str, str | None, str | None]:
    """The plan's code, and its new name and description; None for what does not change."""
    code = code_in(message.code, "plan.code")
    paths = mask_in(mask, "name", "description")
    name = text_in(message.name, "plan.name") if "name" in paths else None
    described = description_in(message.description, "plan.description") if "description" in paths else None
    return code, name, described


def plan_out(plan: Plan) -> pricing_pb2.Plan:
    latest = plan.latest_version
    return pricing_pb2.Plan(
        code=plan.code,
        name=plan.name,
        description=plan.description,
        version_count=plan.version_count,
        latest_version=None if latest is None else version_out(latest, VersionState.ACTIVE),
        create_time=timestamp_out(plan.create_time),
    )
