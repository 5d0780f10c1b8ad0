"""The RPCs of DisputeService."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.errors import NotFound
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import text_in
from services.payments.convert.disputes import dispute_out
from services.payments.store import disputes
from weir.payments.v1 import disputes_pb2 as pb
from weir.payments.v1.disputes_pb2_grpc import DisputeServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class DisputeServicer(DisputeServiceServicer):
    pool: Pool

    async def GetDispute(self, request: pb.GetDisputeRequest, context: Context) -> pb.GetDisputeResponse:
        dispute_id = text_in(request.id, "id")
        async with self.pool.acquire() as conn:
            dispute = await disputes.find(conn, caller().tenant_id, dispute_id)
        if dispute is None:
            raise NotFound("DISPUTE_NOT_FOUND", f"there is no dispute {dispute_id}", dispute_id=dispute_id)
        return pb.GetDisputeResponse(dispute=dispute_out(dispute))

    async def ListDisputes(self, request: pb.ListDisputesRequest, context: Context) -> pb.ListDisputesResponse:
        page = page_in(request.page_size, request.page_token)
        invoice_id = text_in(request.invoice_id, "invoice_id", required=False)
        async with self.pool.acquire() as conn:
            rows = await disputes.list_page(conn, caller().tenant_id, page, invoice_id)
        shown, token = page.cut(rows, lambda dispute: dispute.id)
        return pb.ListDisputesResponse(disputes=map(dispute_out, shown), next_page_token=token)
