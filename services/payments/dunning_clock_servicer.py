"""The RPC of DunningClockService."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.idempotency import fingerprint, require_same
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in
from libs.common.worker import Alarm
from services.payments.store import dunning_clock
from weir.payments.v1 import dunning_clock_pb2 as pb
from weir.payments.v1.dunning_clock_pb2_grpc import DunningClockServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

MOST_HOURS = 366 * 24


@dataclass(frozen=True, slots=True)
class DunningClockServicer(DunningClockServiceServicer):
    pool: Pool
    alarm: Alarm
    clock: Clock

    async def PassDunningTime(self, request: pb.PassDunningTimeRequest, context: Context) -> pb.PassDunningTimeResponse:
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        if not 1 <= request.hours <= MOST_HOURS:
            raise InvalidArgument("HOURS_INVALID", f"hours are 1 to {MOST_HOURS}, not {request.hours}", field="hours")
        if caller().live:
            raise FailedPrecondition("KEY_IS_LIVE", "time passes by itself for live API keys")
        tenant_id = caller().tenant_id
        async with self.pool.acquire() as conn, conn.transaction():
            await dunning_clock.lock(conn, tenant_id)
            if (recorded := await dunning_clock.find(conn, tenant_id, request_id)) is not None:
                count, recorded_hash = recorded
                require_same(recorded_hash, request_hash, request.request_id)
            else:
                count = await dunning_clock.move(conn, tenant_id, timedelta(hours=request.hours))
                await dunning_clock.insert(conn, tenant_id, request_id, request_hash, count, self.clock())
        await self.alarm.ring("dun")
        return pb.PassDunningTimeResponse(campaign_count=count)
