"""CouponService."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import BillingError
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in
from services.pricing.convert.coupons import (
    applied_in,
    coupon_change_in,
    coupon_codes_in,
    coupon_in,
    coupon_out,
    fees_in,
    rated_coupons_out,
)
from services.pricing.convert.rating import require_batch
from services.pricing.domain.coupons import Coupon, rate_coupons
from services.pricing.referenced import missing, require_none, require_plans
from services.pricing.store.coupons import COUPONS
from weir.pricing.v1 import coupons_pb2
from weir.pricing.v1.coupons_pb2_grpc import CouponServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

REQUESTS_BETWEEN_PAUSES = 100
"""Of a batch, how many are rated before other calls get a turn."""


class CouponServicer(CouponServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def CreateCoupon(
        self, request: coupons_pb2.CreateCouponRequest, context: Context
    ) -> coupons_pb2.CreateCouponResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        coupon = coupon_in(request.coupon, self._clock())
        if request.validate_only:
            return coupons_pb2.CreateCouponResponse(coupon=coupon_out(coupon))
        async with self._pool.acquire() as conn, conn.transaction():
            if (first := await COUPONS.create(conn, tenant_id, coupon, request_id, request_hash)) is None:
                await require_plans(conn, tenant_id, coupon.plan_codes, "coupon.plan_codes")
            else:
                coupon = replace(coupon, create_time=first)
        return coupons_pb2.CreateCouponResponse(coupon=coupon_out(coupon))

    async def GetCoupon(self, request: coupons_pb2.GetCouponRequest, context: Context) -> coupons_pb2.GetCouponResponse:
        code = code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            coupon = await COUPONS.get(conn, caller().tenant_id, code)
        return coupons_pb2.GetCouponResponse(coupon=coupon_out(coupon))

    async def ListCoupons(
        self, request: coupons_pb2.ListCouponsRequest, context: Context
    ) -> coupons_pb2.ListCouponsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found, token = page.cut(await COUPONS.list(conn, caller().tenant_id, page), lambda each: each.code)
        return coupons_pb2.ListCouponsResponse(coupons=map(coupon_out, found), next_page_token=token)

    async def UpdateCoupon(
        self, request: coupons_pb2.UpdateCouponRequest, context: Context
    ) -> coupons_pb2.UpdateCouponResponse:
        tenant_id = caller().tenant_id
        code, change = coupon_change_in(request.coupon, request.update_mask)
        async with self._pool.acquire() as conn, conn.transaction():
            coupon = await COUPONS.change(conn, tenant_id, code, "coupon.code", change)
        return coupons_pb2.UpdateCouponResponse(coupon=coupon_out(coupon))

    async def RateCoupons(
        self, request: coupons_pb2.RateCouponsRequest, context: Context
    ) -> coupons_pb2.RateCouponsResponse:
        return _rated(request, await self._named([request]))

    async def BatchRateCoupons(
        self, request: coupons_pb2.BatchRateCouponsRequest, context: Context
    ) -> coupons_pb2.BatchRateCouponsResponse:
        require_batch(request.requests)
        coupons = await self._named(request.requests)
        responses: list[coupons_pb2.RateCouponsResponse] = []
        for index, each in enumerate(request.requests):
            if index % REQUESTS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
            try:
                responses.append(_rated(each, coupons))
            except BillingError as error:
                error.metadata["request_index"] = str(index)
                raise
        return coupons_pb2.BatchRateCouponsResponse(responses=responses)

    async def _named(self, requests: Iterable[coupons_pb2.RateCouponsRequest]) -> dict[str, Coupon]:
        codes = {each.coupon_code for request in requests for each in request.coupons}
        async with self._pool.acquire() as conn:
            return await COUPONS.find(conn, caller().tenant_id, codes)


def _rated(request: coupons_pb2.RateCouponsRequest, coupons: Mapping[str, Coupon]) -> coupons_pb2.RateCouponsResponse:
    currency, fees = fees_in(request)
    codes = coupon_codes_in(request.coupons)
    named = {f"coupons[{index}].coupon_code": code for index, code in enumerate(codes)}
    require_none(missing(COUPONS, named, coupons))
    return rated_coupons_out(*rate_coupons(fees, applied_in(request.coupons, coupons), currency))
