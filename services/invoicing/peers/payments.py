"""Payments: who collects an invoice, gives it back, and refunds."""

import uuid
from collections.abc import Sequence

import grpc

from libs.common.wire import money_out
from services.invoicing.domain.credit_note import RefundRequest
from services.invoicing.domain.invoice import HandOver
from services.invoicing.peers.keys import Keys
from weir.payments.v1 import collections_pb2, payments_pb2, refunds_pb2
from weir.payments.v1.collections_pb2_grpc import CollectionServiceStub
from weir.payments.v1.payments_pb2_grpc import PaymentsServiceStub
from weir.payments.v1.refunds_pb2_grpc import RefundServiceStub

_PAYMENT_REQUESTS = uuid.UUID("5d2f0a3e-9c41-4f0e-8b0f-6f1f3c1f7a52")


class Payments:
    def __init__(self, channel: grpc.aio.Channel, keys: Keys) -> None:
        self._payments = PaymentsServiceStub(channel)
        self._collection = CollectionServiceStub(channel)
        self._refunds = RefundServiceStub(channel)
        self._key = keys.of

    async def create_payments(self, tenant_id: str, invoices: Sequence[HandOver]) -> list[str]:
        """For each, why payments refuses it, or "" once it has it. Asking again is safe."""
        request = collections_pb2.BatchCreatePaymentsRequest(payments=map(_asked, invoices))
        response = await self._collection.BatchCreatePayments(request, metadata=self._key(tenant_id))
        return [
            f"{each.refusal.message} [{each.refusal.reason}]" if each.HasField("refusal") else ""
            for each in response.results
        ]

    async def cancel_payment(self, invoice: HandOver) -> None:
        """Have payments give the invoice back. Raises FailedPrecondition PAYMENT_UNDER_WAY."""
        request = payments_pb2.CancelPaymentRequest(
            invoice_id=invoice.invoice_id,
            invoice_number=invoice.number,
            customer_id=invoice.customer_id,
            amount=money_out(invoice.amount_due),
            version=invoice.version,
        )
        await self._payments.CancelPayment(request, metadata=self._key(invoice.tenant_id))

    async def create_refund(self, refund: RefundRequest) -> None:
        """Asking again is safe: a credit note has one refund. Raises FailedPrecondition REFUND_EXCEEDS_PAID."""
        request = refunds_pb2.CreateRefundRequest(
            request_id=str(uuid.uuid5(_PAYMENT_REQUESTS, f"{refund.tenant_id}/{refund.credit_note_id}")),
            invoice_id=refund.invoice_id,
            amount=money_out(refund.amount),
            credit_note_id=refund.credit_note_id,
        )
        await self._refunds.CreateRefund(request, metadata=self._key(refund.tenant_id))


def _asked(invoice: HandOver) -> payments_pb2.CreatePaymentRequest:
    """The request's id is derived from the invoice and its version (law 7)."""
    version = f"/{invoice.version}" if invoice.version else ""
    return payments_pb2.CreatePaymentRequest(
        request_id=str(uuid.uuid5(_PAYMENT_REQUESTS, f"{invoice.tenant_id}/{invoice.invoice_id}{version}")),
        invoice_id=invoice.invoice_id,
        invoice_number=invoice.number,
        customer_id=invoice.customer_id,
        amount=money_out(invoice.amount_due),
        version=invoice.version,
        country_code=invoice.country_code,
        segment=invoice.segment,
    )
