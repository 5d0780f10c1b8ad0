"""Events as they are read back. Reading them off the wire is `events_in`'s."""

from datetime import UTC, datetime, timedelta

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.paging import Page
from libs.common.wire import code_in, text_in, timestamp_in, timestamp_out
from services.metering.domain.events import EventKey, Outcome, RecordedEvent, micros_of
from weir.metering.v1 import metering_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def outcome_out(outcome: Outcome) -> metering_pb2.IngestEventsResponse:
    return metering_pb2.IngestEventsResponse(
        accepted_count=outcome.accepted_count,
        duplicate_indexes=outcome.duplicate_indexes,
        failures=[
            metering_pb2.EventFailure(
                index=refusal.index, field=refusal.field, reason=refusal.reason, message=refusal.message
            )
            for refusal in outcome.refusals
        ],
    )


def series_in(request: metering_pb2.ListEventsRequest) -> tuple[str, str, tuple[datetime | None, datetime | None]]:
    """Subscription, event code ("" for all), and period, which may be open at either end."""
    code = code_in(request.code, "code") if request.code else ""
    start, end = (
        timestamp_in(getattr(request, field), True, field) if request.HasField(field) else None
        for field in ("start_time", "end_time")
    )
    if start is not None and end is not None and end <= start:
        raise InvalidArgument("PERIOD_EMPTY", "end_time is not after start_time", field="end_time")
    return text_in(request.subscription_id, "subscription_id"), code, (start, end)


def key_out(event: RecordedEvent) -> str:
    """What a page token holds."""
    return f"{micros_of(event.key.event_time)}:{event.key.transaction_id}"


def after_in(page: Page) -> EventKey | None:
    if page.after is None:
        return None
    micros, colon, transaction_id = page.after.partition(":")
    if not (colon and micros.isdecimal() and micros.isascii() and len(micros) <= 18):
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "page_token is not one that an answer contained", field="page_token"
        )
    return EventKey(_EPOCH + timedelta(microseconds=int(micros)), transaction_id)


def event_out(event: RecordedEvent) -> metering_pb2.RecordedEvent:
    return metering_pb2.RecordedEvent(
        event=metering_pb2.Event(
            transaction_id=event.key.transaction_id,
            subscription_id=event.subscription_id,
            code=event.code,
            timestamp=timestamp_out(event.key.event_time),
            properties=event.properties,
            amount=plain(event.amount) if event.amount is not None else "",
        ),
        record_time=timestamp_out(event.record_time),
        amendment_id=event.amendment_id,
    )
