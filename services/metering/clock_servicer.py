"""The RPC of ClockService."""

from typing import Any, TypeAlias

import grpc

from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import timestamp_in, timestamp_out
from services.metering import store
from weir.metering.v1 import clocks_pb2
from weir.metering.v1.clocks_pb2_grpc import ClockServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ClockServicer(ClockServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def SetTestClock(
        self, request: clocks_pb2.SetTestClockRequest, context: Context
    ) -> clocks_pb2.SetTestClockResponse:
        now = timestamp_in(request.now, request.HasField("now"), "now")
        async with self._pool.acquire() as conn, conn.transaction():
            moved = await store.move_test_clock(conn, caller().tenant_id, now)
        return clocks_pb2.SetTestClockResponse(now=timestamp_out(moved))
