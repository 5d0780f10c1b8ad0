"""The RPCs: decode, ask the store or the ingestion, encode."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in, text_in
from services.metering import convert, store
from services.metering.backfilling import Backfilling
from services.metering.connectors import servicing
from services.metering.domain.computed import require_agreement
from services.metering.domain.events import Outcome
from services.metering.domain.usage import Answers, Asked
from services.metering.domain.versions import history
from services.metering.ingestion import Ingestion
from services.metering.streaming import Streams
from services.metering.usage_streams import UsageStreams, server_stopping
from weir.metering.v1 import metering_pb2
from weir.metering.v1.metering_pb2_grpc import MeteringServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

MAX_EVENTS = 10_000
BATCHES_UNDER_WAY = 16
"""Of one stream; what it sends beyond is not read until one of them is answered."""


class MeteringServicer(MeteringServiceServicer):
    def __init__(self, pool: Pool, ingestion: Ingestion, backfilling: Backfilling, clock: Clock) -> None:
        self._pool = pool
        self._ingestion = ingestion
        self._backfilling = backfilling
        self._clock = clock
        self._streams = Streams()
        self._usage_streams = UsageStreams(pool)

    def close_streams(self) -> None:
        """Let every stream come to its end: no batch is read any more, those read are answered."""
        self._streams.close()
        self._usage_streams.close()

    async def CreateMeter(
        self, request: metering_pb2.CreateMeterRequest, context: Context
    ) -> metering_pb2.CreateMeterResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        now = self._clock()
        meter = convert.meter_in(request.meter, now)
        if request.validate_only:
            return metering_pb2.CreateMeterResponse(meter=convert.meter_out(history([meter]), now))
        async with self._pool.acquire() as conn, conn.transaction():
            if not await store.insert_meter(conn, tenant_id, meter, request_id, request_hash):
                recorded = await store.find_meter_request(conn, tenant_id, request_id)
                if recorded is None:
                    raise Conflict("METER_EXISTS", f"there is a meter {meter.code} already", meter_code=meter.code)
                require_same(recorded[0], request_hash, request.request_id)
                meter = convert.meter_in(request.meter, recorded[1])
            elif meter.expression:
                require_agreement(meter, await store.list_meters(conn, tenant_id, None))
        return metering_pb2.CreateMeterResponse(meter=convert.meter_out(history([meter]), now))

    async def GetMeter(self, request: metering_pb2.GetMeterRequest, context: Context) -> metering_pb2.GetMeterResponse:
        code = code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            meter = await store.find_meter(conn, caller().tenant_id, code)
        if meter is None:
            raise NotFound("METER_NOT_FOUND", f"there is no meter {code}", meter_code=code)
        return metering_pb2.GetMeterResponse(meter=convert.meter_out(meter, self._clock()))

    async def ListMeters(
        self, request: metering_pb2.ListMetersRequest, context: Context
    ) -> metering_pb2.ListMetersResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            meters, token = page.cut(await store.list_meters(conn, caller().tenant_id, page), lambda meter: meter.code)
        now = self._clock()
        return metering_pb2.ListMetersResponse(
            meters=(convert.meter_out(meter, now) for meter in meters), next_page_token=token
        )

    async def UpdateMeter(
        self, request: metering_pb2.UpdateMeterRequest, context: Context
    ) -> metering_pb2.UpdateMeterResponse:
        code, name, description = convert.meter_change_in(request.meter, request.update_mask)
        async with self._pool.acquire() as conn:
            meter = await store.update_meter(conn, caller().tenant_id, code, name, description)
        if meter is None:
            raise NotFound("METER_NOT_FOUND", f"there is no meter {code}", meter_code=code)
        return metering_pb2.UpdateMeterResponse(meter=convert.meter_out(meter, self._clock()))

    async def IngestEvents(
        self, request: metering_pb2.IngestEventsRequest, context: Context
    ) -> metering_pb2.IngestEventsResponse:
        return convert.outcome_out(await self._record(caller().tenant_id, request))

    async def IngestEventStream(
        self, request_iterator: AsyncIterator[metering_pb2.IngestEventStreamRequest], context: Context
    ) -> AsyncIterator[metering_pb2.IngestEventStreamResponse]:
        tenant_id = caller().tenant_id

        async def answer(request: metering_pb2.IngestEventStreamRequest) -> metering_pb2.IngestEventStreamResponse:
            response = metering_pb2.IngestEventStreamResponse(batch_id=request.batch_id)
            try:
                response.result.CopyFrom(convert.outcome_out(await self._record(tenant_id, request)))
            except ResourceExhausted as full:
                response.retry_after_ms = full.retry_after_ms
            return response

        async for response in self._streams.answers(request_iterator, answer, most=BATCHES_UNDER_WAY):
            yield response
        if self._streams.closing:
            raise server_stopping()

    async def GetUsage(self, request: metering_pb2.GetUsageRequest, context: Context) -> metering_pb2.GetUsageResponse:
        return convert.answer_out(await self._usage([convert.asked_in(request)], request.watermark))

    async def StreamUsage(
        self, request: metering_pb2.StreamUsageRequest, context: Context
    ) -> AsyncIterator[metering_pb2.StreamUsageResponse]:
        tenant_id, (asked, interval) = caller().tenant_id, convert.stream_in(request)

        async def ask() -> Answers:
            async with self._pool.acquire() as conn:
                return await store.read_usage(conn, tenant_id, [asked], None)

        stream = self._usage_streams.answers(tenant_id, asked[0], ask, interval)
        async with aclosing(stream):
            async for answers in stream:
                yield convert.stream_out(answers)

    async def BatchGetUsage(
        self, request: metering_pb2.BatchGetUsageRequest, context: Context
    ) -> metering_pb2.BatchGetUsageResponse:
        return convert.batch_out(await self._usage(convert.batch_in(request.queries), request.watermark))

    async def ListDeadLetters(
        self, request: metering_pb2.ListDeadLettersRequest, context: Context
    ) -> metering_pb2.ListDeadLettersResponse:
        return await servicing.list_dead_letters(self._pool, caller().tenant_id, request)

    async def ReplayDeadLetters(
        self, request: metering_pb2.ReplayDeadLettersRequest, context: Context
    ) -> metering_pb2.ReplayDeadLettersResponse:
        return await servicing.replay_dead_letters(self._pool, self._clock, caller().tenant_id, request)

    async def GetEventUsage(
        self, request: metering_pb2.GetEventUsageRequest, context: Context
    ) -> metering_pb2.GetEventUsageResponse:
        transaction_id, asked = convert.event_question_in(request)
        async with self._pool.acquire() as conn:
            found = await store.read_event_usage(conn, caller().tenant_id, asked, transaction_id)
        usages = []
        for code, usage in zip(asked[1].meter_codes, found, strict=True):
            if usage is None:
                raise NotFound(
                    "EVENT_NOT_FOUND",
                    f"meter {code} counts no event {transaction_id!r} of this subscription in this period",
                    meter_code=code,
                )
            usages.append(convert.event_usage_out(usage))
        return metering_pb2.GetEventUsageResponse(usages=usages)

    async def QueryUsage(
        self, request: metering_pb2.QueryUsageRequest, context: Context
    ) -> metering_pb2.QueryUsageResponse:
        asked = convert.windows_in(request)
        return convert.windows_out(asked, await self._usage(asked, request.watermark))

    async def ListEvents(
        self, request: metering_pb2.ListEventsRequest, context: Context
    ) -> metering_pb2.ListEventsResponse:
        subscription_id, code, period = convert.series_in(request)
        page = page_in(request.page_size, request.page_token)
        after, asked = convert.after_in(page), convert.watermark_in(request.watermark)
        async with self._pool.acquire() as conn, store.snapshot(conn):
            head = await store.read_head(conn)
            _require_reached(asked, head)
            at = asked or head
            await store.require_listable(conn, caller().tenant_id, subscription_id, code, period, after)
            found = await store.list_events(
                conn, caller().tenant_id, subscription_id, code, period, at, after, page.size + 1
            )
        events, token = page.cut(found, convert.key_out)
        return metering_pb2.ListEventsResponse(
            events=map(convert.event_out, events), next_page_token=token, watermark=at
        )

    async def _record(
        self, tenant_id: str, request: metering_pb2.IngestEventsRequest | metering_pb2.IngestEventStreamRequest
    ) -> Outcome:
        _require_some(request.events)
        if request.backfill_id:
            return await self._backfilling.record(
                tenant_id, text_in(request.backfill_id, "backfill_id"), request.events
            )
        return await self._ingestion.record(tenant_id, request.events)

    async def _usage(self, asked: Sequence[Asked], watermark: int) -> Answers:
        at = convert.watermark_in(watermark)
        async with self._pool.acquire() as conn:
            answers = await store.read_usage(conn, caller().tenant_id, asked, at)
        _require_reached(at, answers.watermark)
        return answers


def _require_reached(asked: int | None, head: int) -> None:
    if asked is not None and asked > head:
        raise FailedPrecondition(
            "WATERMARK_AHEAD", f"watermark {asked} has not been reached; the log is at {head}", watermark=str(head)
        )


def _require_some(events: Sequence[metering_pb2.Event]) -> None:
    if not events:
        raise InvalidArgument("EVENTS_EMPTY", "events is empty", field="events")
    if len(events) > MAX_EVENTS:
        raise InvalidArgument(
            "EVENTS_TOO_MANY", f"{len(events)} events in one request, {MAX_EVENTS} at most", field="events"
        )
