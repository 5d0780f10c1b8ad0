"""AddOnService."""

from dataclasses import replace
from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in
from services.pricing.convert.add_ons import add_on_change_in, add_on_in, add_on_out
from services.pricing.convert.described import batch_codes_in
from services.pricing.referenced import missing, named_in, require_none, require_taxes
from services.pricing.store.add_ons import ADD_ONS
from weir.pricing.v1 import addons_pb2
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AddOnServicer(AddOnServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def CreateAddOn(
        self, request: addons_pb2.CreateAddOnRequest, context: Context
    ) -> addons_pb2.CreateAddOnResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        add_on = add_on_in(request.add_on, self._clock())
        if request.validate_only:
            return addons_pb2.CreateAddOnResponse(add_on=add_on_out(add_on))
        async with self._pool.acquire() as conn, conn.transaction():
            if (first := await ADD_ONS.create(conn, tenant_id, add_on, request_id, request_hash)) is None:
                await require_taxes(conn, tenant_id, add_on.tax_codes, "add_on.tax_codes")
            else:
                add_on = replace(add_on, create_time=first)
        return addons_pb2.CreateAddOnResponse(add_on=add_on_out(add_on))

    async def GetAddOn(self, request: addons_pb2.GetAddOnRequest, context: Context) -> addons_pb2.GetAddOnResponse:
        code = code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            add_on = await ADD_ONS.get(conn, caller().tenant_id, code)
        return addons_pb2.GetAddOnResponse(add_on=add_on_out(add_on))

    async def BatchGetAddOns(
        self, request: addons_pb2.BatchGetAddOnsRequest, context: Context
    ) -> addons_pb2.BatchGetAddOnsResponse:
        codes = batch_codes_in(request.codes, required=True)
        async with self._pool.acquire() as conn:
            found = await ADD_ONS.find(conn, caller().tenant_id, set(codes))
        require_none(missing(ADD_ONS, named_in(codes, "codes"), found))
        return addons_pb2.BatchGetAddOnsResponse(add_ons=[add_on_out(found[code]) for code in codes])

    async def ListAddOns(
        self, request: addons_pb2.ListAddOnsRequest, context: Context
    ) -> addons_pb2.ListAddOnsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found, token = page.cut(await ADD_ONS.list(conn, caller().tenant_id, page), lambda each: each.code)
        return addons_pb2.ListAddOnsResponse(add_ons=map(add_on_out, found), next_page_token=token)

    async def UpdateAddOn(
        self, request: addons_pb2.UpdateAddOnRequest, context: Context
    ) -> addons_pb2.UpdateAddOnResponse:
        tenant_id = caller().tenant_id
        code, change = add_on_change_in(request.add_on, request.update_mask)
        async with self._pool.acquire() as conn, conn.transaction():
            add_on = await ADD_ONS.change(conn, tenant_id, code, "add_on.code", change)
            await require_taxes(conn, tenant_id, add_on.tax_codes, "add_on.tax_codes")
        return addons_pb2.UpdateAddOnResponse(add_on=add_on_out(add_on))
