"""The RPCs of AnalyticsService."""

from dataclasses import dataclass
from datetime import UTC

from libs.common.clock import Clock
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from services.invoicing import store
from services.invoicing.convert import analytics as convert
from services.invoicing.convert.ledger import date_in, days_in
from services.invoicing.convert.times import date_out
from services.invoicing.domain.analytics import revenues
from services.invoicing.domain.recurring import movements
from services.invoicing.peers import Peers
from services.invoicing.recurring_reading import recurring
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import analytics_pb2 as pb
from weir.invoicing.v1.analytics_pb2_grpc import AnalyticsServiceServicer


@dataclass(frozen=True, slots=True)
class AnalyticsServicer(AnalyticsServiceServicer):
    pool: Pool
    peers: Peers
    clock: Clock

    async def GetRevenue(self, request: pb.GetRevenueRequest, context: Context) -> pb.GetRevenueResponse:
        tenant_id, (first, last) = caller().tenant_id, days_in(request.start_date, request.end_date)
        async with self.pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            booked = await store.analytics.booked(conn, tenant_id, first, last)
            discounted = await store.analytics.discounted(conn, tenant_id, first, last)
        return pb.GetRevenueResponse(months=map(convert.revenue_out, revenues(booked, discounted)))

    async def GetMonthlyRecurringRevenue(
        self, request: pb.GetMonthlyRecurringRevenueRequest, context: Context
    ) -> pb.GetMonthlyRecurringRevenueResponse:
        tenant_id, (first, last) = caller().tenant_id, days_in(request.start_date, request.end_date)
        async with self.pool.acquire() as conn:
            today = (await store.clocks.get(conn, tenant_id)).now(self.clock()).astimezone(UTC).date()
        last = min(last, today)
        if last < first.replace(day=1):
            return pb.GetMonthlyRecurringRevenueResponse()
        found = movements(await recurring(self.pool, self.peers, tenant_id, last), first.replace(day=1), last)
        return pb.GetMonthlyRecurringRevenueResponse(months=map(convert.movements_out, found))

    async def GetOverdueAgeing(
        self, request: pb.GetOverdueAgeingRequest, context: Context
    ) -> pb.GetOverdueAgeingResponse:
        tenant_id = caller().tenant_id
        day = date_in(request.date, "date") if request.HasField("date") else None
        count = convert.customer_count_in(request.customer_count)
        async with self.pool.acquire() as conn:
            if day is None:
                day = (await store.clocks.get(conn, tenant_id)).now(self.clock()).astimezone(UTC).date()
            found = await store.analytics.ageing(conn, tenant_id, day, count)
        return pb.GetOverdueAgeingResponse(
            date=date_out(day),
            totals=(convert.ageing_out(each) for each in found if each.customer_id is None),
            customers=(
                pb.CustomerAgeing(customer_id=each.customer_id, ageing=convert.ageing_out(each))
                for each in found
                if each.customer_id is not None
            ),
        )
