"""Disputes on the wire."""

from libs.common.wire import money_out, timestamp_out
from services.payments.domain.dispute import Dispute
from weir.payments.v1 import disputes_pb2 as pb


def dispute_out(dispute: Dispute) -> pb.Dispute:
    return pb.Dispute(
        id=dispute.id,
        payment_id=dispute.payment_id,
        invoice_id=dispute.invoice_id,
        attempt_number=dispute.attempt_number,
        amount=money_out(dispute.amount),
        state=pb.Dispute.State.Value(f"STATE_{dispute.state}"),
        code=dispute.code,
        create_time=timestamp_out(dispute.create_time),
    )
