"""The RPCs of CollectionReportService."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import structlog

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import money_in, text_in, timestamp_in
from services.invoicing import store
from services.invoicing.booking import book_dispute, book_refund, book_write_off
from services.invoicing.convert import revision_in
from services.invoicing.convert.credit_notes import refund_state_in
from services.invoicing.domain.credit_note import RefundState
from services.invoicing.reading import found_invoice
from weir.invoicing.v1 import reports_pb2 as pb
from weir.invoicing.v1.reports_pb2_grpc import CollectionReportServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


log = structlog.get_logger()

_ACTIONS: dict[int, str] = {
    pb.FINAL_ACTION_CANCEL: "cancel",
    pb.FINAL_ACTION_SUSPEND: "suspend",
    pb.FINAL_ACTION_WRITE_OFF: "write_off",
}

_DISPUTES: dict[int, str] = {
    pb.DISPUTE_STATE_OPEN: "open",
    pb.DISPUTE_STATE_LOST: "lost",
    pb.DISPUTE_STATE_WON: "won",
}


@dataclass(frozen=True, slots=True)
class CollectionReportServicer(CollectionReportServiceServicer):
    pool: Pool
    clock: Clock

    async def RecordRefund(self, request: pb.RecordRefundRequest, context: Context) -> pb.RecordRefundResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.invoice_id, "invoice_id")
        refund_id = text_in(request.refund_id, "refund_id")
        revision = revision_in(request.revision, "revision")
        state = refund_state_in(request.state)
        amount = money_in(request.amount, request.HasField("amount"), "amount")
        credit_note_id = text_in(request.credit_note_id, "credit_note_id", required=False)
        failure = text_in(request.failure_code, "failure_code", required=state is RefundState.FAILED)
        async with self.pool.acquire() as conn, conn.transaction():
            await _locked(conn, tenant_id, invoice_id, amount)
            before = await store.refunds.given_back(conn, tenant_id, invoice_id)
            await store.refunds.record(
                conn, tenant_id, refund_id, revision, invoice_id, credit_note_id, amount, state, failure
            )
            change = await store.refunds.given_back(conn, tenant_id, invoice_id) - before
            await book_refund(conn, tenant_id, invoice_id, refund_id, revision, change, self.clock())
        return pb.RecordRefundResponse()

    async def RecordDispute(self, request: pb.RecordDisputeRequest, context: Context) -> pb.RecordDisputeResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.invoice_id, "invoice_id")
        dispute_id, revision = text_in(request.dispute_id, "dispute_id"), revision_in(request.revision, "revision")
        amount = money_in(request.amount, request.HasField("amount"), "amount")
        if (state := _DISPUTES.get(request.state)) is None:
            raise InvalidArgument("ENUM_VALUE_UNKNOWN", "state names none of a dispute", field="state")
        async with self.pool.acquire() as conn, conn.transaction():
            await _locked(conn, tenant_id, invoice_id, amount)
            before = await store.disputes.taken_back(conn, tenant_id, invoice_id)
            await store.disputes.record(conn, tenant_id, dispute_id, revision, invoice_id, amount, state)
            change = await store.disputes.taken_back(conn, tenant_id, invoice_id) - before
            await book_dispute(conn, tenant_id, invoice_id, dispute_id, revision, change, self.clock())
        return pb.RecordDisputeResponse()

    async def RecordFinalAction(
        self, request: pb.RecordFinalActionRequest, context: Context
    ) -> pb.RecordFinalActionResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.invoice_id, "invoice_id")
        campaign_id = text_in(request.campaign_id, "campaign_id")
        end_time = timestamp_in(request.end_time, request.HasField("end_time"), "end_time")
        if (action := _ACTIONS.get(request.final_action)) is None:
            raise InvalidArgument("ENUM_VALUE_UNKNOWN", "final_action names none", field="final_action")
        async with self.pool.acquire() as conn, conn.transaction():
            await found_invoice(conn, tenant_id, invoice_id, lock=True)
            is_new = await store.final_actions.record(conn, tenant_id, campaign_id, invoice_id, action, end_time)
            if is_new and request.final_action == pb.FINAL_ACTION_WRITE_OFF:
                await book_write_off(conn, tenant_id, invoice_id, campaign_id, self.clock())
        log.warning("invoice not collected", tenant=tenant_id, invoice=invoice_id, action=action)
        return pb.RecordFinalActionResponse()


async def _locked(conn: Conn, tenant_id: str, invoice_id: str, amount: Money) -> None:
    """Raises InvalidArgument CURRENCY_MISMATCH where `amount` is not in the invoice's currency."""
    invoice = await found_invoice(conn, tenant_id, invoice_id, lock=True)
    if amount.currency != invoice.bill.currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"amount is in {amount.currency}, the invoice in {invoice.bill.currency}",
            field="amount.currency_code",
        )
