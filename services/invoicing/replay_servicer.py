"""The RPC on daily replays."""

from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from services.invoicing import convert, store
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import replays_pb2 as pb
from weir.invoicing.v1.replays_pb2_grpc import ReplayServiceServicer


class ReplayServicer(ReplayServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ListReplays(self, request: pb.ListReplaysRequest, context: Context) -> pb.ListReplaysResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found = await store.replays.page(conn, caller().tenant_id, page)
        replays, token = page.cut(found, lambda each: each.day.isoformat())
        return pb.ListReplaysResponse(replays=map(convert.replay_out, replays), next_page_token=token)
