"""The RPC of LateUsageService: decode, read in one snapshot, encode."""

from typing import Any, TypeAlias

import grpc

from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from services.metering import convert
from services.metering.convert.late_usage import answers_out, questions_in
from services.metering.store.late_usage import find_late_usage
from weir.metering.v1 import late_usage_pb2
from weir.metering.v1.late_usage_pb2_grpc import LateUsageServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class LateUsageServicer(LateUsageServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def BatchFindLateUsage(
        self, request: late_usage_pb2.BatchFindLateUsageRequest, context: Context
    ) -> late_usage_pb2.BatchFindLateUsageResponse:
        questions, watermark = questions_in(request), convert.watermark_in(request.watermark)
        async with self._pool.acquire() as conn:
            found = await find_late_usage(conn, caller().tenant_id, questions, watermark)
        return answers_out(found)
