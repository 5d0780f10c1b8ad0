"""The RPCs of AppliedCouponService."""

from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import Conflict, NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.ids import new_id
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in, text_in
from services.invoicing import store
from services.invoicing.convert import applied_coupon_out, override_in
from services.invoicing.domain.coupon import AppliedCoupon, applied
from services.invoicing.peers import Peers
from services.invoicing.subscribing import customer_not_found
from weir.invoicing.v1 import coupons_pb2 as pb
from weir.invoicing.v1.coupons_pb2_grpc import AppliedCouponServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AppliedCouponServicer(AppliedCouponServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._clock = clock

    async def ApplyCoupon(self, request: pb.ApplyCouponRequest, context: Context) -> pb.ApplyCouponResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        customer_id = text_in(request.customer_id, "customer_id")
        coupon = await self._peers.pricing.coupon(tenant_id, code_in(request.coupon_code, "coupon_code"))
        override = override_in(request, coupon)
        async with self._pool.acquire() as conn, conn.transaction():
            if await store.customers.lock(conn, tenant_id, customer_id) is None:
                raise customer_not_found(customer_id)
            if (made := await store.applied_coupons.made_by(conn, tenant_id, request_id)) is not None:
                require_same(made[1], request_hash, request.request_id)
                return pb.ApplyCouponResponse(applied_coupon=applied_coupon_out(made[0]))
            now = (await store.clocks.get(conn, tenant_id)).now(self._clock())
            had = await store.applied_coupons.of_customer(conn, tenant_id, customer_id)
            found = applied(coupon, override, new_id("cpn", self._clock()), customer_id, had, now)
            if not await store.applied_coupons.insert(conn, tenant_id, found, request_id, request_hash):
                raise Conflict("REQUEST_ID_REUSED", f"request_id {request_id} was used for another customer's coupon")
        return pb.ApplyCouponResponse(applied_coupon=applied_coupon_out(found))

    async def ListAppliedCoupons(
        self, request: pb.ListAppliedCouponsRequest, context: Context
    ) -> pb.ListAppliedCouponsResponse:
        page = page_in(request.page_size, request.page_token)
        customer_id = text_in(request.customer_id, "customer_id", required=False) or None
        async with self._pool.acquire() as conn:
            found = await store.applied_coupons.page(conn, caller().tenant_id, customer_id, page)
        coupons, token = page.cut(found, lambda each: each.id)
        return pb.ListAppliedCouponsResponse(applied_coupons=map(applied_coupon_out, coupons), next_page_token=token)

    async def RemoveAppliedCoupon(
        self, request: pb.RemoveAppliedCouponRequest, context: Context
    ) -> pb.RemoveAppliedCouponResponse:
        tenant_id, applied_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn, conn.transaction():
            await _found(conn, tenant_id, applied_id)
            before = await store.voids.record(conn, tenant_id, applied_id, request_id, request_hash, self._clock())
            if before is None:
                await store.applied_coupons.remove(conn, tenant_id, applied_id)
            else:
                require_same(before, request_hash, request.request_id)
            found = await _found(conn, tenant_id, applied_id)
        return pb.RemoveAppliedCouponResponse(applied_coupon=applied_coupon_out(found))


async def _found(conn: Conn, tenant_id: str, applied_id: str) -> AppliedCoupon:
    if (found := await store.applied_coupons.get(conn, tenant_id, applied_id)) is None:
        raise NotFound(
            "APPLIED_COUPON_NOT_FOUND", f"there is no applied coupon {applied_id}", applied_coupon_id=applied_id
        )
    return found
