"""The RPCs of PaymentRequestService."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import currency_in, request_id_in, text_in
from libs.common.worker import Alarm
from services.payments import requesting
from services.payments.convert import amount_in
from services.payments.convert.payment_requests import request_out
from services.payments.convert.receipts import date_in
from services.payments.domain.payment_request import MOST_ITEMS
from services.payments.receiving import Received
from services.payments.requesting import Requesting
from services.payments.store import payment_requests
from weir.payments.v1 import payment_requests_pb2 as pb
from weir.payments.v1.payment_requests_pb2_grpc import PaymentRequestServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class PaymentRequestServicer(PaymentRequestServiceServicer):
    pool: Pool
    requesting: Requesting
    alarm: Alarm
    clock: Clock

    async def CreatePaymentRequest(
        self, request: pb.CreatePaymentRequestRequest, context: Context
    ) -> pb.CreatePaymentRequestResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        customer_id = text_in(request.customer_id, "customer_id")
        currency = currency_in(request.currency_code, "currency_code")
        invoice_ids = [text_in(each, "invoice_ids") for each in request.invoice_ids]
        if len(invoice_ids) > MOST_ITEMS:
            raise InvalidArgument("INVOICES_TOO_MANY", f"at most {MOST_ITEMS} invoices", field="invoice_ids")
        async with self.pool.acquire() as conn, conn.transaction():
            made = await requesting.created(
                conn, tenant_id, customer_id, currency, invoice_ids, request_id, request_hash, self.clock()
            )
        return pb.CreatePaymentRequestResponse(payment_request=request_out(made))

    async def GetPaymentRequest(
        self, request: pb.GetPaymentRequestRequest, context: Context
    ) -> pb.GetPaymentRequestResponse:
        payment_request_id = text_in(request.id, "id")
        async with self.pool.acquire() as conn:
            found = await requesting.find(conn, caller().tenant_id, payment_request_id)
        return pb.GetPaymentRequestResponse(payment_request=request_out(found))

    async def ListPaymentRequests(
        self, request: pb.ListPaymentRequestsRequest, context: Context
    ) -> pb.ListPaymentRequestsResponse:
        page = page_in(request.page_size, request.page_token)
        customer_id = text_in(request.customer_id, "customer_id", required=False)
        async with self.pool.acquire() as conn:
            rows = await payment_requests.list_page(conn, caller().tenant_id, page, customer_id)
        shown, token = page.cut(rows, lambda each: each.id)
        return pb.ListPaymentRequestsResponse(payment_requests=map(request_out, shown), next_page_token=token)

    async def CollectPaymentRequest(
        self, request: pb.CollectPaymentRequestRequest, context: Context
    ) -> pb.CollectPaymentRequestResponse:
        tenant_id, payment_request_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self.pool.acquire() as conn, conn.transaction():
            after = await requesting.collected(
                conn, tenant_id, payment_request_id, request_id, request_hash, self.clock()
            )
        await self.alarm.ring("charge")
        return pb.CollectPaymentRequestResponse(payment_request=request_out(after))

    async def RecordRequestedPayment(
        self, request: pb.RecordRequestedPaymentRequest, context: Context
    ) -> pb.RecordRequestedPaymentResponse:
        received = Received(
            tenant_id=caller().tenant_id,
            invoice_id="",
            amount=amount_in(request),
            reference=text_in(request.reference, "reference"),
            receive_date=date_in(request.receive_date, request.HasField("receive_date"), "receive_date"),
            request_id=request_id_in(request.request_id),
            request_hash=fingerprint(request),
        )
        after = await self.requesting.record(text_in(request.id, "id"), received)
        await self.alarm.ring("report")
        return pb.RecordRequestedPaymentResponse(payment_request=request_out(after))

    async def CancelPaymentRequest(
        self, request: pb.CancelPaymentRequestRequest, context: Context
    ) -> pb.CancelPaymentRequestResponse:
        tenant_id, payment_request_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self.pool.acquire() as conn, conn.transaction():
            after = await requesting.canceled(
                conn, tenant_id, payment_request_id, request_id, request_hash, self.clock()
            )
        return pb.CancelPaymentRequestResponse(payment_request=request_out(after))
