"""The RPCs of CollectionReportService."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, money_in, text_in, timestamp_in
from services.invoicing import store
from services.invoicing.booking import book_dispute, book_refund, book_write_off
from services.invoicing.concluding import PAID
from services.invoicing.convert import revision_in
from services.invoicing.convert.credit_notes import refund_state_in
from services.invoicing.domain.credit_note import RefundState
from services.invoicing.domain.final_action import Action, FinalAction
from services.invoicing.reading import found_invoice
from weir.invoicing.v1 import reports_pb2 as pb
from weir.invoicing.v1.reports_pb2_grpc import CollectionReportServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


_ACTIONS: dict[int, Action] = {
    pb.FINAL_ACTION_CANCEL: Action.CANCEL,
    pb.FINAL_ACTION_SUSPEND: Action.SUSPEND,
    pb.FINAL_ACTION_WRITE_OFF: Action.WRITE_OFF,
    pb.FINAL_ACTION_DOWNGRADE: Action.DOWNGRADE,
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
        if (kind := _ACTIONS.get(request.final_action)) is None:
            raise InvalidArgument("ENUM_VALUE_UNKNOWN", "final_action names none", field="final_action")
        plan_code = code_in(request.plan_code, "plan_code") if kind is Action.DOWNGRADE else ""
        action = FinalAction(tenant_id, campaign_id, invoice_id, kind, plan_code)
        async with self.pool.acquire() as conn, conn.transaction():
            invoice = await found_invoice(conn, tenant_id, invoice_id, lock=True)
            await self._record(conn, action, end_time, note="" if invoice.unpaid.minor_units else PAID)
        return pb.RecordFinalActionResponse()

    async def _record(self, conn: Conn, action: FinalAction, end_time: datetime, *, note: str) -> None:
        """An invoice is written off here; what concerns subscriptions, the worker does."""
        is_done = action.action is Action.WRITE_OFF or bool(note)
        is_new = await store.final_actions.record(conn, action, end_time, self.clock(), note, is_done=is_done)
        if is_new and action.action is Action.WRITE_OFF and not note:
            await book_write_off(conn, action.tenant_id, action.invoice_id, action.campaign_id, self.clock())


async def _locked(conn: Conn, tenant_id: str, invoice_id: str, amount: Money) -> None:
    """Raises InvalidArgument CURRENCY_MISMATCH where `amount` is not in the invoice's currency."""
    invoice = await found_invoice(conn, tenant_id, invoice_id, lock=True)
    if amount.currency != invoice.bill.currency:
        raise InvalidArgument(
            "CURRENCY_MISMATCH",
            f"amount is in {amount.currency}, the invoice in {invoice.bill.currency}",
            field="amount.currency_code",
        )
