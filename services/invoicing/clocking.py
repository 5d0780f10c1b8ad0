"""The RPCs on the billing clock and billing runs."""

from libs.common.clock import Clock
from libs.common.errors import FailedPrecondition, NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.ids import new_id
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import convert, store
from services.invoicing.domain.clock import BillingClock
from services.invoicing.domain.run import BILL
from services.invoicing.peers import Peers
from services.invoicing.subscribing import Context
from services.invoicing.telling import tell_clock
from services.invoicing.walking import step
from weir.invoicing.v1 import invoicing_pb2 as pb
from weir.invoicing.v1.invoicing_pb2_grpc import InvoicingServiceServicer


class ClockMethods(InvoicingServiceServicer):
    _pool: Pool
    _peers: Peers
    _alarm: Alarm
    _clock: Clock

    async def GetClock(self, request: pb.GetClockRequest, context: Context) -> pb.GetClockResponse:
        async with self._pool.acquire() as conn:
            clock = await store.clocks.get(conn, caller().tenant_id)
        return pb.GetClockResponse(clock=convert.clock_out(clock, self._clock()))

    async def CreateTestClock(self, request: pb.CreateTestClockRequest, context: Context) -> pb.CreateTestClockResponse:
        tenant_id = _test_tenant()
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        start = convert.instant_in(request.start_time, request.HasField("start_time"), "start_time")
        async with self._pool.acquire() as conn, conn.transaction():
            clock = await store.clocks.lock(conn, tenant_id)
            recorded = await store.clocks.made_by(conn, tenant_id, request_id)
            if recorded is not None:
                require_same(recorded, request_hash, request.request_id)
            elif clock.test_now is not None:
                raise FailedPrecondition("CLOCK_EXISTS", "the tenant has a test clock already")
            elif await store.subscriptions.exist(conn, tenant_id):
                raise FailedPrecondition("CLOCK_IN_USE", "the tenant has subscriptions, which run on its present clock")
            else:
                await store.clocks.start_test(conn, tenant_id, start, request_id, request_hash)
        await tell_clock(self._pool, self._peers, tenant_id, start)
        return pb.CreateTestClockResponse(clock=convert.clock_out(BillingClock(start), self._clock()))

    async def AdvanceClock(self, request: pb.AdvanceClockRequest, context: Context) -> pb.AdvanceClockResponse:
        """The clock gets its target, and the run that bills on the way there starts, in one transaction (law 8). Where
        nothing falls due it is there at once.
        """
        tenant_id = _test_tenant()
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        target = convert.instant_in(request.target_time, request.HasField("target_time"), "target_time")
        now = self._clock()
        run_id = new_id("run", now)
        async with self._pool.acquire() as conn, conn.transaction():
            clock = await store.clocks.lock(conn, tenant_id)
            if (made := await store.runs.made_by(conn, tenant_id, request_id)) is not None:
                run_id, recorded = made
                require_same(recorded, request_hash, request.request_id)
            else:
                await store.clocks.send(conn, tenant_id, clock.toward(target, now))
                await store.runs.insert(conn, tenant_id, run_id, target, now, request_id, request_hash)
                await step(conn, tenant_id)
            clock = await store.clocks.get(conn, tenant_id)
            run = await store.runs.get(conn, tenant_id, run_id)
        await self._alarm.ring(BILL)
        await tell_clock(self._pool, self._peers, tenant_id, clock.furthest(now))
        assert run is not None
        return pb.AdvanceClockResponse(clock=convert.clock_out(clock, now), billing_run=convert.billing_run_out(run))

    async def GetBillingRun(self, request: pb.GetBillingRunRequest, context: Context) -> pb.GetBillingRunResponse:
        tenant_id, run_id = caller().tenant_id, text_in(request.id, "id")
        has_after = request.HasField("steps_after_time")
        after = convert.instant_in(request.steps_after_time, True, "steps_after_time") if has_after else None
        async with self._pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            run = await store.runs.get(conn, tenant_id, run_id)
            steps = await store.runs.steps(conn, tenant_id, run_id, after)
        if run is None:
            raise NotFound("BILLING_RUN_NOT_FOUND", f"there is no billing run {run_id}", billing_run_id=run_id)
        return pb.GetBillingRunResponse(
            billing_run=convert.billing_run_out(run), steps=map(convert.billing_step_out, steps)
        )

    async def ListBillingRuns(self, request: pb.ListBillingRunsRequest, context: Context) -> pb.ListBillingRunsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found = await store.runs.page(conn, caller().tenant_id, page)
        runs, token = page.cut(found, lambda each: each.id)
        return pb.ListBillingRunsResponse(billing_runs=map(convert.billing_run_out, runs), next_page_token=token)


def _test_tenant() -> str:
    """The caller's tenant. Raises FailedPrecondition TENANT_LIVE when its money is real."""
    if caller().live:
        raise FailedPrecondition("TENANT_LIVE", "time can't be moved for a tenant whose money is real")
    return caller().tenant_id
