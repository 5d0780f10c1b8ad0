"""The RPCs on what events were charged in advance."""

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument, NotFound
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in, timestamp_in
from services.invoicing import convert, store
from services.invoicing.subscribing import Context, found_subscription
from weir.invoicing.v1 import advance_fees_pb2 as pb
from weir.invoicing.v1.advance_fees_pb2_grpc import AdvanceFeeServiceServicer

MAX_NUMBERS = 500


class AdvanceFeeServicer(AdvanceFeeServiceServicer):
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def ListAdvanceFees(self, request: pb.ListAdvanceFeesRequest, context: Context) -> pb.ListAdvanceFeesResponse:
        subscription_id = text_in(request.subscription_id, "subscription_id")
        page = page_in(request.page_size, request.page_token)
        tenant_id = caller().tenant_id
        async with self._pool.acquire() as conn:
            await found_subscription(conn, tenant_id, subscription_id)
            found = await store.advance_fees.page(conn, tenant_id, subscription_id, page)
        fees, token = page.cut(found, lambda each: str(each.serial))
        return pb.ListAdvanceFeesResponse(advance_fees=map(convert.charged_out, fees), next_page_token=token)

    async def MarkAdvanceFeesPaid(
        self, request: pb.MarkAdvanceFeesPaidRequest, context: Context
    ) -> pb.MarkAdvanceFeesPaidResponse:
        tenant_id, subscription_id = caller().tenant_id, text_in(request.subscription_id, "subscription_id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        numbers = sorted(set(request.numbers))
        if not 1 <= len(numbers) <= MAX_NUMBERS:
            raise InvalidArgument(
                "FIELD_MISSING", f"numbers has {len(numbers)}, not 1 to {MAX_NUMBERS}", field="numbers"
            )
        given = request.HasField("paid_time")
        told = timestamp_in(request.paid_time, given, "paid_time") if given else None
        async with self._pool.acquire() as conn, conn.transaction():
            now = (await store.clocks.hold(conn, tenant_id)).now(self._clock())
            await found_subscription(conn, tenant_id, subscription_id)
            before = await store.paid_fees.record(
                conn, tenant_id, subscription_id, request_id, request_hash, self._clock()
            )
            if before is not None:
                require_same(before, request_hash, request.request_id)
                return pb.MarkAdvanceFeesPaidResponse()
            paid = await store.paid_fees.pay(conn, tenant_id, subscription_id, numbers, told or now)
            if missing := sorted({*numbers} - {*paid}):
                raise NotFound(
                    "ADVANCE_FEE_NOT_FOUND",
                    f"subscription {subscription_id} has no fee {missing[0]} that waits to be paid",
                    number=str(missing[0]),
                )
        return pb.MarkAdvanceFeesPaidResponse()
