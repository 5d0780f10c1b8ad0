"""The RPCs on units of fixed charges."""

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint, require_same
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import amount_in, code_in, request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import convert, store
from services.invoicing.domain.fixed_charge import find_charge, unit_change
from services.invoicing.domain.lifecycle import closed
from services.invoicing.domain.run import BILL
from services.invoicing.domain.subscription import Subscription
from services.invoicing.peers import Peers
from services.invoicing.subscribing import Context, found_subscription
from weir.invoicing.v1 import fixed_charges_pb2 as pb
from weir.invoicing.v1.fixed_charges_pb2_grpc import FixedChargeServiceServicer


class FixedChargeServicer(FixedChargeServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, alarm: Alarm, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._alarm = alarm
        self._clock = clock

    async def SetFixedChargeUnits(
        self, request: pb.SetFixedChargeUnitsRequest, context: Context
    ) -> pb.SetFixedChargeUnitsResponse:
        """Pricing is asked for the plan in effect with no transaction open, and again if it is another one by then."""
        tenant_id, subscription_id = caller().tenant_id, text_in(request.subscription_id, "subscription_id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        code, units = code_in(request.code, "code"), amount_in(request.units, "units")
        next_period = convert.is_next_period_in(request.effective)
        while True:
            async with self._pool.acquire() as conn:
                read = await found_subscription(conn, tenant_id, subscription_id)
                phase = read.phase_at((await store.clocks.get(conn, tenant_id)).now(self._clock()))
            plan = await self._peers.pricing.plan_version(tenant_id, phase.plan_code, phase.plan_version)
            charge = find_charge(plan, code)
            async with self._pool.acquire() as conn, conn.transaction():
                await store.clocks.hold(conn, tenant_id)
                found = await found_subscription(conn, tenant_id, subscription_id, store.subscriptions.lock)
                now = (await store.clocks.get(conn, tenant_id)).now(self._clock())
                if found.phase_at(now) != phase:
                    continue
                before = await store.subscriptions.record_change(
                    conn, tenant_id, subscription_id, request_id, request_hash, self._clock()
                )
                if before is not None:
                    require_same(before, request_hash, request.request_id)
                    return _answer(found, code)
                if found.is_closed:
                    raise closed(found)
                found, _ = unit_change(found, charge, units, now, next_period=next_period)
                await store.subscriptions.save(conn, tenant_id, found)
            await self._alarm.ring(BILL)
            return _answer(found, code)

    async def GetFixedChargeUnits(
        self, request: pb.GetFixedChargeUnitsRequest, context: Context
    ) -> pb.GetFixedChargeUnitsResponse:
        subscription_id = text_in(request.subscription_id, "subscription_id")
        async with self._pool.acquire() as conn:
            found = await found_subscription(conn, caller().tenant_id, subscription_id)
        return pb.GetFixedChargeUnitsResponse(units=convert.unit_changes_out(found.units))


def _answer(found: Subscription, code: str) -> pb.SetFixedChargeUnitsResponse:
    changes = (each for each in found.units if each.code == code)
    return pb.SetFixedChargeUnitsResponse(units=convert.unit_changes_out(changes))
