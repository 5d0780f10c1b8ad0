"""Money that came, and receipts, on the wire."""

from datetime import date

from google.type import date_pb2

from libs.common.errors import InvalidArgument
from libs.common.wire import money_out, timestamp_out
from services.payments.domain.receipt import ManualPayment, Receipt
from weir.payments.v1 import manual_payments_pb2, receipts_pb2


def date_in(message: date_pb2.Date, present: bool, field: str) -> date:
    if not present:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    try:
        return date(message.year, message.month, message.day)
    except ValueError:
        raise InvalidArgument("DATE_MALFORMED", f"{field} is no day", field=field) from None


def manual_payment_out(manual: ManualPayment) -> manual_payments_pb2.ManualPayment:
    day = manual.receive_date
    return manual_payments_pb2.ManualPayment(
        id=manual.id,
        payment_id=manual.payment_id,
        invoice_id=manual.invoice_id,
        amount=money_out(manual.amount),
        reference=manual.reference,
        receive_date=date_pb2.Date(year=day.year, month=day.month, day=day.day),
        create_time=timestamp_out(manual.create_time),
    )


def receipt_out(receipt: Receipt) -> receipts_pb2.Receipt:
    return receipts_pb2.Receipt(
        id=receipt.id,
        number=receipt.number,
        payment_id=receipt.payment_id,
        invoice_id=receipt.invoice_id,
        invoice_number=receipt.invoice_number,
        customer_id=receipt.customer_id,
        amount=money_out(receipt.amount),
        attempt_number=receipt.attempt_number or 0,
        manual_payment_id=receipt.manual_payment_id or "",
        create_time=timestamp_out(receipt.create_time),
    )
