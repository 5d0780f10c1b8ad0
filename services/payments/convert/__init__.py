"""Protobuf to domain (`_in`, which validate and name the wrong field) and back (`_out`)."""

import re
from collections.abc import Sequence
from typing import Literal, Protocol

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_in, money_out, text_in, timestamp_out
from services.payments.convert.decisions import KINDS, decision_out
from services.payments.domain.attempt import Attempt
from services.payments.domain.method import PaymentMethod
from services.payments.domain.payment import Payment
from weir.common.v1 import money_pb2
from weir.payments.v1 import payments_pb2

ACCOUNT_ID = re.compile(r"[a-z][a-z0-9_-]{0,63}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,255}")


def token_in(value: str, field: str) -> str:
    text_in(value, field)
    if not TOKEN.fullmatch(value):
        raise InvalidArgument("TOKEN_MALFORMED", f"{field} is not a processor's token", field=field)
    return value


def version_in(value: int, *, least: int) -> int:
    if value < least:
        raise InvalidArgument("VERSION_TOO_SMALL", f"version is {value}, at least {least} is needed", field="version")
    return value


class _WithAmount(Protocol):
    @property
    def amount(self) -> money_pb2.Money: ...
    def HasField(self, field_name: Literal["amount"], /) -> bool: ...


def amount_in(message: _WithAmount) -> Money:
    amount = money_in(message.amount, message.HasField("amount"), "amount")
    if amount.minor_units <= 0:
        raise InvalidArgument(
            "AMOUNT_NOT_POSITIVE", f"amount is {amount}; there must be something", field="amount.minor_units"
        )
    return amount


def method_out(method: PaymentMethod) -> payments_pb2.PaymentMethod:
    return payments_pb2.PaymentMethod(
        id=method.id,
        customer_id=method.customer_id,
        processor_account_id=method.processor_account_id,
        state=payments_pb2.PaymentMethod.State.Value(f"STATE_{method.state}"),
        label=method.label,
        create_time=timestamp_out(method.create_time),
        kind=KINDS[method.kind],
    )


def payment_out(payment: Payment, attempts: Sequence[Attempt]) -> payments_pb2.Payment:
    """`attempts` are the payment's, oldest first."""
    return payments_pb2.Payment(
        id=payment.id,
        invoice_id=payment.invoice_id,
        customer_id=payment.customer_id,
        amount=money_out(payment.amount),
        state=payments_pb2.Payment.State.Value(f"STATE_{payment.state}"),
        attempts=map(_attempt_out, attempts),
        create_time=timestamp_out(payment.create_time),
        amount_paid=money_out(payment.paid),
        amount_disputed=money_out(Money(payment.disputed_minor, payment.amount.currency)),
        amount_refunded=money_out(Money(payment.refunded_minor, payment.amount.currency)),
    )


def _attempt_out(attempt: Attempt) -> payments_pb2.PaymentAttempt:
    return payments_pb2.PaymentAttempt(
        number=attempt.number,
        payment_method_id=attempt.payment_method_id,
        state=payments_pb2.PaymentAttempt.State.Value(f"STATE_{attempt.state}"),
        processor_reference=attempt.reference,
        decline_code=attempt.decline_code,
        decline_message=attempt.decline_message,
        create_time=timestamp_out(attempt.create_time),
        decision=decision_out(attempt.decision),
        processor_account_id=attempt.processor_account_id,
    )
