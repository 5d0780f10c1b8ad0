"""ThresholdService."""

from typing import Any, TypeAlias

import grpc

from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in
from services.pricing import convert
from services.pricing.convert.commitments import threshold_out
from services.pricing.convert.thresholds import usage_in
from services.pricing.domain.thresholds import passed
from services.pricing.versions import require_version
from weir.pricing.v1 import thresholds_pb2
from weir.pricing.v1.thresholds_pb2_grpc import ThresholdServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ThresholdServicer(ThresholdServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def QueryPassedThresholds(
        self, request: thresholds_pb2.QueryPassedThresholdsRequest, context: Context
    ) -> thresholds_pb2.QueryPassedThresholdsResponse:
        plan_code = code_in(request.plan_code, "plan_code")
        number = convert.version_number_in(request.version, "version")
        async with self._pool.acquire() as conn:
            version, _ = await require_version(conn, caller().tenant_id, plan_code, number)
        found = passed(version.usage_thresholds, *usage_in(request, version.currency))
        return thresholds_pb2.QueryPassedThresholdsResponse(thresholds=map(threshold_out, found))
