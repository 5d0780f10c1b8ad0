"""Telling invoicing how payments, refunds and dunning stand, each a claimed row; what it misses now, it hears later."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

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


class _Row(Protocol):
    @property
    def tenant_id(self) -> str: ...

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Row)
S = TypeVar("S", bound=_Row, contravariant=True)


class _Rows(Protocol[S]):
    """What each module of the store has whose rows are reported."""

    async def mark_reported(self, conn: Conn, row: S, /) -> None: ...

    async def postpone_report(self, conn: Conn, row: S, due_time: datetime, /) -> None: ...


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
        call = self.invoicing.RecordPayment(request, metadata=self._key(payment.tenant_id))
        await self._tell(call, payments, payment, report.tries)

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
        call = self.reports.RecordRefund(request, metadata=self._key(refund.tenant_id))
        await self._tell(call, refunds, refund, report.tries)

    async def final_action(self, report: CampaignReport) -> None:
        campaign = report.campaign
        request = reports_pb2.RecordFinalActionRequest(
            invoice_id=campaign.invoice_id,
            campaign_id=campaign.id,
            final_action=reports_pb2.FinalAction.Value(f"FINAL_ACTION_{campaign.final_action}"),
            end_time=timestamp_out(campaign.end_time),
            plan_code=campaign.final_plan_code,
        )
        call = self.reports.RecordFinalAction(request, metadata=self._key(campaign.tenant_id))
        await self._tell(call, dunning, campaign, report.tries)

    async def dispute(self, report: DisputeReport) -> None:
        dispute = report.dispute
        request = reports_pb2.RecordDisputeRequest(
            invoice_id=dispute.invoice_id,
            dispute_id=dispute.id,
            revision=dispute.revision,
            state=reports_pb2.DisputeState.Value(f"DISPUTE_STATE_{dispute.state}"),
            amount=money_out(dispute.amount),
        )
        call = self.reports.RecordDispute(request, metadata=self._key(dispute.tenant_id))
        await self._tell(call, disputes, dispute, report.tries)

    async def _tell(self, call: Awaitable[object], rows: "_Rows[T]", row: T, tries: int) -> None:
        """`rows` is the module of the store that has the row; `tries` counts how often it was told in vain."""
        try:
            await call
        except BillingError as error:
            wait = delay(self.pace.report, tries)
            if not isinstance(error, Unavailable):
                log.error("invoicing refused a report", tenant=row.tenant_id, subject=row.id, cause=str(error))
                wait = self.pace.refused_report
            due_time = self.clock() + wait
            async with self.pool.acquire() as conn:
                await rows.postpone_report(conn, row, due_time)
            return
        async with self.pool.acquire() as conn:
            await rows.mark_reported(conn, row)

    def _key(self, tenant_id: str) -> tuple[tuple[str, str], ...]:
        return credential(self.issuer.internal_key(tenant_id))
