"""Refunds on the wire."""

from libs.common.wire import money_out, timestamp_out
from services.payments.domain.refund import Refund
from weir.payments.v1 import refunds_pb2 as pb


def refund_out(refund: Refund) -> pb.Refund:
    return pb.Refund(
        id=refund.id,
        payment_id=refund.payment_id,
        invoice_id=refund.invoice_id,
        credit_note_id=refund.credit_note_id,
        reason=refund.reason,
        manual_reference=refund.manual_reference,
        amount=money_out(refund.amount),
        state=pb.Refund.State.Value(f"STATE_{refund.state}"),
        attempt_number=refund.attempt_number or 0,
        processor_reference=refund.reference,
        failure_code=refund.failure_code,
        failure_message=refund.failure_message,
        create_time=timestamp_out(refund.create_time),
    )
