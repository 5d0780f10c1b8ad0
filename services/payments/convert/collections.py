"""What invoicing asks to have collected."""

from dataclasses import replace
from datetime import datetime

from libs.common.errors import BillingError
from libs.common.idempotency import fingerprint
from libs.common.ids import new_id
from libs.common.wire import request_id_in, text_in
from services.payments.convert import amount_in, version_in
from services.payments.convert.conditions import country_in
from services.payments.domain.payment import Asked, Payment, PaymentState
from weir.payments.v1 import collections_pb2, payments_pb2


def asked_in(message: payments_pb2.CreatePaymentRequest, tenant_id: str, now: datetime) -> Asked:
    request_id = request_id_in(message.request_id)
    payment = replace(
        asked_payment_in(message, tenant_id, now, PaymentState.PENDING),
        country_code=country_in(message.country_code, "country_code"),
        segment=text_in(message.segment, "segment", required=False),
    )
    return Asked(payment, request_id, _fingerprint(message))


def _fingerprint(message: payments_pb2.CreatePaymentRequest) -> bytes:
    """Without what is told of the customer, who may have changed by a repeat."""
    asked = payments_pb2.CreatePaymentRequest()
    asked.CopyFrom(message)
    asked.ClearField("country_code")
    asked.ClearField("segment")
    return fingerprint(asked)


def asked_payment_in(
    message: payments_pb2.CreatePaymentRequest | payments_pb2.CancelPaymentRequest,
    tenant_id: str,
    now: datetime,
    state: PaymentState,
) -> Payment:
    """As it is recorded where payments has not heard of the invoice."""
    return Payment(
        tenant_id=tenant_id,
        id=new_id("pay", now),
        invoice_id=text_in(message.invoice_id, "invoice_id"),
        invoice_number=text_in(message.invoice_number, "invoice_number"),
        customer_id=text_in(message.customer_id, "customer_id"),
        amount=amount_in(message),
        state=state,
        revision=1,
        create_time=now,
        version=version_in(message.version, least=1 if state is PaymentState.CANCELED else 0),
    )


def result_out(found: Payment | BillingError) -> collections_pb2.CreatePaymentResult:
    if isinstance(found, Payment):
        return collections_pb2.CreatePaymentResult(payment_id=found.id)
    refusal = collections_pb2.PaymentRefusal(reason=found.reason, message=found.message)
    return collections_pb2.CreatePaymentResult(refusal=refusal)
