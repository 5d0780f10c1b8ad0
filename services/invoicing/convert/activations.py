"""What a subscription waits for before it is active."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from libs.common.errors import InvalidArgument
from libs.common.wire import timestamp_out
from services.invoicing.domain.activation import Activation, CancelReason
from weir.invoicing.v1 import activation_pb2 as pb

LONGEST = timedelta(days=31)
_FIELD = "subscription.activation.payment_timeout"
_REASONS = {
    None: pb.Activation.CANCEL_REASON_UNSPECIFIED,
    CancelReason.PAYMENT_FAILED: pb.Activation.CANCEL_REASON_PAYMENT_FAILED,
    CancelReason.TIMEOUT: pb.Activation.CANCEL_REASON_TIMEOUT,
}


def payment_timeout_in(message: pb.Activation) -> timedelta:
    """Raises InvalidArgument FIELD_MISSING and DURATION_OUT_OF_RANGE."""
    if not message.HasField("payment_timeout"):
        raise InvalidArgument("FIELD_MISSING", f"{_FIELD} is required", field=_FIELD)
    seconds = message.payment_timeout.seconds
    if message.payment_timeout.nanos or not 1 <= seconds <= LONGEST.total_seconds():
        raise InvalidArgument(
            "DURATION_OUT_OF_RANGE", f"{_FIELD} must be whole seconds, from 1 to those of 31 days", field=_FIELD
        )
    return timedelta(seconds=seconds)


def activation_out(activation: Activation | None) -> pb.Activation | None:
    if activation is None:
        return None
    return pb.Activation(
        payment_timeout=Duration(seconds=int(activation.payment_timeout.total_seconds())),
        expire_time=timestamp_out(activation.expire_time),
        cancel_reason=_REASONS[activation.cancel_reason],
    )
