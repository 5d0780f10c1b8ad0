"""Telling invoicing how payments, refunds and dunning stand, each a claimed row; what it misses now, it hears later."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from libs.common.clock import Clock
from libs.common.credentials import Issuer
from libs.common.errors import BillingError, Unavailable
from libs.common.postgres import Conn, Pool
from libs.common.rpc.client import credential
from libs.common.wire import money_out, timestamp_out
from services.payments.domain.payment import PaymentState, delay
from services.payments.domain.refund import RefundState
from services.payments.pace import Pace
from services.payments.store import disputes, dunning, payments, refunds
from services.payments.store.disputes import DisputeReport
from services.payments.store.dunning import CampaignReport
from services.payments.store.payments import Report
from services.payments.store.refunds import RefundReport
from weir.invoicing.v1 import invoicing_pb2, reports_pb2

if TYPE_CHECKING:
    from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceAsyncStub
    from weir.invoicing.v1.reports_pb2_grpc import CollectionReportServiceAsyncStub

log = structlog.get_logger()

_INVOICE_STATUS = {
    PaymentState.PENDING: invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING,
    PaymentState.PROCESSING: invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING,
    PaymentState.SUCCEEDED: invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED,
    PaymentState.FAILED: invoicing_pb2.Invoice.PAYMENT_STATUS_FAILED,
    PaymentState.REQUIRES_ACTION: invoicing_pb2.Invoice.PAYMENT_STATUS_REQUIRES_ACTION,
    PaymentState.AWAITING_METHOD: invoicing_pb2.Invoice.PAYMENT_STATUS_FAILED,
    PaymentState.CANCELED: invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING,
}
_REFUND_STATE = {
    RefundState.SUBMITTING: reports_pb2.REFUND_STATE_PENDING,
    RefundState.UNKNOWN: reports_pb2.REFUND_STATE_PENDING,
    RefundState.PENDING: reports_pb2.REFUND_STATE_PENDING,
    RefundState.SUCCEEDED: reports_pb2.REFUND_STATE_SUCCEEDED,
    RefundState.FAILED: reports_pb2.REFUND_STATE_FAILED,
}


@dataclass(frozen=True, slots=True)
class Reporting:
    pool: Pool
    invoicing: "InvoicingServiceAsyncStub"
    reports: "CollectionReportServiceAsyncStub"
    issuer: Issuer
    clock: Clock
    pace: Pace

    async def payment(self, report: Report) -> None:
        payment = report.payment
        request = invoicing_pb2.RecordPaymentRequest(
            invoice_id=payment.invoice_id,
            payment_id=payment.id,
            revision=payment.revision,
            payment_status=_INVOICE_STATUS[payment.state],
            amount_paid=money_out(payment.paid),
        )
        await self._tell(
            self.invoicing.RecordPayment(request, metadata=self._key(payment.tenant_id)),
            report.tries,
            lambda conn: payments.mark_reported(conn, payment),
            lambda conn, due_time: payments.postpone_report(conn, payment, due_time),
            payment.tenant_id,
            payment.id,
        )

    async def refund(self, report: RefundReport) -> None:
        refund = report.refund
        request = reports_pb2.RecordRefundRequest(
            invoice_id=refund.invoice_id,
            refund_id=refund.id,
            revision=refund.revision,
            credit_note_id=refund.credit_note_id,
            state=_REFUND_STATE[refund.state],
            amount=money_out(refund.amount),
            failure_code=refund.failure_code,
        )
        await self._tell(
            self.reports.RecordRefund(request, metadata=self._key(refund.tenant_id)),
            report.tries,
            lambda conn: refunds.mark_reported(conn, refund),
            lambda conn, due_time: refunds.postpone_report(conn, refund, due_time),
            refund.tenant_id,
            refund.id,
        )

    async def final_action(self, report: CampaignReport) -> None:
        campaign = report.campaign
        request = reports_pb2.RecordFinalActionRequest(
            invoice_id=campaign.invoice_id,
            campaign_id=campaign.id,
            final_action=reports_pb2.FinalAction.Value(f"FINAL_ACTION_{campaign.final_action}"),
            end_time=timestamp_out(campaign.end_time),
            plan_code=campaign.final_plan_code,
        )
        await self._tell(
            self.reports.RecordFinalAction(request, metadata=self._key(campaign.tenant_id)),
            report.tries,
            lambda conn: dunning.mark_reported(conn, campaign),
            lambda conn, due_time: dunning.postpone_report(conn, campaign, due_time),
            campaign.tenant_id,
            campaign.id,
        )

    async def dispute(self, report: DisputeReport) -> None:
        dispute = report.dispute
        request = reports_pb2.RecordDisputeRequest(
            invoice_id=dispute.invoice_id,
            dispute_id=dispute.id,
            revision=dispute.revision,
            state=reports_pb2.DisputeState.Value(f"DISPUTE_STATE_{dispute.state}"),
            amount=money_out(dispute.amount),
        )
        await self._tell(
            self.reports.RecordDispute(request, metadata=self._key(dispute.tenant_id)),
            report.tries,
            lambda conn: disputes.mark_reported(conn, dispute),
            lambda conn, due_time: disputes.postpone_report(conn, dispute, due_time),
            dispute.tenant_id,
            dispute.id,
        )

    async def _tell(
        self,
        call: Awaitable[object],
        tries: int,
        mark: Callable[[Conn], Awaitable[None]],
        postpone: Callable[[Conn, datetime], Awaitable[None]],
        tenant_id: str,
        subject_id: str,
    ) -> None:
        try:
            await call
        except BillingError as error:
            wait = delay(self.pace.report, tries)
            if not isinstance(error, Unavailable):
                log.error("invoicing refused a report", tenant=tenant_id, subject=subject_id, cause=str(error))
                wait = self.pace.refused_report
            due_time = self.clock() + wait
            async with self.pool.acquire() as conn:
                await postpone(conn, due_time)
            return
        async with self.pool.acquire() as conn:
            await mark(conn)

    def _key(self, tenant_id: str) -> tuple[tuple[str, str], ...]:
        return credential(self.issuer.internal_key(tenant_id))
