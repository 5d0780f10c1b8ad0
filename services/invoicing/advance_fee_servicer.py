"""The RPC on what events were charged in advance."""

from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import text_in
from services.invoicing import convert, store
from services.invoicing.subscribing import Context, found_subscription
from weir.invoicing.v1 import advance_fees_pb2 as pb
from weir.invoicing.v1.advance_fees_pb2_grpc import AdvanceFeeServiceServicer


class AdvanceFeeServicer(AdvanceFeeServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ListAdvanceFees(self, request: pb.ListAdvanceFeesRequest, context: Context) -> pb.ListAdvanceFeesResponse:
        subscription_id = text_in(request.subscription_id, "subscription_id")
        page = page_in(request.page_size, request.page_token)
        tenant_id = caller().tenant_id
        async with self._pool.acquire() as conn:
            await found_subscription(conn, tenant_id, subscription_id)
            found = await store.advance_fees.page(conn, tenant_id, subscription_id, page)
        fees, token = page.cut(found, lambda each: str(each.serial))
        return pb.ListAdvanceFeesResponse(advance_fees=map(convert.charged_out, fees), next_page_token=token)
