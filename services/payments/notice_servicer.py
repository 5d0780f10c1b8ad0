"""The RPCs of NoticeService."""

import secrets
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.ids import new_id
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.payments.convert.notices import delivery_out, endpoint_in, endpoint_out, serial_in
from services.payments.domain.notice import PREVIOUS_SECRET_LIFE, SECRET_BYTES, Delivery, Endpoint, new_secret
from services.payments.store import notices
from services.payments.vault import Vault
from weir.payments.v1 import notices_pb2 as pb
from weir.payments.v1.notices_pb2_grpc import NoticeServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class NoticeServicer(NoticeServiceServicer):
    pool: Pool
    vault: Vault
    alarm: Alarm
    clock: Clock

    async def CreateNoticeEndpoint(
        self, request: pb.CreateNoticeEndpointRequest, context: Context
    ) -> pb.CreateNoticeEndpointResponse:
        tenant_id, now = caller().tenant_id, self.clock()
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        endpoint = endpoint_in(
            request.notice_endpoint, request.HasField("notice_endpoint"), tenant_id, new_id("nep", now), now
        )
        async with self.pool.acquire() as conn, conn.transaction():
            if not await notices.insert_endpoint(conn, endpoint, self._drawn(), request_id, request_hash):
                endpoint, recorded = await notices.find_request(conn, tenant_id, request_id)
                require_same(recorded, request_hash, request.request_id)
            secret = await self._secret(conn, endpoint)
        return pb.CreateNoticeEndpointResponse(notice_endpoint=endpoint_out(endpoint), secret=secret)

    async def ListNoticeEndpoints(
        self, request: pb.ListNoticeEndpointsRequest, context: Context
    ) -> pb.ListNoticeEndpointsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self.pool.acquire() as conn:
            rows = await notices.list_endpoints(conn, caller().tenant_id, page)
        shown, token = page.cut(rows, lambda endpoint: endpoint.id)
        return pb.ListNoticeEndpointsResponse(notice_endpoints=map(endpoint_out, shown), next_page_token=token)

    async def DeleteNoticeEndpoint(
        self, request: pb.DeleteNoticeEndpointRequest, context: Context
    ) -> pb.DeleteNoticeEndpointResponse:
        endpoint_id = text_in(request.id, "id")
        async with self.pool.acquire() as conn, conn.transaction():
            endpoint = await _endpoint(conn, endpoint_id)
            await notices.delete_endpoint(conn, endpoint.tenant_id, endpoint.id, self.clock())
        return pb.DeleteNoticeEndpointResponse()

    async def RotateNoticeSecret(
        self, request: pb.RotateNoticeSecretRequest, context: Context
    ) -> pb.RotateNoticeSecretResponse:
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        endpoint_id, now = text_in(request.id, "id"), self.clock()
        async with self.pool.acquire() as conn, conn.transaction():
            endpoint = await _endpoint(conn, endpoint_id)
            recorded = await notices.record_change(conn, endpoint, now, request_id, request_hash)
            if recorded is None:
                await notices.set_secret(conn, endpoint, self._drawn(), now + PREVIOUS_SECRET_LIFE)
            else:
                require_same(recorded, request_hash, request.request_id)
            return pb.RotateNoticeSecretResponse(secret=await self._secret(conn, endpoint))

    async def ListNoticeDeliveries(
        self, request: pb.ListNoticeDeliveriesRequest, context: Context
    ) -> pb.ListNoticeDeliveriesResponse:
        page, endpoint_id = page_in(request.page_size, request.page_token), text_in(request.endpoint_id, "endpoint_id")
        async with self.pool.acquire() as conn:
            rows = await notices.list_deliveries(conn, await _endpoint(conn, endpoint_id), page)
        shown, token = page.cut(rows, lambda delivery: str(delivery.notice.serial))
        return pb.ListNoticeDeliveriesResponse(notice_deliveries=map(delivery_out, shown), next_page_token=token)

    async def RetryNoticeDelivery(
        self, request: pb.RetryNoticeDeliveryRequest, context: Context
    ) -> pb.RetryNoticeDeliveryResponse:
        endpoint_id, serial = text_in(request.endpoint_id, "endpoint_id"), serial_in(request.notice_id)
        async with self.pool.acquire() as conn, conn.transaction():
            endpoint = await _endpoint(conn, endpoint_id)
            await notices.ask_again(conn, endpoint, serial, self.clock())
            delivery = await _delivery(conn, endpoint, serial)
        await self.alarm.ring("notify")
        return pb.RetryNoticeDeliveryResponse(notice_delivery=delivery_out(delivery))

    def _drawn(self) -> bytes:
        return self.vault.seal({"secret": new_secret(secrets.token_bytes(SECRET_BYTES))})

    async def _secret(self, conn: Conn, endpoint: Endpoint) -> str:
        sealed = await notices.find_secrets(conn, endpoint.tenant_id, endpoint.id)
        return self.vault.unseal(sealed.current)["secret"]


async def _endpoint(conn: Conn, endpoint_id: str) -> Endpoint:
    endpoint = await notices.find_endpoint(conn, caller().tenant_id, endpoint_id)
    if endpoint is None:
        raise NotFound(
            "NOTICE_ENDPOINT_NOT_FOUND", f"there is no endpoint {endpoint_id}", notice_endpoint_id=endpoint_id
        )
    return endpoint


async def _delivery(conn: Conn, endpoint: Endpoint, serial: int) -> Delivery:
    delivery = await notices.find_delivery(conn, endpoint, serial)
    if delivery is None:
        raise NotFound("NOTICE_DELIVERY_NOT_FOUND", f"nothing of notice {serial} was to go to {endpoint.id}")
    return delivery
