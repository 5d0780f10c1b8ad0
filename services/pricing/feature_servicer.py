"""FeatureService."""

from dataclasses import replace
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in
from services.pricing.convert.features import feature_change_in, feature_in, feature_out
from services.pricing.store.features import FEATURES
from weir.pricing.v1 import features_pb2
from weir.pricing.v1.features_pb2_grpc import FeatureServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class FeatureServicer(FeatureServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def CreateFeature(
        self, request: features_pb2.CreateFeatureRequest, context: Context
    ) -> features_pb2.CreateFeatureResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        feature = feature_in(request.feature, self._clock())
        if request.validate_only:
            return features_pb2.CreateFeatureResponse(feature=feature_out(feature))
        async with self._pool.acquire() as conn, conn.transaction():
            if first := await FEATURES.create(conn, tenant_id, feature, request_id, request_hash):
                feature = replace(feature, create_time=first)
        return features_pb2.CreateFeatureResponse(feature=feature_out(feature))

    async def GetFeature(
        self, request: features_pb2.GetFeatureRequest, context: Context
    ) -> features_pb2.GetFeatureResponse:
        code = code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            feature = await FEATURES.get(conn, caller().tenant_id, code)
        return features_pb2.GetFeatureResponse(feature=feature_out(feature))

    async def ListFeatures(
        self, request: features_pb2.ListFeaturesRequest, context: Context
    ) -> features_pb2.ListFeaturesResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found, token = page.cut(await FEATURES.list(conn, caller().tenant_id, page), lambda each: each.code)
        return features_pb2.ListFeaturesResponse(features=map(feature_out, found), next_page_token=token)

    async def UpdateFeature(
        self, request: features_pb2.UpdateFeatureRequest, context: Context
    ) -> features_pb2.UpdateFeatureResponse:
        tenant_id = caller().tenant_id
        code, change = feature_change_in(request.feature, request.update_mask)
        async with self._pool.acquire() as conn, conn.transaction():
            feature = await FEATURES.change(conn, tenant_id, code, "feature.code", change)
        return features_pb2.UpdateFeatureResponse(feature=feature_out(feature))
