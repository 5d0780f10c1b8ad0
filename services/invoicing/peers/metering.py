"""Metering: what was used, what of it is late, and what each event adds to a charge in advance."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import grpc

from libs.common.errors import FailedPrecondition
from libs.common.wire import timestamp_out
from services.invoicing import convert
from services.invoicing.domain.advance_fee import Advance, EventCharge
from services.invoicing.domain.question import LateQuestion, UsageQuestion
from services.invoicing.peers.keys import Keys
from services.invoicing.peers.pricing import Quantities
from weir.metering.v1 import archive_pb2, clocks_pb2, late_usage_pb2, metering_pb2
from weir.metering.v1.archive_pb2_grpc import ArchiveServiceStub
from weir.metering.v1.clocks_pb2_grpc import ClockServiceStub
from weir.metering.v1.event_charges_pb2_grpc import EventChargeServiceStub
from weir.metering.v1.late_usage_pb2_grpc import LateUsageServiceStub
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

METERS_KEPT = 4096

MAX_QUERIES = 10_000
"""As many does metering take at once."""

_ADDITIVE = (metering_pb2.Meter.AGGREGATION_COUNT, metering_pb2.Meter.AGGREGATION_SUM)


class Metering:
    def __init__(self, channel: grpc.aio.Channel, keys: Keys) -> None:
        self._metering = MeteringServiceStub(channel)
        self._archive = ArchiveServiceStub(channel)
        self._clocks = ClockServiceStub(channel)
        self._late_usage = LateUsageServiceStub(channel)
        self._event_charges = EventChargeServiceStub(channel)
        self._key = keys.of
        self._meters: dict[tuple[str, str], metering_pb2.Meter] = {}

    async def usage(
        self, tenant_id: str, questions: Sequence[UsageQuestion], watermark: int = 0
    ) -> tuple[list[Quantities], int]:
        """What each subscription used in its period under its plan, as recorded at `watermark`, or now (0); and the
        watermark common to all answers, 0 when there is nothing to ask. Raises NotFound METER_NOT_FOUND,
        InvalidArgument DIMENSION_UNKNOWN or PRORATION_UNSUPPORTED, and FailedPrecondition HOURS_NOT_ADDITIVE.
        """
        await self._require_hours_add_up(tenant_id, questions)
        queries = [query for each in questions for query in convert.usage_queries(each)]
        answers: list[metering_pb2.GetUsageResponse] = []
        for first in range(0, len(queries), MAX_QUERIES):
            chunk = queries[first : first + MAX_QUERIES]
            request = metering_pb2.BatchGetUsageRequest(queries=chunk, watermark=watermark)
            response = await self._metering.BatchGetUsage(request, metadata=self._key(tenant_id))
            answers += response.answers
            watermark = response.watermark
        answered = iter(answers)
        return [list(convert.quantities_in(each, answered)) for each in questions], watermark

    async def _require_hours_add_up(self, tenant_id: str, questions: Iterable[UsageQuestion]) -> None:
        """Raises FailedPrecondition HOURS_NOT_ADDITIVE: what is no count or sum can't be split by time of day."""
        asked = {
            charge.meter_code
            for each in questions
            for split in each.splits
            if split.hours
            for charge in each.splits[split]
        }
        for code in sorted(asked):
            meter = await self.meter(tenant_id, code)
            if meter.recurring or meter.aggregation not in _ADDITIVE:
                raise FailedPrecondition(
                    "HOURS_NOT_ADDITIVE",
                    f"meter {code} does not add up by the hour: it can't be priced by time of day",
                    meter_code=code,
                )

    async def meter(self, tenant_id: str, code: str) -> metering_pb2.Meter:
        """Asked once and kept: how a meter adds up never changes."""
        if (kept := self._meters.get((tenant_id, code))) is not None:
            return kept
        request = metering_pb2.GetMeterRequest(code=code)
        response = await self._metering.GetMeter(request, metadata=self._key(tenant_id))
        if len(self._meters) >= METERS_KEPT:
            self._meters.pop(next(iter(self._meters)))
        self._meters[tenant_id, code] = response.meter
        return response.meter

    async def late_usage(
        self, tenant_id: str, questions: Sequence[LateQuestion], watermark: int
    ) -> tuple[dict[str, datetime], int]:
        """The time of the first event that has changed, for the subscriptions that have one, by id; and the watermark
        of the answer: that which was asked for, or now (0). Raises FailedPrecondition USAGE_ARCHIVED.
        """
        found: dict[str, datetime] = {}
        for first in range(0, len(questions), MAX_QUERIES):
            chunk = questions[first : first + MAX_QUERIES]
            asked = [
                late_usage_pb2.LateUsageQuestion(
                    subscription_id=each.subscription_id,
                    since_watermark=each.since_watermark,
                    before_time=timestamp_out(each.before_time),
                )
                for each in chunk
            ]
            request = late_usage_pb2.BatchFindLateUsageRequest(questions=asked, watermark=watermark)
            response = await self._late_usage.BatchFindLateUsage(request, metadata=self._key(tenant_id))
            watermark = response.watermark
            for question, answer in zip(chunk, response.answers, strict=True):
                if answer.usages:
                    first_time = min(each.first_time.ToDatetime(UTC) for each in answer.usages)
                    found[question.subscription_id] = first_time
        return found, watermark

    async def event_charges(self, tenant_id: str, of: Advance, watermark: int, since: int) -> list[EventCharge]:
        """What events add to a charge in advance, in the order of recording: those after `since`, or all where the
        price takes them. Raises NotFound METER_NOT_FOUND, and InvalidArgument IN_ADVANCE_UNSUPPORTED.
        """
        request = convert.event_charges_query(of, watermark, since)
        response = await self._event_charges.GetEventCharges(request, metadata=self._key(tenant_id))
        return convert.event_charges_in(response.charges)

    async def set_billed_until(self, tenant_id: str, end: datetime) -> None:
        """All usage of the tenant before is billed: metering may archive its events. Asking again is safe."""
        request = archive_pb2.SetBilledUntilRequest(billed_end_time=timestamp_out(end))
        await self._archive.SetBilledUntil(request, metadata=self._key(tenant_id))

    async def set_test_clock(self, tenant_id: str, furthest: datetime) -> None:
        """Events up to there are to be taken. Asking again is safe, in any order."""
        request = clocks_pb2.SetTestClockRequest(now=timestamp_out(furthest))
        await self._clocks.SetTestClock(request, metadata=self._key(tenant_id))
