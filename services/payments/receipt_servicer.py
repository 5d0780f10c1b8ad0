"""The RPCs of ManualPaymentService and ReceiptService."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.errors import NotFound
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.payments.convert import amount_in
from services.payments.convert.receipts import date_in, manual_payment_out, receipt_out
from services.payments.receiving import Received, Receiving
from services.payments.store import manual_payments, receipts
from weir.payments.v1 import manual_payments_pb2, receipts_pb2
from weir.payments.v1.manual_payments_pb2_grpc import ManualPaymentServiceServicer
from weir.payments.v1.receipts_pb2_grpc import ReceiptServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class ManualPaymentServicer(ManualPaymentServiceServicer):
    pool: Pool
    receiving: Receiving
    alarm: Alarm

    async def RecordManualPayment(
        self, request: manual_payments_pb2.RecordManualPaymentRequest, context: Context
    ) -> manual_payments_pb2.RecordManualPaymentResponse:
        manual = await self.receiving.record(
            Received(
                tenant_id=caller().tenant_id,
                invoice_id=text_in(request.invoice_id, "invoice_id"),
                amount=amount_in(request),
                reference=text_in(request.reference, "reference"),
                receive_date=date_in(request.receive_date, request.HasField("receive_date"), "receive_date"),
                request_id=request_id_in(request.request_id),
                request_hash=fingerprint(request),
            )
        )
        await self.alarm.ring("report")
        return manual_payments_pb2.RecordManualPaymentResponse(manual_payment=manual_payment_out(manual))

    async def ListManualPayments(
        self, request: manual_payments_pb2.ListManualPaymentsRequest, context: Context
    ) -> manual_payments_pb2.ListManualPaymentsResponse:
        page = page_in(request.page_size, request.page_token)
        invoice_id = text_in(request.invoice_id, "invoice_id", required=False)
        async with self.pool.acquire() as conn:
            rows = await manual_payments.list_page(conn, caller().tenant_id, page, invoice_id)
        shown, token = page.cut(rows, lambda manual: manual.id)
        return manual_payments_pb2.ListManualPaymentsResponse(
            manual_payments=map(manual_payment_out, shown), next_page_token=token
        )


@dataclass(frozen=True, slots=True)
class ReceiptServicer(ReceiptServiceServicer):
    pool: Pool

    async def GetReceipt(
        self, request: receipts_pb2.GetReceiptRequest, context: Context
    ) -> receipts_pb2.GetReceiptResponse:
        receipt_id = text_in(request.id, "id")
        async with self.pool.acquire() as conn:
            receipt = await receipts.find(conn, caller().tenant_id, receipt_id)
        if receipt is None:
            raise NotFound("RECEIPT_NOT_FOUND", f"there is no receipt {receipt_id}", receipt_id=receipt_id)
        return receipts_pb2.GetReceiptResponse(receipt=receipt_out(receipt))

    async def ListReceipts(
        self, request: receipts_pb2.ListReceiptsRequest, context: Context
    ) -> receipts_pb2.ListReceiptsResponse:
        page = page_in(request.page_size, request.page_token)
        invoice_id = text_in(request.invoice_id, "invoice_id", required=False)
        customer_id = text_in(request.customer_id, "customer_id", required=False)
        async with self.pool.acquire() as conn:
            rows = await receipts.list_page(conn, caller().tenant_id, page, invoice_id, customer_id)
        shown, token = page.cut(rows, lambda receipt: receipt.id)
        return receipts_pb2.ListReceiptsResponse(receipts=map(receipt_out, shown), next_page_token=token)
