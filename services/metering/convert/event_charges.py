"""What single events are charged for."""

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import timestamp_out
from services.metering.convert.usage import asked_in, event_usage_out
from services.metering.domain.usage import Asked, EventCharge
from weir.metering.v1 import event_charges_pb2


def charges_question_in(request: event_charges_pb2.GetEventChargesRequest) -> Asked:
    if not request.HasField("query"):
        raise InvalidArgument("FIELD_MISSING", "query is required", field="query")
    for field in ("charged_in_advance", "first_events"):
        if getattr(request.query, field):
            raise InvalidArgument("FIELD_UNUSED", f"query.{field} has no meaning here", field=f"query.{field}")
    return asked_in(request.query, "query.")


def charge_out(charge: EventCharge) -> event_charges_pb2.EventCharge:
    return event_charges_pb2.EventCharge(
        transaction_id=charge.transaction_id,
        timestamp=timestamp_out(charge.event_time),
        sequence=charge.sequence,
        event_number=charge.number,
        value=plain(charge.value),
        amount="" if charge.amount is None else plain(charge.amount),
        usage=event_usage_out(charge.usage),
    )
