"""The RPC that exports rows."""

from collections.abc import AsyncIterator, Sequence

from libs.common.paging import key_in, token
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from services.invoicing import convert, store
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import exports_pb2 as pb
from weir.invoicing.v1.exports_pb2_grpc import ExportServiceServicer

CHUNK_ROWS = 5000
PIECE_BYTES = 1 << 20


class ExportServicer(ExportServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ExportRows(self, request: pb.ExportRowsRequest, context: Context) -> AsyncIterator[pb.ExportRowsResponse]:
        """A connection is held for a chunk at a time, however slowly the caller reads."""
        tenant_id = caller().tenant_id
        export = convert.export_in(request)
        after: Sequence[str] = key_in(request.resume_token, "resume_token") if request.resume_token else ()
        yield pb.ExportRowsResponse(columns=convert.columns_out(store.exports.columns(export.dataset)))
        while True:
            async with self._pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
                chunk = await store.exports.next_chunk(conn, tenant_id, export, after, CHUNK_ROWS)
                if chunk is None:
                    return
                rows = await store.exports.rows_of(conn, tenant_id, export, chunk)
            for begin in range(0, len(rows), PIECE_BYTES):
                piece = pb.ExportRowsResponse(rows=rows[begin : begin + PIECE_BYTES])
                if begin + PIECE_BYTES >= len(rows):
                    piece.row_count, piece.resume_token = chunk.row_count, token(*chunk.last)
                yield piece
            after = chunk.last
