"""The RPCs of MeterService."""

from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in
from services.metering import convert, store
from services.metering.domain.computed import require_agreement
from services.metering.domain.versions import History
from weir.metering.v1 import meters_pb2
from weir.metering.v1.meters_pb2_grpc import MeterServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class MeterServicer(MeterServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def CreateMeterVersion(
        self, request: meters_pb2.CreateMeterVersionRequest, context: Context
    ) -> meters_pb2.CreateMeterVersionResponse:
        tenant_id, code = caller().tenant_id, code_in(request.code, "code")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn, conn.transaction():
            await store.renew_catalog(conn, tenant_id)
            history = await _find(conn, tenant_id, code)
            recorded = await store.find_version_request(conn, tenant_id, request_id)
            if recorded is not None:
                require_same(recorded[0], request_hash, request.request_id)
                version = history.versions[recorded[1] - 1]
            else:
                test_now = await store.find_test_clock(conn, tenant_id)
                version = convert.version_in(request, history, self._clock(), test_now)
                require_agreement(version, await store.list_meters(conn, tenant_id, None))
                await store.insert_version(conn, tenant_id, version, request_id, request_hash)
        return meters_pb2.CreateMeterVersionResponse(version=convert.version_out(version))

    async def ListMeterVersions(
        self, request: meters_pb2.ListMeterVersionsRequest, context: Context
    ) -> meters_pb2.ListMeterVersionsResponse:
        code, page = code_in(request.code, "code"), page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            history = await _find(conn, caller().tenant_id, code)
        after = history.versions[convert.number_in(page) :]
        versions, token = page.cut(after, lambda version: str(version.version))
        return meters_pb2.ListMeterVersionsResponse(versions=map(convert.version_out, versions), next_page_token=token)

    async def EvaluateExpression(
        self, request: meters_pb2.EvaluateExpressionRequest, context: Context
    ) -> meters_pb2.EvaluateExpressionResponse:
        return convert.evaluation_out(*convert.expression_sample_in(request))


async def _find(conn: Conn, tenant_id: str, code: str) -> History:
    history = await store.find_meter(conn, tenant_id, code)
    if history is None:
        raise NotFound("METER_NOT_FOUND", f"there is no meter {code}", meter_code=code)
    return history
