"""The RPCs on changes of plan."""

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint, require_same
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import store
from services.invoicing.changing import as_of_now, change_plan, present_plan
from services.invoicing.convert import change_in, invoice_out, plan_asked_in, subscription_out
from services.invoicing.domain.change import PlanChange, cancelled, changed
from services.invoicing.domain.run import BILL
from services.invoicing.foreseeing import foreseen
from services.invoicing.peers import Peers
from services.invoicing.selling import latest_version, sold_version
from services.invoicing.subscribing import Context, found_subscription
from weir.invoicing.v1 import changes_pb2 as pb
from weir.invoicing.v1.changes_pb2_grpc import PlanChangeServiceServicer


class PlanChangeServicer(PlanChangeServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, alarm: Alarm, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._alarm = alarm
        self._clock = clock

    async def ChangePlan(self, request: pb.ChangePlanRequest, context: Context) -> pb.ChangePlanResponse:
        """Answers a repeat before it asks pricing."""
        tenant_id, subscription_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn:
            before = await store.subscriptions.request_of_change(conn, tenant_id, request_id)
            found = await found_subscription(conn, tenant_id, subscription_id)
        if before is not None:
            require_same(before, request_hash, request.request_id)
            return pb.ChangePlanResponse(subscription=subscription_out(found))
        change = await self._change(tenant_id, subscription_id, request.change)
        made = await change_plan(
            self._pool, self._peers, self._clock, tenant_id, subscription_id, change, request_id, request_hash
        )
        await self._alarm.ring(BILL)
        return pb.ChangePlanResponse(subscription=subscription_out(made))

    async def CancelChange(self, request: pb.CancelChangeRequest, context: Context) -> pb.CancelChangeResponse:
        tenant_id, subscription_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn, conn.transaction():
            await store.clocks.hold(conn, tenant_id)
            found = await found_subscription(conn, tenant_id, subscription_id, store.subscriptions.lock)
            before = await store.subscriptions.record_change(
                conn, tenant_id, subscription_id, request_id, request_hash, self._clock()
            )
            if before is None:
                found = cancelled(found, (await store.clocks.get(conn, tenant_id)).now(self._clock()))
                await store.subscriptions.save(conn, tenant_id, found)
            else:
                require_same(before, request_hash, request.request_id)
        return pb.CancelChangeResponse(subscription=subscription_out(found))

    async def PreviewChange(self, request: pb.PreviewChangeRequest, context: Context) -> pb.PreviewChangeResponse:
        tenant_id, subscription_id = caller().tenant_id, text_in(request.id, "id")
        change = await self._change(tenant_id, subscription_id, request.change)
        async with self._pool.acquire() as conn:
            found, now = await as_of_now(conn, tenant_id, subscription_id, self._clock)
        present = await present_plan(self._peers, tenant_id, found, now)
        made, at = changed(found, change, present, now)
        what = await foreseen(self._pool, self._peers, tenant_id, found, made, at, now)
        return pb.PreviewChangeResponse(
            subscription=subscription_out(made), invoices=[invoice_out(each) for each in what.invoices]
        )

    async def _change(self, tenant_id: str, subscription_id: str, message: pb.PlanChange) -> PlanChange:
        plan_code, version = plan_asked_in(message)
        if version:
            sold = await sold_version(self._peers, tenant_id, plan_code, version, subscription_id)
            return change_in(message, sold)
        return change_in(message, await latest_version(self._peers, tenant_id, plan_code))
