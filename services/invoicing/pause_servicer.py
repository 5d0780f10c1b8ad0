"""The RPCs on pauses."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint, require_same
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import convert, store
from services.invoicing.domain.pausing import paused, resumed
from services.invoicing.domain.run import BILL
from services.invoicing.domain.subscription import Subscription
from services.invoicing.giving_back import give_back_unused
from services.invoicing.subscribing import Context, found_subscription
from weir.invoicing.v1 import pauses_pb2 as pb
from weir.invoicing.v1.pauses_pb2_grpc import PauseServiceServicer


class PauseServicer(PauseServiceServicer):
    def __init__(self, pool: Pool, alarm: Alarm, clock: Clock) -> None:
        self._pool = pool
        self._alarm = alarm
        self._clock = clock

    async def PauseSubscription(
        self, request: pb.PauseSubscriptionRequest, context: Context
    ) -> pb.PauseSubscriptionResponse:
        asked = _time_in(request.pause_time, request.HasField("pause_time"), "pause_time")
        resume_at = _time_in(request.resume_time, request.HasField("resume_time"), "resume_time")
        on_unused_fee = convert.unused_fee_in(request.on_unused_fee, "on_unused_fee")

        def changed(found: Subscription, now: datetime) -> Subscription:
            return paused(found, asked or max(now, found.start_time), resume_at, on_unused_fee, now)

        made = await self._changed(request, request_id_in(request.request_id), changed)
        return pb.PauseSubscriptionResponse(subscription=convert.subscription_out(made))

    async def ResumeSubscription(
        self, request: pb.ResumeSubscriptionRequest, context: Context
    ) -> pb.ResumeSubscriptionResponse:
        asked = _time_in(request.resume_time, request.HasField("resume_time"), "resume_time")

        def changed(found: Subscription, now: datetime) -> Subscription:
            return resumed(found, asked or max(now, found.start_time), now)

        made = await self._changed(request, request_id_in(request.request_id), changed)
        return pb.ResumeSubscriptionResponse(subscription=convert.subscription_out(made))

    async def _changed(
        self,
        request: pb.PauseSubscriptionRequest | pb.ResumeSubscriptionRequest,
        request_id: UUID,
        change: Callable[[Subscription, datetime], Subscription],
    ) -> Subscription:
        tenant_id, subscription_id, now = caller().tenant_id, text_in(request.id, "id"), self._clock()
        request_hash = fingerprint(request)
        async with self._pool.acquire() as conn, conn.transaction():
            clock = await store.clocks.hold(conn, tenant_id)
            found = await found_subscription(conn, tenant_id, subscription_id, store.subscriptions.lock)
            before = await store.subscriptions.record_change(
                conn, tenant_id, subscription_id, request_id, request_hash, now
            )
            if before is not None:
                require_same(before, request_hash, request.request_id)
                return found
            made = change(found, clock.now(now))
            await store.subscriptions.save(conn, tenant_id, made)
            await give_back_unused(conn, tenant_id, found, made, now)
        await self._alarm.ring(BILL)
        return made


def _time_in(message: Timestamp, present: bool, field: str) -> datetime | None:
    return convert.instant_in(message, present, field) if present else None
