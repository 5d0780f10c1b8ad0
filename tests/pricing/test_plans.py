import asyncio

import pytest

from libs.common.errors import BillingError, Conflict, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from libs.common.paging import Page
from tests.pricing.conftest import Client, Connect
from tests.pricing.requests import create_plan, create_tax, create_version, llm_api
from weir.pricing.v1.pricing_pb2 import (
    GetPlanRequest,
    GetPlanVersionRequest,
    ListPlansRequest,
    ListPlanVersionsRequest,
    PlanVersion,
    StandardPrice,
)


async def newest(pricing: Client, code: str = "llm-api") -> PlanVersion:
    return (await pricing.GetPlan(GetPlanRequest(code=code))).plan.latest_version


async def version_pages(pricing: Client, size: int) -> list[list[int]]:
    pages: list[list[int]] = []
    token = ""
    while token or not pages:
        request = ListPlanVersionsRequest(plan_code="llm-api", page_size=size, page_token=token)
        page = await pricing.ListPlanVersions(request)
        pages.append([version.version for version in page.versions])
        token = page.next_page_token
    return pages


async def test_a_plan_is_recorded_as_it_was_given(pricing: Client) -> None:
    await pricing.CreateTax(create_tax())
    created = (await pricing.CreatePlan(create_plan(taxed=True))).plan
    version = created.latest_version
    assert (created.code, created.name, created.description) == ("llm-api", "LLM API", "Tokens by the million.")
    assert (version.plan_code, version.version) == ("llm-api", 1)
    assert created.create_time == version.create_time
    assert created.create_time.ToJsonString() == "2023-11-01T12:30:00.123456Z"
    assert (await pricing.GetPlan(GetPlanRequest(code="llm-api"))).plan == created
    for set_by_server in ("plan_code", "version", "create_time", "state"):
        version.ClearField(set_by_server)
    assert version == llm_api()


async def test_a_repeated_plan_is_answered_as_it_was_the_first_time_even_after_a_new_version(pricing: Client) -> None:
    request = create_plan()
    first = await pricing.CreatePlan(request)
    await pricing.CreatePlanVersion(create_version())
    assert await pricing.CreatePlan(request) == first


