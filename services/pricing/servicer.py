"""The RPCs: decode, one transaction, encode."""

import asyncio
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import BillingError, Conflict, FailedPrecondition
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in
from services.pricing import convert, store
from services.pricing.domain.fixed_charges import rate_fixed_charges
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.rating import rate_version
from services.pricing.domain.states import VersionState
from services.pricing.referenced import require_named, tax_not_found
from services.pricing.versions import Versions, plan_not_found, require_version
from weir.pricing.v1 import pricing_pb2
from weir.pricing.v1.pricing_pb2_grpc import PricingServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Move: TypeAlias = pricing_pb2.ActivatePlanVersionRequest | pricing_pb2.ArchivePlanVersionRequest

REQUESTS_BETWEEN_PAUSES = 100
"""Of a batch, how many are rated before other calls get a turn."""


class PricingServicer(PricingServiceServicer):
    """A repeated mutation is answered from the request, which is the same, and from the row, which knows the time."""

    def __init__(self, pool: Pool, versions: Versions, clock: Clock) -> None:
        self._pool = pool
        self._versions = versions
        self._clock = clock

    async def CreateTax(self, request: pricing_pb2.CreateTaxRequest, context: Context) -> pricing_pb2.CreateTaxResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        tax = convert.tax_in(request.tax, self._clock())
        if request.validate_only:
            return pricing_pb2.CreateTaxResponse(tax=convert.tax_out(tax))
        async with self._pool.acquire() as conn, conn.transaction():
            if not await store.insert_tax(conn, tenant_id, tax, request_id, request_hash):
                taken = Conflict("TAX_EXISTS", f"there is a tax {tax.code} already", tax_code=tax.code)
                recorded = await store.find_request(conn, "tax", tenant_id, request_id)
                tax = convert.tax_in(request.tax, store.repeated(recorded, request_hash, request_id, taken))
        return pricing_pb2.CreateTaxResponse(tax=convert.tax_out(tax))

    async def GetTax(self, request: pricing_pb2.GetTaxRequest, context: Context) -> pricing_pb2.GetTaxResponse:
        code = code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            tax = await store.find_tax(conn, caller().tenant_id, code)
        if tax is None:
            raise tax_not_found(code, "code")
        return pricing_pb2.GetTaxResponse(tax=convert.tax_out(tax))

    async def ListTaxes(self, request: pricing_pb2.ListTaxesRequest, context: Context) -> pricing_pb2.ListTaxesResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            taxes, token = page.cut(await store.list_taxes(conn, caller().tenant_id, page), lambda tax: tax.code)
        return pricing_pb2.ListTaxesResponse(taxes=map(convert.tax_out, taxes), next_page_token=token)

    async def UpdateTax(self, request: pricing_pb2.UpdateTaxRequest, context: Context) -> pricing_pb2.UpdateTaxResponse:
        code, name, rate, tenant_default = convert.tax_change_in(request.tax, request.update_mask)
        async with self._pool.acquire() as conn:
            tax = await store.update_tax(conn, caller().tenant_id, code, name, rate, tenant_default)
        if tax is None:
            raise tax_not_found(code, "tax.code")
        return pricing_pb2.UpdateTaxResponse(tax=convert.tax_out(tax))

    async def CreatePlan(
        self, request: pricing_pb2.CreatePlanRequest, context: Context
    ) -> pricing_pb2.CreatePlanResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        plan, version = convert.plan_in(request.plan, request.version, request.as_draft, self._clock())
        if request.validate_only:
            return pricing_pb2.CreatePlanResponse(plan=convert.plan_out(plan))
        state = convert.made_state(request.as_draft)
        async with self._pool.acquire() as conn, conn.transaction():
            if await store.insert_plan(conn, tenant_id, plan, version, state, request_id, request_hash):
                await require_named(conn, tenant_id, version, "version")
            else:
                taken = Conflict("PLAN_EXISTS", f"there is a plan {plan.code} already", plan_code=plan.code)
                recorded = await store.find_request(conn, "plan_version", tenant_id, request_id)
                create_time = store.repeated(recorded, request_hash, request_id, taken)
                plan, _ = convert.plan_in(request.plan, request.version, request.as_draft, create_time)
        return pricing_pb2.CreatePlanResponse(plan=convert.plan_out(plan))

    async def UpdatePlan(
        self, request: pricing_pb2.UpdatePlanRequest, context: Context
    ) -> pricing_pb2.UpdatePlanResponse:
        code, name, description = convert.plan_change_in(request.plan, request.update_mask)
        async with self._pool.acquire() as conn, conn.transaction():
            plan = await store.update_plan(conn, caller().tenant_id, code, name, description)
        if plan is None:
            raise plan_not_found(code)
        return pricing_pb2.UpdatePlanResponse(plan=convert.plan_out(plan))

    async def GetPlan(self, request: pricing_pb2.GetPlanRequest, context: Context) -> pricing_pb2.GetPlanResponse:
        code = code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            plan = await store.find_plan(conn, caller().tenant_id, code)
        if plan is None:
            raise plan_not_found(code)
        return pricing_pb2.GetPlanResponse(plan=convert.plan_out(plan))

    async def ListPlans(self, request: pricing_pb2.ListPlansRequest, context: Context) -> pricing_pb2.ListPlansResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            plans, token = page.cut(await store.list_plans(conn, caller().tenant_id, page), lambda plan: plan.code)
        return pricing_pb2.ListPlansResponse(plans=map(convert.plan_out, plans), next_page_token=token)

    async def CreatePlanVersion(
        self, request: pricing_pb2.CreatePlanVersionRequest, context: Context
    ) -> pricing_pb2.CreatePlanVersionResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        plan_code = code_in(request.plan_code, "plan_code")
        number = convert.version_number_in(request.base_version, "base_version") + 1
        version = convert.version_in(request.version, plan_code, number, self._clock())
        state = convert.made_state(request.as_draft)
        async with self._pool.acquire() as conn, conn.transaction():
            if await store.insert_next_version(conn, tenant_id, version, state, request_id, request_hash):
                await require_named(conn, tenant_id, version, "version")
            else:
                recorded = await store.find_request(conn, "plan_version", tenant_id, request_id)
                refused = await _refused_version(conn, tenant_id, version)
                create_time = store.repeated(recorded, request_hash, request_id, refused)
                version = convert.version_in(request.version, plan_code, number, create_time)
        return pricing_pb2.CreatePlanVersionResponse(version=convert.version_out(version, state))

    async def ActivatePlanVersion(
        self, request: pricing_pb2.ActivatePlanVersionRequest, context: Context
    ) -> pricing_pb2.ActivatePlanVersionResponse:
        return pricing_pb2.ActivatePlanVersionResponse(version=await self._move(request, VersionState.ACTIVE))

    async def ArchivePlanVersion(
        self, request: pricing_pb2.ArchivePlanVersionRequest, context: Context
    ) -> pricing_pb2.ArchivePlanVersionResponse:
        return pricing_pb2.ArchivePlanVersionResponse(version=await self._move(request, VersionState.ARCHIVED))

    async def _move(self, request: Move, state: VersionState) -> pricing_pb2.PlanVersion:
        """Bring a version into `state`, if it is in one that leads there."""
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        plan_code = code_in(request.plan_code, "plan_code")
        number = convert.version_number_in(request.version, "version")
        now = self._clock()
        async with self._pool.acquire() as conn, conn.transaction():
            moved = await store.move_version(conn, tenant_id, plan_code, number, state, now, request_id, request_hash)
            version, found = await require_version(conn, tenant_id, plan_code, number)
            if not moved:
                recorded = await store.find_request(conn, "plan_version_transition", tenant_id, request_id)
                store.repeated(recorded, request_hash, request_id, _immovable(version, found, state))
        return convert.version_out(version, state)

    async def GetPlanVersion(
        self, request: pricing_pb2.GetPlanVersionRequest, context: Context
    ) -> pricing_pb2.GetPlanVersionResponse:
        plan_code = code_in(request.plan_code, "plan_code")
        number = convert.version_number_in(request.version, "version")
        async with self._pool.acquire() as conn:
            version, state = await require_version(conn, caller().tenant_id, plan_code, number)
        return pricing_pb2.GetPlanVersionResponse(version=convert.version_out(version, state))

    async def ListPlanVersions(
        self, request: pricing_pb2.ListPlanVersionsRequest, context: Context
    ) -> pricing_pb2.ListPlanVersionsResponse:
        tenant_id = caller().tenant_id
        plan_code = code_in(request.plan_code, "plan_code")
        page, before = convert.versions_page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            if not await store.plan_exists(conn, tenant_id, plan_code):
                raise plan_not_found(plan_code)
            rows = await store.list_versions(conn, tenant_id, plan_code, before, page.size)
        found, token = page.cut(rows, lambda row: str(row[0].version))
        versions = [convert.version_out(*row) for row in found]
        return pricing_pb2.ListPlanVersionsResponse(versions=versions, next_page_token=token)

    async def Rate(self, request: pricing_pb2.RateRequest, context: Context) -> pricing_pb2.RateResponse:
        return await self._rate(request, "")

    async def BatchRate(self, request: pricing_pb2.BatchRateRequest, context: Context) -> pricing_pb2.BatchRateResponse:
        convert.require_batch(request.requests)
        responses: list[pricing_pb2.RateResponse] = []
        for index, each in enumerate(request.requests):
            if index % REQUESTS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
            try:
                responses.append(await self._rate(each, f"requests[{index}]."))
            except BillingError as error:
                error.metadata["request_index"] = str(index)
                raise
        return pricing_pb2.BatchRateResponse(responses=responses)

    async def _rate(self, request: pricing_pb2.RateRequest, prefix: str) -> pricing_pb2.RateResponse:
        asked = convert.question_in(request, prefix)
        version = await self._versions.get(caller().tenant_id, asked.plan_code, asked.version, asked.month)
        return convert.rated_out(
            rate_version(version, asked.usages, asked.proration, told_only=asked.told_only),
            asked.proration,
            rate_fixed_charges(version, asked.fixed_units, asked.proration),
            version.base_fee,
        )


async def _refused_version(conn: Conn, tenant_id: str, version: PlanVersion) -> BillingError:
    """Why `version` can't become the newest of its plan."""
    plan = await store.find_plan(conn, tenant_id, version.plan_code)
    if plan is None:
        return plan_not_found(version.plan_code)
    return FailedPrecondition(
        "PLAN_VERSION_CONFLICT",
        f"the newest version of plan {plan.code} is {plan.version_count}, not {version.version - 1}",
        plan_code=plan.code,
        latest_version=str(plan.version_count),
    )


def _immovable(version: PlanVersion, found: VersionState, wanted: VersionState) -> FailedPrecondition:
    """Why a version that is `found` can't become `wanted`."""
    reason = "PLAN_VERSION_NOT_DRAFT" if wanted is VersionState.ACTIVE else "PLAN_VERSION_ARCHIVED"
    return FailedPrecondition(
        reason,
        f"version {version.version} of plan {version.plan_code} is {found}, which can't become {wanted}",
        plan_code=version.plan_code,
        version=str(version.version),
        state=found,
    )
