"""Payment requests on the wire."""

from libs.common.money import Money
from libs.common.wire import money_out, timestamp_out
from services.payments.domain.payment_request import PaymentRequest
from weir.payments.v1 import payment_requests_pb2 as pb


def request_out(request: PaymentRequest) -> pb.PaymentRequest:
    return pb.PaymentRequest(
        id=request.id,
        customer_id=request.customer_id,
        state=pb.PaymentRequest.State.Value(f"STATE_{request.state}"),
        amount=money_out(request.amount),
        amount_due=money_out(request.due),
        items=(
            pb.PaymentRequestItem(
                payment_id=item.payment.id,
                invoice_id=item.payment.invoice_id,
                invoice_number=item.payment.invoice_number,
                amount=money_out(Money(item.asked_minor, request.currency)),
                amount_due=money_out(Money(item.due_minor, request.currency)),
            )
            for item in request.items
        ),
        create_time=timestamp_out(request.create_time),
    )
