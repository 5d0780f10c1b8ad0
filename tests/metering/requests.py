"""Requests of the service, with what a test does not care about filled in."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from libs.common.wire import period_out, timestamp_out
from weir.metering.v1.corrections_pb2 import (
    AmendEventsRequest,
    AmendEventsResponse,
    Backfill,
    CloseBackfillRequest,
    EventChange,
    OpenBackfillRequest,
    RevertBackfillRequest,
)
from weir.metering.v1.metering_pb2 import (
    CreateMeterRequest,
    DimensionFilter,
    Event,
    GetUsageRequest,
    IngestEventsRequest,
    IngestEventsResponse,
    Meter,
)

if TYPE_CHECKING:
    from weir.metering.v1.corrections_pb2_grpc import CorrectionServiceAsyncStub
    from weir.metering.v1.metering_pb2_grpc import MeteringServiceAsyncStub

NOW = datetime(2023, 11, 20, 12, 30, 0, 123456, tzinfo=UTC)
"""What the service's clock always shows."""

START = datetime(2023, 11, 1, tzinfo=UTC)
END = datetime(2023, 12, 1, tzinfo=UTC)


def count_meter(
    code: str = "requests", event_code: str = "", name: str = "", description: str = "", value_property: str = ""
) -> Meter:
    return Meter(
        code=code,
        event_code=event_code,
        name=name,
        description=description,
        aggregation=Meter.AGGREGATION_COUNT,
        value_property=value_property,
    )


def sum_meter(
    code: str = "tokens", event_code: str = "llm", value_property: str = "tokens", **filters: Sequence[str]
) -> Meter:
    return Meter(
        code=code,
        event_code=event_code,
        aggregation=Meter.AGGREGATION_SUM,
        value_property=value_property,
        filters=[DimensionFilter(property=name, values=values) for name, values in filters.items()],
    )


def create_meter(meter: Meter, request_id: str | None = None) -> CreateMeterRequest:
    return CreateMeterRequest(request_id=request_id or str(uuid.uuid4()), meter=meter)


def event(
    transaction_id: str = "t-0",
    subscription_id: str = "sub-0",
    code: str = "llm",
    at: datetime = NOW - timedelta(hours=1),
    **properties: str,
) -> Event:
    return Event(
        transaction_id=transaction_id,
        subscription_id=subscription_id,
        code=code,
        timestamp=timestamp_out(at),
        properties=properties,
    )


def usage_of(
    *meter_codes: str,
    subscription_id: str = "sub-0",
    start: datetime = START,
    end: datetime = END,
    watermark: int = 0,
) -> GetUsageRequest:
    return GetUsageRequest(
        subscription_id=subscription_id, meter_codes=meter_codes, period=period_out(start, end), watermark=watermark
    )


async def make_meters(metering: "MeteringServiceAsyncStub", *meters: Meter) -> None:
    for meter in meters or (count_meter(event_code="llm"), sum_meter()):
        await metering.CreateMeter(create_meter(meter))


async def ingest(
    metering: "MeteringServiceAsyncStub", events: Iterable[Event], backfill_id: str = ""
) -> IngestEventsResponse:
    return await metering.IngestEvents(IngestEventsRequest(events=events, backfill_id=backfill_id))


async def open_backfill(corrections: "CorrectionServiceAsyncStub") -> str:
    request = OpenBackfillRequest(request_id=str(uuid.uuid4()), reason="the collector was down")
    return (await corrections.OpenBackfill(request)).backfill.id


async def close_backfill(corrections: "CorrectionServiceAsyncStub", backfill_id: str) -> Backfill:
    request = CloseBackfillRequest(request_id=str(uuid.uuid4()), backfill_id=backfill_id)
    return (await corrections.CloseBackfill(request)).backfill


async def revert_backfill(corrections: "CorrectionServiceAsyncStub", backfill_id: str) -> Backfill:
    request = RevertBackfillRequest(request_id=str(uuid.uuid4()), backfill_id=backfill_id)
    return (await corrections.RevertBackfill(request)).backfill


def change(event: Event, replacement: Event | None = None, expected: str = "") -> EventChange:
    return EventChange(
        subscription_id=event.subscription_id,
        transaction_id=event.transaction_id,
        timestamp=event.timestamp,
        expected_amendment_id=expected,
        replacement=replacement,
        reason="it was wrong",
    )


async def amend(
    corrections: "CorrectionServiceAsyncStub", *changes: EventChange, request_id: str = ""
) -> AmendEventsResponse:
    request = AmendEventsRequest(request_id=request_id or str(uuid.uuid4()), changes=changes)
    return await corrections.AmendEvents(request)


async def used(
    metering: "MeteringServiceAsyncStub", *meter_codes: str, subscription_id: str = "sub-0", watermark: int = 0
) -> Mapping[str, str]:
    """Quantity by meter in November 2023."""
    request = usage_of(*meter_codes, subscription_id=subscription_id, watermark=watermark)
    return {usage.meter_code: usage.quantity for usage in (await metering.GetUsage(request)).usages}
