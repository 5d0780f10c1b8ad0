"""The RPCs on drafts."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint, require_same
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from libs.common.worker import Alarm
from services.invoicing import convert, store
from services.invoicing.adjusting import adjust, replace_line, unadjusted
from services.invoicing.domain.adjustment import require_adjustable
from services.invoicing.domain.draft import require_draft
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import Line
from services.invoicing.domain.run import BILL, HAND_OVER
from services.invoicing.explaining import find_usage_line
from services.invoicing.finalizing import finalize, finalize_sealed
from services.invoicing.peers import Peers
from services.invoicing.prepaid import PrepaidCredit
from services.invoicing.reading import found_invoice, shown
from services.invoicing.refreshing import refresh
from services.invoicing.regenerating import regenerated
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import drafts_pb2 as pb
from weir.invoicing.v1.drafts_pb2_grpc import DraftServiceServicer


class DraftServicer(DraftServiceServicer):
    def __init__(
        self, pool: Pool, peers: Peers, alarm: Alarm, clock: Clock, prepaid: PrepaidCredit | None = None
    ) -> None:
        self._pool = pool
        self._peers = peers
        self._alarm = alarm
        self._clock = clock
        self._prepaid = prepaid

    async def RefreshInvoice(self, request: pb.RefreshInvoiceRequest, context: Context) -> pb.RefreshInvoiceResponse:
        """Refreshes, then records the request: one that fails may be tried again."""
        tenant_id, invoice_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn:
            before = await store.draft_requests.made_by(conn, tenant_id, request_id)
            found = await found_invoice(conn, tenant_id, invoice_id)
        if before is not None:
            require_same(before, request_hash, request.request_id)
        else:
            require_draft(found)
            await refresh(self._pool, self._peers, tenant_id, [invoice_id], is_last=False)
            async with self._pool.acquire() as conn, conn.transaction():
                await self._record(conn, tenant_id, invoice_id, request_id, request_hash)
        return pb.RefreshInvoiceResponse(invoice=convert.invoice_out(await self._shown(tenant_id, invoice_id)))

    async def RegenerateInvoice(
        self, request: pb.RegenerateInvoiceRequest, context: Context
    ) -> pb.RegenerateInvoiceResponse:
        tenant_id, voided_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn, conn.transaction():
            await found_invoice(conn, tenant_id, voided_id, lock=True)
            if await self._record(conn, tenant_id, voided_id, request_id, request_hash):
                made = await regenerated(conn, tenant_id, voided_id, self._clock(), as_draft=request.as_draft)
            else:
                made = await store.regenerations.made_from(conn, tenant_id, voided_id) or ""
        if not request.as_draft:
            await self._alarm.ring(BILL)
            await finalize(self._pool, self._peers, self._clock, tenant_id, made)
            await self._alarm.ring(HAND_OVER)
        return pb.RegenerateInvoiceResponse(invoice=convert.invoice_out(await self._shown(tenant_id, made)))

    async def AdjustLine(self, request: pb.AdjustLineRequest, context: Context) -> pb.AdjustLineResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.invoice_id, "invoice_id")
        asked = convert.adjustment_in(request)

        async def change(line: Line) -> Line:
            async with self._pool.acquire() as conn:
                ids = [line.source.subscription_id] if line.source else []
                subscriptions = await store.subscriptions.by_ids(conn, tenant_id, ids)
            return await adjust(self._peers, tenant_id, line, asked, subscriptions)

        unused_code = "" if asked.units is None or request.line_number else request.line_code
        await self._replace_line(tenant_id, invoice_id, request, change, unused_code)
        return pb.AdjustLineResponse(invoice=convert.invoice_out(await self._shown(tenant_id, invoice_id)))

    async def ResetLine(self, request: pb.ResetLineRequest, context: Context) -> pb.ResetLineResponse:
        """The line is refreshed whenever the request is asked: it may have been lost between the two."""
        tenant_id, invoice_id = caller().tenant_id, text_in(request.invoice_id, "invoice_id")

        async def change(line: Line) -> Line:
            require_adjustable(line)
            return unadjusted(line)

        await self._replace_line(tenant_id, invoice_id, request, change)
        await refresh(self._pool, self._peers, tenant_id, [invoice_id], is_last=False)
        return pb.ResetLineResponse(invoice=convert.invoice_out(await self._shown(tenant_id, invoice_id)))

    async def _replace_line(
        self,
        tenant_id: str,
        invoice_id: str,
        request: pb.AdjustLineRequest | pb.ResetLineRequest,
        change: Callable[[Line], Awaitable[Line]],
        unused_code: str = "",
    ) -> None:
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        code, number = text_in(request.line_code, "line_code", required=not request.line_number), request.line_number
        async with self._pool.acquire() as conn:
            before = await store.draft_requests.made_by(conn, tenant_id, request_id)
            found = await found_invoice(conn, tenant_id, invoice_id)
        if before is not None:
            require_same(before, request_hash, request.request_id)
            return
        require_draft(found)

        def find(lines: Sequence[Line]) -> int:
            return find_usage_line(invoice_id, lines, code, number)

        async def record(conn: Conn) -> bool:
            return await self._record(conn, tenant_id, invoice_id, request_id, request_hash)

        await replace_line(self._pool, self._peers, tenant_id, invoice_id, find, unused_code, change, record)

    async def FinalizeInvoice(self, request: pb.FinalizeInvoiceRequest, context: Context) -> pb.FinalizeInvoiceResponse:
        tenant_id, invoice_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn, conn.transaction():
            found = await found_invoice(conn, tenant_id, invoice_id, lock=True)
            if await self._record(conn, tenant_id, invoice_id, request_id, request_hash):
                require_draft(found)
                now = (await store.clocks.get(conn, tenant_id)).now(self._clock())
                await store.refreshes.end_grace(conn, tenant_id, invoice_id, now)
        await self._alarm.ring(BILL)
        await finalize(self._pool, self._peers, self._clock, tenant_id, invoice_id, self._prepaid)
        if self._prepaid is not None:
            await finalize_sealed(self._pool, self._prepaid, self._clock, tenant_id)
        await self._alarm.ring(HAND_OVER)
        return pb.FinalizeInvoiceResponse(invoice=convert.invoice_out(await self._shown(tenant_id, invoice_id)))

    async def _record(self, conn: Conn, tenant_id: str, invoice_id: str, request_id: UUID, request_hash: bytes) -> bool:
        """False if the same request was made before. Raises Conflict REQUEST_ID_REUSED."""
        before = await store.draft_requests.record(conn, tenant_id, invoice_id, request_id, request_hash, self._clock())
        if before is not None:
            require_same(before, request_hash, str(request_id))
        return before is None

    async def _shown(self, tenant_id: str, invoice_id: str) -> Invoice:
        async with self._pool.acquire() as conn:
            invoice = await found_invoice(conn, tenant_id, invoice_id)
        [answer] = await shown(self._pool, self._peers, tenant_id, [invoice])
        return answer
