"""OverrideService."""

from datetime import datetime
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import Conflict
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in, text_in
from services.pricing import convert, store
from services.pricing.convert.overrides import currency_of, override_out, plan_changes_in, require_consistent
from services.pricing.domain.overrides import FIRST_OVERRIDE, overridden
from services.pricing.domain.plans import PlanVersion
from services.pricing.domain.states import VersionState
from services.pricing.referenced import require_named
from services.pricing.store import overrides
from services.pricing.versions import plan_not_found, require_sold, require_version
from weir.pricing.v1 import overrides_pb2
from weir.pricing.v1.overrides_pb2_grpc import OverrideServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Request: TypeAlias = overrides_pb2.CreatePlanOverrideRequest


class OverrideServicer(OverrideServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def CreatePlanOverride(
        self, request: overrides_pb2.CreatePlanOverrideRequest, context: Context
    ) -> overrides_pb2.CreatePlanOverrideResponse:
        tenant_id, now = caller().tenant_id, self._clock()
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        plan_code = code_in(request.plan_code, "plan_code")
        base_number = convert.version_number_in(request.base_version, "base_version")
        subscription_id = text_in(request.subscription_id, "subscription_id")
        taken = Conflict("REQUEST_ID_REUSED", f"request_id {request_id} was used with other contents")
        async with self._pool.acquire() as conn, conn.transaction():
            if (number := await overrides.next_override(conn, tenant_id, plan_code)) is None:
                return _foreseen(request, plan_code, base_number, subscription_id, now)
            if recorded := await store.find_request(conn, "plan_version", tenant_id, request_id):
                store.repeated(recorded, request_hash, request_id, taken)
                made = await overrides.find_version_of_request(conn, tenant_id, request_id)
                assert made is not None
                base, _ = await require_version(conn, tenant_id, plan_code, base_number)
                return _answer(base, made[0])
            base, state = await require_version(conn, tenant_id, plan_code, base_number)
            require_sold(base, state, also_archived=True, field="base_version")
            version = _changed(request, base, number, subscription_id, now)
            if not request.validate_only:
                if not await overrides.insert_override(conn, tenant_id, version, request_id, request_hash):
                    raise taken
                await require_named(conn, tenant_id, version, "changes")
        return _answer(base, version)

    async def ListOverrides(
        self, request: overrides_pb2.ListOverridesRequest, context: Context
    ) -> overrides_pb2.ListOverridesResponse:
        tenant_id = caller().tenant_id
        page = page_in(request.page_size, request.page_token)
        after = None if page.after is None else (page.after.partition(" ")[0], page.after.partition(" ")[2])
        async with self._pool.acquire() as conn:
            rows = await overrides.list_newest(conn, tenant_id, after, page.size)
            found, token = page.cut(rows, lambda row: f"{row[0].plan_code} {row[0].subscription_id}")
            versions = [version for version, _ in found]
            bases = await overrides.find_bases(conn, tenant_id, versions)
        return overrides_pb2.ListOverridesResponse(
            overrides=[override_out(bases[each.plan_code, each.base_version], each) for each in versions],
            next_page_token=token,
        )

    async def ListPlanOverrides(
        self, request: overrides_pb2.ListPlanOverridesRequest, context: Context
    ) -> overrides_pb2.ListPlanOverridesResponse:
        tenant_id = caller().tenant_id
        plan_code = code_in(request.plan_code, "plan_code")
        page, before = convert.versions_page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            if not await store.plan_exists(conn, tenant_id, plan_code):
                raise plan_not_found(plan_code)
            rows = await overrides.list_overrides(conn, tenant_id, plan_code, before, page.size)
        found, token = page.cut(rows, lambda row: str(row[0].version))
        versions = [convert.version_out(*row) for row in found]
        return overrides_pb2.ListPlanOverridesResponse(versions=versions, next_page_token=token)


def _foreseen(
    request: Request,
    plan_code: str,
    base_number: int,
    subscription_id: str,
    now: datetime,
) -> overrides_pb2.CreatePlanOverrideResponse:
    """Of version 1 of a plan that is not there yet. Raises NotFound PLAN_NOT_FOUND without it."""
    if not (request.validate_only and request.HasField("base") and base_number == 1):
        raise plan_not_found(plan_code)
    base = convert.version_in(request.base, plan_code, base_number, now)
    return _answer(base, _changed(request, base, FIRST_OVERRIDE, subscription_id, now))


def _changed(
    request: Request,
    base: PlanVersion,
    number: int,
    subscription_id: str,
    now: datetime,
) -> PlanVersion:
    changes = plan_changes_in(request.changes, currency_of(request, base))
    version = overridden(base, changes, number, subscription_id, now)
    require_consistent(version)
    return version


def _answer(base: PlanVersion, version: PlanVersion) -> overrides_pb2.CreatePlanOverrideResponse:
    return overrides_pb2.CreatePlanOverrideResponse(
        version=convert.version_out(version, VersionState.ACTIVE), override=override_out(base, version)
    )