async def test_a_plan_sent_by_many_at_once_is_made_once(pricing: Client) -> None:
    request = create_plan()
    answers = await asyncio.gather(*(pricing.CreatePlan(request) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert await version_pages(pricing, 0) == [[1]]


async def test_a_plan_code_that_is_taken_is_refused(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    with pytest.raises(Conflict) as refused:
        await pricing.CreatePlan(create_plan())
    assert (refused.value.reason, refused.value.metadata) == ("PLAN_EXISTS", {"plan_code": "llm-api"})


async def test_a_request_id_means_one_mutation_for_ever(pricing: Client) -> None:
    request = create_plan()
    await pricing.CreatePlan(request)
    again = create_version()
    again.request_id = request.request_id
    for call in (
        pricing.CreatePlanVersion(again),
        pricing.CreatePlan(type(request)(request_id=request.request_id, plan=request.plan, version=again.version)),
        pricing.CreatePlan(
            type(request)(request_id=request.request_id, plan=create_plan("another").plan, version=request.version)
        ),
    ):
        with pytest.raises(Conflict) as refused:
            await call
        assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await version_pages(pricing, 0) == [[1]]
    with pytest.raises(NotFound):
        await pricing.GetPlan(GetPlanRequest(code="another"))


async def test_a_plan_whose_tax_does_not_exist_is_not_made(pricing: Client) -> None:
    request = create_plan(taxed=True)
    with pytest.raises(NotFound) as refused:
        await pricing.CreatePlan(request)
    assert refused.value.reason == "TAX_NOT_FOUND"
    assert refused.value.metadata == {"tax_code": "ny-sales", "field": "version.tax_codes[0]"}
    with pytest.raises(NotFound):
        await pricing.GetPlan(GetPlanRequest(code="llm-api"))
    await pricing.CreateTax(create_tax())
    assert (await pricing.CreatePlan(request)).plan.latest_version.tax_codes == ["ny-sales"]


async def test_everything_that_a_plan_names_and_is_not_there_is_named_at_once(pricing: Client) -> None:
    request = create_plan(taxed=True)
    version = request.version
    version.charges[1].tax_codes.extend(["vat", "gst"])
    version.fixed_charges.add(
        code="seats", add_on_code="seat", units="1", standard=StandardPrice(unit_price="1"), tax_codes=["vat"]
    )
    version.entitlements.add(feature_code="sso")
    await pricing.CreateTax(create_tax("gst"))
    with pytest.raises(NotFound) as refused:
        await pricing.CreatePlan(request)
    assert [(each.field.removeprefix("version."), each.reason) for each in refused.value.violations] == [
        ("tax_codes[0]", "TAX_NOT_FOUND"),
        ("charges[1].tax_codes[0]", "TAX_NOT_FOUND"),
        ("fixed_charges[0].tax_codes[0]", "TAX_NOT_FOUND"),
        ("fixed_charges[0].add_on_code", "ADD_ON_NOT_FOUND"),
        ("entitlements[0].feature_code", "FEATURE_NOT_FOUND"),
    ]


async def test_every_wrong_charge_is_named_to_the_caller(pricing: Client) -> None:
    request = create_plan()
    request.version.charges[0].package.package_size = "0"
    request.version.charges[1].graduated.tiers[0].up_to = "a million"
    with pytest.raises(InvalidArgument) as refused:
        await pricing.CreatePlan(request)
    assert [(violation.field, violation.reason) for violation in refused.value.violations] == [
        ("version.charges[0].package.package_size", "PACKAGE_SIZE_NOT_POSITIVE"),
        ("version.charges[1].graduated.tiers[0].up_to", "DECIMAL_MALFORMED"),
    ]


async def test_a_new_version_becomes_the_newest_and_the_old_one_stays_what_it_was(pricing: Client) -> None:
    first = (await pricing.CreatePlan(create_plan())).plan.latest_version
    second = (await pricing.CreatePlanVersion(create_version())).version
    assert second.version == 2
    assert await newest(pricing) == second
    read = GetPlanVersionRequest(plan_code="llm-api", version=1)
    assert (await pricing.GetPlanVersion(read)).version == first
    assert (await pricing.GetPlanVersion(read)).version == first


async def test_a_repeated_version_is_answered_as_it_was_the_first_time(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    request = create_version()
    first = await pricing.CreatePlanVersion(request)
    await pricing.CreatePlanVersion(create_version(base_version=2))
    assert await pricing.CreatePlanVersion(request) == first
    assert await version_pages(pricing, 0) == [[3, 2, 1]]


async def test_of_editors_who_saw_the_same_version_one_wins_and_the_others_are_told(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    requests = [create_version(unit_price=str(price)) for price in range(8)]
    answers = await asyncio.gather(*map(pricing.CreatePlanVersion, requests), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, FailedPrecondition)]
    assert len(refused) == 7
    assert {error.reason for error in refused} == {"PLAN_VERSION_CONFLICT"}
    assert refused[0].metadata == {"plan_code": "llm-api", "latest_version": "2"}
    assert await version_pages(pricing, 0) == [[2, 1]]


async def test_a_version_whose_tax_does_not_exist_is_not_made(pricing: Client) -> None:
    first = (await pricing.CreatePlan(create_plan())).plan.latest_version
    request = create_version()
    request.version.tax_codes.append("vat")
    with pytest.raises(NotFound) as refused:
        await pricing.CreatePlanVersion(request)
    assert refused.value.reason == "TAX_NOT_FOUND"
    assert await newest(pricing) == first


async def test_a_plan_that_is_not_there_is_not_found_by_any_call(pricing: Client) -> None:
    for call in (
        pricing.GetPlan(GetPlanRequest(code="llm-api")),
        pricing.GetPlanVersion(GetPlanVersionRequest(plan_code="llm-api", version=1)),
        pricing.ListPlanVersions(ListPlanVersionsRequest(plan_code="llm-api")),
        pricing.CreatePlanVersion(create_version()),
    ):
        with pytest.raises(NotFound) as refused:
            await call
        assert (refused.value.reason, refused.value.metadata) == ("PLAN_NOT_FOUND", {"plan_code": "llm-api"})


async def test_a_version_that_is_not_there_yet_is_not_found_until_it_is(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    request = GetPlanVersionRequest(plan_code="llm-api", version=2)
    with pytest.raises(NotFound) as refused:
        await pricing.GetPlanVersion(request)
    assert refused.value.reason == "PLAN_VERSION_NOT_FOUND"
    assert refused.value.metadata == {"plan_code": "llm-api", "version": "2"}
    made = await pricing.CreatePlanVersion(create_version())
    assert (await pricing.GetPlanVersion(request)).version == made.version


@pytest.mark.parametrize("number", [0, -1])
async def test_versions_are_counted_from_1(pricing: Client, number: int) -> None:
    request = create_version(base_version=number)
    for call, field in (
        (pricing.GetPlanVersion(GetPlanVersionRequest(plan_code="llm-api", version=number)), "version"),
        (pricing.CreatePlanVersion(request), "base_version"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await call
        assert (refused.value.reason, refused.value.field) == ("VERSION_NOT_POSITIVE", field)


async def test_the_largest_number_is_a_version_like_any_other(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    largest = 2**31 - 1
    with pytest.raises(NotFound):
        await pricing.GetPlanVersion(GetPlanVersionRequest(plan_code="llm-api", version=largest))
    with pytest.raises(FailedPrecondition):
        await pricing.CreatePlanVersion(create_version(base_version=largest))


async def test_plans_are_listed_by_code_with_their_newest_versions_a_page_at_a_time(pricing: Client) -> None:
    for code in ("c", "a", "b"):
        await pricing.CreatePlan(create_plan(code))
    await pricing.CreatePlanVersion(create_version("b"))
    first = await pricing.ListPlans(ListPlansRequest(page_size=2))
    assert [(plan.code, plan.latest_version.version) for plan in first.plans] == [("a", 1), ("b", 2)]
    last = await pricing.ListPlans(ListPlansRequest(page_size=2, page_token=first.next_page_token))
    assert [plan.code for plan in last.plans] == ["c"]
    assert last.next_page_token == ""


async def test_versions_are_listed_newest_first_a_page_at_a_time(pricing: Client) -> None:
    await pricing.CreatePlan(create_plan())
    for base_version in range(1, 12):
        await pricing.CreatePlanVersion(create_version(base_version=base_version))
    assert await version_pages(pricing, 5) == [[12, 11, 10, 9, 8], [7, 6, 5, 4, 3], [2, 1]]


@pytest.mark.parametrize("key", ["llm-api", "-1", "²", "9" * 5000, "\0"])
async def test_a_page_token_of_another_list_is_refused(pricing: Client, key: str) -> None:
    await pricing.CreatePlan(create_plan())
    _, token = Page(1, None).cut([key, key], str)
    with pytest.raises(InvalidArgument) as refused:
        await pricing.ListPlanVersions(ListPlanVersionsRequest(plan_code="llm-api", page_token=token))
    assert (refused.value.reason, refused.value.field) == ("PAGE_TOKEN_INVALID", "page_token")


async def test_tenants_have_plans_of_the_same_code_and_see_only_their_own(connect: Connect) -> None:
    acme, rival = connect("acme"), connect("rival")
    request = create_plan()
    await acme.CreatePlan(request)
    for call in (
        rival.GetPlan(GetPlanRequest(code="llm-api")),
        rival.GetPlanVersion(GetPlanVersionRequest(plan_code="llm-api", version=1)),
        rival.ListPlanVersions(ListPlanVersionsRequest(plan_code="llm-api")),
        rival.CreatePlanVersion(create_version()),
    ):
        with pytest.raises(NotFound):
            await call
    assert not (await rival.ListPlans(ListPlansRequest())).plans
    request.version.base_fee.minor_units = 1
    await rival.CreatePlan(request)
    assert (await newest(rival)).base_fee.minor_units == 1
    assert (await newest(acme)).base_fee.minor_units == 2000


async def test_the_tax_of_one_tenant_is_none_of_another(connect: Connect) -> None:
    await connect("acme").CreateTax(create_tax())
    with pytest.raises(NotFound):
        await connect("rival").CreatePlan(create_plan(taxed=True))


async def test_who_may_read_the_catalog_may_not_write_plans(connect: Connect) -> None:
    reader = connect("acme", "catalog:read")
    assert not (await reader.ListPlans(ListPlansRequest())).plans
    for call in (reader.CreatePlan(create_plan()), reader.CreatePlanVersion(create_version())):
        with pytest.raises(PermissionDenied) as refused:
            await call
        assert refused.value.metadata == {"scope": "catalog:write"}


async def test_every_error_has_a_reason(connect: Connect) -> None:
    with pytest.raises(BillingError) as refused:
        await connect("acme", "usage:read").ListPlans(ListPlansRequest())
    assert (refused.value.reason, refused.value.metadata) == ("SCOPE_MISSING", {"scope": "catalog:read"})
