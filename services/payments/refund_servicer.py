"""The RPCs of RefundService."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import NotFound
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.payments import refunding
from services.payments.convert import amount_in
from services.payments.convert.refunds import refund_out
from services.payments.store import refunds
from weir.payments.v1 import refunds_pb2 as pb
from weir.payments.v1.refunds_pb2_grpc import RefundServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class RefundServicer(RefundServiceServicer):
    pool: Pool
    alarm: Alarm
    clock: Clock

    async def CreateRefund(self, request: pb.CreateRefundRequest, context: Context) -> pb.CreateRefundResponse:
        credit_note_id = text_in(request.credit_note_id, "credit_note_id", required=False)
        asked = refunding.Asked(
            tenant_id=caller().tenant_id,
            invoice_id=text_in(request.invoice_id, "invoice_id"),
            amount=amount_in(request),
            credit_note_id=credit_note_id,
            reason=text_in(request.reason, "reason", most=1000, required=not credit_note_id),
            manual_reference=text_in(request.manual_reference, "manual_reference", required=False),
            request_id=request_id_in(request.request_id),
            request_hash=fingerprint(request),
        )
        async with self.pool.acquire() as conn, conn.transaction():
            refund = await refunding.created(conn, asked, self.clock())
        await self.alarm.ring("refunds")
        return pb.CreateRefundResponse(refund=refund_out(refund))

    async def GetRefund(self, request: pb.GetRefundRequest, context: Context) -> pb.GetRefundResponse:
        refund_id = text_in(request.id, "id")
        async with self.pool.acquire() as conn:
            refund = await refunds.find(conn, caller().tenant_id, refund_id)
        if refund is None:
            raise NotFound("REFUND_NOT_FOUND", f"there is no refund {refund_id}", refund_id=refund_id)
        return pb.GetRefundResponse(refund=refund_out(refund))

    async def ListRefunds(self, request: pb.ListRefundsRequest, context: Context) -> pb.ListRefundsResponse:
        page = page_in(request.page_size, request.page_token)
        invoice_id = text_in(request.invoice_id, "invoice_id", required=False)
        payment_id = text_in(request.payment_id, "payment_id", required=False)
        async with self.pool.acquire() as conn:
            rows = await refunds.list_page(conn, caller().tenant_id, page, invoice_id, payment_id)
        shown, token = page.cut(rows, lambda refund: refund.id)
        return pb.ListRefundsResponse(refunds=map(refund_out, shown), next_page_token=token)

    async def RetryRefund(self, request: pb.RetryRefundRequest, context: Context) -> pb.RetryRefundResponse:
        tenant_id, refund_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self.pool.acquire() as conn, conn.transaction():
            refund = await refunding.retried(conn, tenant_id, refund_id, request_id, request_hash, self.clock())
        await self.alarm.ring("refunds")
        return pb.RetryRefundResponse(refund=refund_out(refund))
