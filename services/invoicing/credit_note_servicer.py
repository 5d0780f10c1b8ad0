"""The RPCs of CreditNoteService."""

from typing import Any, TypeAlias

import grpc

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import request_id_in, text_in
from services.invoicing import crediting, store
from services.invoicing.convert import note_in, note_out
from services.invoicing.domain.credit_note import CreditNote
from weir.invoicing.v1 import credit_notes_pb2 as pb
from weir.invoicing.v1.credit_notes_pb2_grpc import CreditNoteServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CreditNoteServicer(CreditNoteServiceServicer):
    def __init__(self, pool: Pool, till: crediting.Till, clock: Clock) -> None:
        self._pool = pool
        self._till = till
        self._clock = clock

    async def CreateCreditNote(
        self, request: pb.CreateCreditNoteRequest, context: Context
    ) -> pb.CreateCreditNoteResponse:
        tenant_id, asked = caller().tenant_id, note_in(request.credit_note)
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)

        async def create() -> CreditNote:
            """The invoice's lock comes first: a repeat waits for the first request, and then finds its note."""
            async with self._pool.acquire() as conn, conn.transaction():
                await store.invoices.lock(conn, tenant_id, asked.invoice_id)
                if (made := await store.credit_notes.made_by(conn, tenant_id, request_id)) is not None:
                    require_same(made[1], request_hash, request.request_id)
                    return made[0]
                return await crediting.created(conn, tenant_id, asked, request_id, request_hash, self._clock())

        note = await self._till.taken_back(tenant_id, asked.invoice_id, create)
        return pb.CreateCreditNoteResponse(credit_note=note_out(note))

    async def EstimateCreditNote(
        self, request: pb.EstimateCreditNoteRequest, context: Context
    ) -> pb.EstimateCreditNoteResponse:
        asked = note_in(request.credit_note)
        async with self._pool.acquire() as conn, conn.transaction():
            note = await crediting.estimated(conn, caller().tenant_id, asked)
        return pb.EstimateCreditNoteResponse(credit_note=note_out(note))

    async def GetCreditNote(self, request: pb.GetCreditNoteRequest, context: Context) -> pb.GetCreditNoteResponse:
        note_id = text_in(request.id, "id")
        async with self._pool.acquire() as conn:
            note = await crediting.find_note(conn, caller().tenant_id, note_id)
        return pb.GetCreditNoteResponse(credit_note=note_out(note))

    async def ListCreditNotes(self, request: pb.ListCreditNotesRequest, context: Context) -> pb.ListCreditNotesResponse:
        page = page_in(request.page_size, request.page_token)
        customer_id = text_in(request.customer_id, "customer_id", required=False) or None
        invoice_id = text_in(request.invoice_id, "invoice_id", required=False) or None
        number = text_in(request.number, "number", required=False) or None
        async with self._pool.acquire() as conn:
            found = await store.credit_notes.page(conn, caller().tenant_id, customer_id, invoice_id, number, page)
        notes, token = page.cut(found, lambda each: each.id)
        return pb.ListCreditNotesResponse(credit_notes=map(note_out, notes), next_page_token=token)

    async def VoidCreditNote(self, request: pb.VoidCreditNoteRequest, context: Context) -> pb.VoidCreditNoteResponse:
        tenant_id, note_id = caller().tenant_id, text_in(request.id, "id")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        async with self._pool.acquire() as conn, conn.transaction():
            before = await store.voids.record(conn, tenant_id, note_id, request_id, request_hash, self._clock())
            if before is not None:
                require_same(before, request_hash, request.request_id)
                note = await crediting.find_note(conn, tenant_id, note_id)
            else:
                note = await crediting.void_note(conn, tenant_id, note_id, self._clock())
        return pb.VoidCreditNoteResponse(credit_note=note_out(note))
