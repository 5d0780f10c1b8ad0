"""Documents on demand: read the books, make the file with no connection held, keep it, and give out what is kept."""

import asyncio
from hashlib import sha256

from libs.common.clock import Clock
from libs.common.errors import FailedPrecondition
from libs.common.postgres import Conn, Pool
from services.invoicing import convert, crediting, store
from services.invoicing.documents.contents import contents
from services.invoicing.documents.press import Press, Sheet
from services.invoicing.documents.typesetting import Unprintable
from services.invoicing.domain.document import (
    Buyer,
    Document,
    DocumentKind,
    File,
    Format,
    Stamp,
    of_credit_note,
    of_invoice,
)
from services.invoicing.domain.legal_entity import LegalEntity
from services.invoicing.peers import Peers
from services.invoicing.reading import found_invoice, shown
from services.invoicing.store.documents import Kept, Key


class Documents:
    def __init__(self, pool: Pool, peers: Peers, press: Press, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._press = press
        self._clock = clock

    async def file(self, tenant_id: str, kind: DocumentKind, subject_id: str, form: Format) -> File:
        """Raises NotFound and FailedPrecondition as DocumentService.GetDocument says."""
        document = await self._read(tenant_id, kind, subject_id)
        key = Key(kind, subject_id, form, is_void=document.stamp is Stamp.VOID)
        name = f"{document.number or subject_id}.{form.suffix}"
        if document.stamp is Stamp.DRAFT:
            made = await self._made(document, form)
            return File(kind, form, name, made, sha256(made).digest())
        async with self._pool.acquire() as conn:
            kept = await store.documents.get(conn, tenant_id, key)
        if kept is None:
            made = await self._made(document, form)
            fresh = Kept(sha256(made).digest(), made)
            async with self._pool.acquire() as conn:
                kept = await store.documents.keep(conn, tenant_id, key, document.buyer.id, fresh, self._clock())
        if kept.contents is None:
            raise FailedPrecondition(
                "DOCUMENT_ERASED", f"customer {document.buyer.id} was erased with his documents", id=subject_id
            )
        return File(kind, form, name, kept.contents, kept.digest)

    async def _read(self, tenant_id: str, kind: DocumentKind, subject_id: str) -> Document:
        async with self._pool.acquire() as conn:
            if kind is DocumentKind.CREDIT_NOTE:
                note = await crediting.find_note(conn, tenant_id, subject_id)
                invoice = await found_invoice(conn, tenant_id, note.invoice_id)
                return of_credit_note(note, invoice, *await _parties(conn, tenant_id, invoice.id))
            invoice = await found_invoice(conn, tenant_id, subject_id)
            parties = await _parties(conn, tenant_id, invoice.id)
        [invoice] = await shown(self._pool, self._peers, tenant_id, [invoice])
        ratings = [None if line.rating is None else convert.rating_in(line.rating) for line in invoice.bill.lines]
        return of_invoice(invoice, *parties, ratings)

    async def _made(self, document: Document, form: Format) -> bytes:
        """Numbers and dates are put into words in a thread, the page is set in a process."""
        inputs = await asyncio.to_thread(contents, document)
        try:
            return await self._press.pdf(Sheet(document.seller.branding.template, inputs, document.issue_time))
        except Unprintable as error:
            raise FailedPrecondition("TEMPLATE_FAILED", f"no document can be made: {error}") from None


async def _parties(conn: Conn, tenant_id: str, invoice_id: str) -> tuple[LegalEntity, Buyer]:
    """Raises FailedPrecondition LEGAL_ENTITY_MISSING."""
    if (seller := await store.documents.issuer(conn, tenant_id, invoice_id)) is None:
        raise FailedPrecondition("LEGAL_ENTITY_MISSING", "make a legal entity first: documents say who bills")
    return seller, await store.documents.recipient(conn, tenant_id, invoice_id)
