"""The RPCs of ArchiveService: decode, ask the store, encode. Files are the worker's."""

from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import timestamp_in, timestamp_out
from services.metering.convert.archive import hold_in, month_in, month_out
from services.metering.store import archive
from weir.metering.v1 import archive_pb2
from weir.metering.v1.archive_pb2_grpc import ArchiveServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ArchiveServicer(ArchiveServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def ListArchivedMonths(
        self, request: archive_pb2.ListArchivedMonthsRequest, context: Context
    ) -> archive_pb2.ListArchivedMonthsResponse:
        tenant_id, page = caller().tenant_id, page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found = await archive.list_months(conn, tenant_id, page)
            billed = await archive.find_billed(conn, tenant_id)
        months, token = page.cut(found, lambda each: f"{each.month:%Y-%m}")
        return archive_pb2.ListArchivedMonthsResponse(
            months=map(month_out, months), next_page_token=token, billed_end_time=timestamp_out(billed)
        )

    async def RestoreMonth(
        self, request: archive_pb2.RestoreMonthRequest, context: Context
    ) -> archive_pb2.RestoreMonthResponse:
        month, hold = month_in(request.month), hold_in(request.hold_days)
        async with self._pool.acquire() as conn:
            found = await archive.request_restore(conn, caller().tenant_id, month, self._clock() + hold)
        return archive_pb2.RestoreMonthResponse(month=month_out(found))

    async def SetBilledUntil(
        self, request: archive_pb2.SetBilledUntilRequest, context: Context
    ) -> archive_pb2.SetBilledUntilResponse:
        until = timestamp_in(request.billed_end_time, request.HasField("billed_end_time"), "billed_end_time")
        async with self._pool.acquire() as conn:
            billed = await archive.set_billed(conn, caller().tenant_id, until)
        return archive_pb2.SetBilledUntilResponse(billed_end_time=timestamp_out(billed))
