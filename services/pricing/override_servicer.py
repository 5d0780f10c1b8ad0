"""OverrideService."""

from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import Conflict
from libs.common.idempotency import fingerprint
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in, text_in
from services.pricing import convert, store
from services.pricing.convert.overrides import plan_changes_in, require_consistent
from services.pricing.domain.overrides import overridden
from services.pricing.domain.states import VersionState
from services.pricing.referenced import require_named
from services.pricing.store import overrides
from services.pricing.versions import plan_not_found, require_sold, require_version
from weir.pricing.v1 import overrides_pb2
from weir.pricing.v1.overrides_pb2_grpc import OverrideServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


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
                raise plan_not_found(plan_code)
            if recorded := await store.find_request(conn, "plan_version", tenant_id, request_id):
                store.repeated(recorded, request_hash, request_id, taken)
                made = await overrides.find_version_of_request(conn, tenant_id, request_id)
                assert made is not None
                return overrides_pb2.CreatePlanOverrideResponse(
                    version=convert.version_out(made[0], VersionState.ACTIVE)
                )
            base = await require_version(conn, tenant_id, plan_code, base_number)
            require_sold(*base, also_archived=True, field="base_version")
            changes = plan_changes_in(request.changes, base[0].currency)
            version = overridden(base[0], changes, number, subscription_id, now)
            require_consistent(version)
            if not await overrides.insert_override(conn, tenant_id, version, request_id, request_hash):
                raise taken
            await require_named(conn, tenant_id, version, "changes")
        return overrides_pb2.CreatePlanOverrideResponse(version=convert.version_out(version, VersionState.ACTIVE))

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
