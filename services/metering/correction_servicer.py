"""The RPCs about backfills and amendments."""

from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument
from libs.common.idempotency import fingerprint
from libs.common.ids import new_id
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from services.metering import store
from services.metering.amending import amend
from services.metering.convert import corrections as convert
from services.metering.domain.amendments import Amendment
from services.metering.reading import Reader
from services.metering.store import Request
from weir.metering.v1 import corrections_pb2
from weir.metering.v1.corrections_pb2_grpc import CorrectionServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Mutation: TypeAlias = (
    corrections_pb2.OpenBackfillRequest
    | corrections_pb2.CloseBackfillRequest
    | corrections_pb2.RevertBackfillRequest
    | corrections_pb2.AmendEventsRequest
)


class CorrectionServicer(CorrectionServiceServicer):
    def __init__(self, pool: Pool, reader: Reader, clock: Clock) -> None:
        self._pool = pool
        self._reader = reader
        self._clock = clock

    async def OpenBackfill(
        self, request: corrections_pb2.OpenBackfillRequest, context: Context
    ) -> corrections_pb2.OpenBackfillResponse:
        named, reason, now = _named("OpenBackfill", request), convert.reason_in(request.reason), self._clock()
        async with self._pool.acquire() as conn, conn.transaction():
            made = await store.open_backfill(conn, caller().tenant_id, named, new_id("bkf", now), reason, now)
        return corrections_pb2.OpenBackfillResponse(backfill=convert.backfill_out(made))

    async def GetBackfill(
        self, request: corrections_pb2.GetBackfillRequest, context: Context
    ) -> corrections_pb2.GetBackfillResponse:
        backfill_id = text_in(request.backfill_id, "backfill_id")
        async with self._pool.acquire() as conn:
            found = await store.find_backfill(conn, caller().tenant_id, backfill_id)
        return corrections_pb2.GetBackfillResponse(backfill=convert.backfill_out(found))

    async def ListBackfills(
        self, request: corrections_pb2.ListBackfillsRequest, context: Context
    ) -> corrections_pb2.ListBackfillsResponse:
        page, state = page_in(request.page_size, request.page_token), convert.backfill_state_in(request.state)
        async with self._pool.acquire() as conn:
            found = await store.list_backfills(conn, caller().tenant_id, state, page)
        backfills, token = page.cut(found, lambda backfill: backfill.backfill_id)
        return corrections_pb2.ListBackfillsResponse(
            backfills=map(convert.backfill_out, backfills), next_page_token=token
        )

    async def CloseBackfill(
        self, request: corrections_pb2.CloseBackfillRequest, context: Context
    ) -> corrections_pb2.CloseBackfillResponse:
        named, backfill_id = _named("CloseBackfill", request), text_in(request.backfill_id, "backfill_id")
        async with self._pool.acquire() as conn, conn.transaction():
            closed = await store.close_backfill(conn, caller().tenant_id, named, backfill_id, self._clock())
        return corrections_pb2.CloseBackfillResponse(backfill=convert.backfill_out(closed))

    async def RevertBackfill(
        self, request: corrections_pb2.RevertBackfillRequest, context: Context
    ) -> corrections_pb2.RevertBackfillResponse:
        named, backfill_id = _named("RevertBackfill", request), text_in(request.backfill_id, "backfill_id")
        async with self._pool.acquire() as conn, conn.transaction():
            reverted = await store.revert_backfill(conn, caller().tenant_id, named, backfill_id, self._clock())
        return corrections_pb2.RevertBackfillResponse(backfill=convert.backfill_out(reverted))

    async def AmendEvents(
        self, request: corrections_pb2.AmendEventsRequest, context: Context
    ) -> corrections_pb2.AmendEventsResponse:
        named = _named("AmendEvents", request)
        changes, wrong = convert.changes_in(request)
        made: list[Amendment] = []
        if not wrong:
            tenant_id = caller().tenant_id
            made, wrong = await amend(self._pool, self._reader, tenant_id, named, changes, self._clock())
        return corrections_pb2.AmendEventsResponse(
            amendments=map(convert.amendment_out, made), failures=convert.failures_out(wrong)
        )

    async def ListAmendments(
        self, request: corrections_pb2.ListAmendmentsRequest, context: Context
    ) -> corrections_pb2.ListAmendmentsResponse:
        page = page_in(request.page_size, request.page_token)
        after = convert.after_in(page)
        subscription_id = text_in(request.subscription_id, "subscription_id", required=False)
        transaction_id = text_in(request.transaction_id, "transaction_id", required=False)
        if transaction_id and not subscription_id:
            raise InvalidArgument(
                "FIELD_MISSING", "subscription_id is required with transaction_id", field="subscription_id"
            )
        async with self._pool.acquire() as conn:
            found = await store.list_amendments(
                conn, caller().tenant_id, subscription_id, transaction_id, after, page.size + 1
            )
        amendments, token = page.cut(found, convert.key_out)
        return corrections_pb2.ListAmendmentsResponse(
            amendments=map(convert.amendment_out, amendments), next_page_token=token
        )


def _named(method: str, request: _Mutation) -> Request:
    return Request(method, request_id_in(request.request_id), fingerprint(request))
