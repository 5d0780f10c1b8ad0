"""Drafts, what is sold, and what no longer is."""

import asyncio
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tests.pricing.conftest import Client, Connect
from tests.pricing.requests import create_plan, create_version, rate
from weir.pricing.v1.pricing_pb2 import (
    ActivatePlanVersionRequest,
    ArchivePlanVersionRequest,
    GetPlanRequest,
    GetPlanVersionRequest,
    ListPlansRequest,
    Plan,
    PlanVersion,
    UpdatePlanRequest,
)


def activate(version: int = 2) -> ActivatePlanVersionRequest:
    return ActivatePlanVersionRequest(request_id=str(uuid4()), plan_code="llm-api", version=version)


def archive(version: int) -> ArchivePlanVersionRequest:
    return ArchivePlanVersionRequest(request_id=str(uuid4()), plan_code="llm-api", version=version)


async def make_draft(pricing: Client, base_version: int = 1) -> PlanVersion:
    request = create_version(base_version=base_version)
    request.as_draft = True
    return (await pricing.CreatePlanVersion(request)).version


async def sold(pricing: Client) -> int:
    """The version that new subscriptions get, 0 if none."""
    return (await pricing.GetPlan(GetPlanRequest(code="llm-api"))).plan.latest_version.version


async def state(pricing: Client, version: int) -> str:
    found = await pricing.GetPlanVersion(GetPlanVersionRequest(plan_code="llm-api", version=version))
    return PlanVersion.State.Name(found.version.state)


async def test_a_draft_can_be_rated_but_is_not_sold_until_it_is_activated(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    draft = await make_draft(pricing)
    assert draft.state == PlanVersion.STATE_DRAFT
    assert (await pricing.Rate(rate(version=2, output_tokens="3"))).charges[0].amount.minor_units == 300
    assert await sold(pricing) == 1
    activated = (await pricing.ActivatePlanVersion(activate())).version
    draft.state = PlanVersion.STATE_ACTIVE
    assert activated == draft
    assert await sold(pricing) == 2
    assert await state(pricing, 2) == "STATE_ACTIVE"


async def test_a_draft_that_is_discarded_can_never_be_sold(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    await make_draft(pricing)
    assert (await pricing.ArchivePlanVersion(archive(2))).version.state == PlanVersion.STATE_ARCHIVED
    with pytest.raises(FailedPrecondition) as refused:
        await pricing.ActivatePlanVersion(activate())
    assert refused.value.reason == "PLAN_VERSION_NOT_DRAFT"
    assert refused.value.metadata == {"plan_code": "llm-api", "version": "2", "state": "archived"}
    assert await sold(pricing) == 1


async def test_new_subscriptions_get_the_newest_version_that_is_active(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    await pricing.CreatePlanVersion(create_version(base_version=1))
    await make_draft(pricing, base_version=2)
    assert await sold(pricing) == 2
    await pricing.ArchivePlanVersion(archive(2))
    assert await sold(pricing) == 1
    await pricing.ArchivePlanVersion(archive(1))
    [plan] = (await pricing.ListPlans(ListPlansRequest())).plans
    assert not plan.HasField("latest_version")
    assert plan.version_count == 3
    await pricing.ActivatePlanVersion(activate(3))
    assert await sold(pricing) == 3


async def test_an_archived_version_is_found_and_rated_as_before(pricing: Client) -> None:
    made = (await pricing.CreatePlan(create_plan())).plan.latest_version
    before = await pricing.Rate(rate(output_tokens="7"))
    await pricing.ArchivePlanVersion(archive(1))
    made.state = PlanVersion.STATE_ARCHIVED
    found = await pricing.GetPlanVersion(GetPlanVersionRequest(plan_code="llm-api", version=1))
    assert found.version == made
    assert await pricing.Rate(rate(output_tokens="7")) == before


async def test_a_plan_can_begin_with_a_draft(pricing: Client) -> None:
    request = create_plan()
    request.as_draft = True
    made = (await pricing.CreatePlan(request)).plan
    assert (made.version_count, made.HasField("latest_version")) == (1, False)
    await pricing.ActivatePlanVersion(activate(1))
    assert await sold(pricing) == 1
    assert (await pricing.CreatePlan(request)).plan == made


async def test_a_repeated_change_is_answered_as_it_was_the_first_time_even_after_another(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    await make_draft(pricing)
    request = activate()
    first = await pricing.ActivatePlanVersion(request)
    await pricing.ArchivePlanVersion(archive(2))
    assert await pricing.ActivatePlanVersion(request) == first
    assert await state(pricing, 2) == "STATE_ARCHIVED"


async def test_a_change_sent_by_many_at_once_is_done_once(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    await make_draft(pricing)
    request = activate()
    answers = await asyncio.gather(*(pricing.ActivatePlanVersion(request) for _ in range(6)))
    assert all(answer == answers[0] for answer in answers)


async def test_of_several_who_archive_a_version_one_does_it_and_the_others_are_told(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    calls = (pricing.ArchivePlanVersion(archive(1)) for _ in range(6))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, FailedPrecondition)]
    assert len(refused) == 5
    assert {error.reason for error in refused} == {"PLAN_VERSION_ARCHIVED"}


async def test_a_request_id_used_for_another_change_is_refused_and_changes_nothing(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    await make_draft(pricing)
    await make_draft(pricing, base_version=2)
    request = activate()
    await pricing.ActivatePlanVersion(request)
    request.version = 3
    with pytest.raises(Conflict) as refused:
        await pricing.ActivatePlanVersion(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await state(pricing, 3) == "STATE_DRAFT"


async def test_what_is_not_there_cannot_be_activated(connect: Connect) -> None:
    acme, rival = connect("acme"), connect("rival")
    await acme.CreatePlan(create_plan())
    await make_draft(acme)
    for client, version, reason in (
        (acme, 3, "PLAN_VERSION_NOT_FOUND"),
        (rival, 2, "PLAN_NOT_FOUND"),
    ):
        with pytest.raises(NotFound) as refused:
            await client.ActivatePlanVersion(activate(version))
        assert refused.value.reason == reason
    assert await state(acme, 2) == "STATE_DRAFT"


async def test_a_plan_is_renamed_and_its_versions_stay(pricing: Client) -> None:
    made = (await pricing.CreatePlan(create_plan())).plan
    request = UpdatePlanRequest(plan=Plan(code="llm-api", name="Tokens"), update_mask=FieldMask(paths=["name"]))
    made.name = "Tokens"
    assert (await pricing.UpdatePlan(request)).plan == made
    request.update_mask.paths[:] = ["description"]
    made.description = ""
    assert (await pricing.UpdatePlan(request)).plan == made
    request.update_mask.paths[:] = ["version_count"]
    with pytest.raises(InvalidArgument) as refused:
        await pricing.UpdatePlan(request)
    assert refused.value.reason == "MASK_PATH_UNKNOWN"
    request.plan.code, request.update_mask.paths[:] = "other", ["name"]
    with pytest.raises(NotFound):
        await pricing.UpdatePlan(request)


async def test_who_may_read_the_catalog_may_not_change_what_is_sold(connect: Connect) -> None:
    reader = connect("acme", "catalog:read")
    for call in (
        reader.ActivatePlanVersion(activate()),
        reader.ArchivePlanVersion(archive(1)),
        reader.UpdatePlan(UpdatePlanRequest()),
    ):
        with pytest.raises(PermissionDenied):
            await call
