"""The RPC of EventChargeService: decode, read in one snapshot, encode."""

from typing import Any, TypeAlias

import grpc

from libs.common.errors import FailedPrecondition
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from services.metering import convert, store
from services.metering.convert.event_charges import charge_out, charges_question_in
from weir.metering.v1 import event_charges_pb2
from weir.metering.v1.event_charges_pb2_grpc import EventChargeServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class EventChargeServicer(EventChargeServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def GetEventCharges(
        self, request: event_charges_pb2.GetEventChargesRequest, context: Context
    ) -> event_charges_pb2.GetEventChargesResponse:
        asked, at = charges_question_in(request), convert.watermark_in(request.query.watermark, "query.watermark")
        since = convert.watermark_in(request.since_watermark, "since_watermark") or 0
        async with self._pool.acquire() as conn:
            found, head = await store.read_event_charges(conn, caller().tenant_id, asked, since, at)
        if (ahead := max(at or 0, since)) > head:
            raise FailedPrecondition(
                "WATERMARK_AHEAD",
                f"watermark {ahead} has not been reached; the answer's is {head}",
                watermark=str(head),
            )
        return event_charges_pb2.GetEventChargesResponse(charges=map(charge_out, found), watermark=head)
