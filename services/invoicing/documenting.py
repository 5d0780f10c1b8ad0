"""Documents on demand: read the books, make the file with no connection held, keep it, and give out what is kept."""

import asyncio
from datetime import date
from hashlib import sha256
from typing import NamedTuple

from libs.common.clock import Clock
from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.postgres import Conn, Pool
from services.invoicing import convert, crediting, store
from services.invoicing.documents import making
from services.invoicing.documents.en16931 import xml
from services.invoicing.documents.press import Press
from services.invoicing.documents.typesetting import Unprintable
from services.invoicing.domain.account import Receipt, Statement, entries, require_paid
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
from services.invoicing.domain.einvoice import stated
from services.invoicing.domain.legal_entity import LegalEntity
from services.invoicing.issuing import found_legal_entity
from services.invoicing.peers import Peers
from services.invoicing.reading import found_invoice, shown
from services.invoicing.store.documents import Kept, Key
from services.invoicing.subscribing import customer_not_found


class _Asked(NamedTuple):
    """What a document says, what it is kept under (a draft's is not), and what its file is called."""

    says: Document | Receipt
    key: Key | None
    name: str


class Documents:
    def __init__(self, pool: Pool, peers: Peers, press: Press, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._press = press
        self._clock = clock

    async def file(self, tenant_id: str, kind: DocumentKind, subject_id: str, form: Format) -> File:
        """Raises NotFound and FailedPrecondition as DocumentService.GetDocument says."""
        while True:
            says, key, name = await self._asked(tenant_id, kind, subject_id, form)
            if key is None:
                return _file(kind, form, name, await self._made(says, form))
            async with self._pool.acquire() as conn:
                kept = await store.documents.get(conn, tenant_id, key)
            if kept is None:
                made = await self._made(says, form)
                fresh = Kept(sha256(made).digest(), made)
                async with self._pool.acquire() as conn, conn.transaction():
                    kept = await store.documents.keep(conn, tenant_id, key, says.buyer, fresh, self._clock())
            if kept is not None:
                break
        if kept.contents is None:
            raise FailedPrecondition(
                "DOCUMENT_ERASED", f"customer {says.buyer.id} was erased with his documents", customer_id=says.buyer.id
            )
        return File(kind, form, name, kept.contents, kept.digest)

    async def make_missing(self, tenant_id: str, customer_id: str) -> None:
        """Keep what was issued to a customer, before nobody knows any more whom it names."""
        async with self._pool.acquire() as conn:
            missing = await store.documents.missing(conn, tenant_id, customer_id)
        for kind, subject_id in missing:
            await self.file(tenant_id, kind, subject_id, Format.PDF)

    async def statement(
        self,
        tenant_id: str,
        customer_id: str,
        legal_entity: str | None,
        first_day: date,
        last_day: date,
        currency: str | None,
    ) -> File:
        """As the books are now; it is not kept. Raises as DocumentService.GetStatement says."""
        async with self._pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            if (buyer := await store.accounts.holder(conn, tenant_id, customer_id)) is None:
                raise customer_not_found(customer_id)
            seller = (
                await found_legal_entity(conn, tenant_id, legal_entity)
                if legal_entity
                else _required(await store.legal_entities.of_customer(conn, tenant_id, customer_id))
            )
            account = tenant_id, customer_id, seller.code
            currency = currency or _only(await store.accounts.currencies(conn, *account))
            opening = await store.accounts.opening(conn, *account, currency, first_day)
            booked = await store.accounts.booked(conn, *account, currency, first_day, last_day)
        statement = Statement(
            seller, buyer, first_day, last_day, opening, entries(opening, booked), made_at=self._clock()
        )
        name = f"{customer_id}-{first_day}-{last_day}.pdf"
        return _file(DocumentKind.STATEMENT, Format.PDF, name, await self._made(statement, Format.PDF))

    async def _asked(self, tenant_id: str, kind: DocumentKind, subject_id: str, form: Format) -> _Asked:
        async with self._pool.acquire() as conn:
            if kind is DocumentKind.CREDIT_NOTE:
                note = await crediting.find_note(conn, tenant_id, subject_id)
                invoice = await found_invoice(conn, tenant_id, note.invoice_id)
                of_note = of_credit_note(note, invoice, *await _parties(conn, tenant_id, invoice.id))
                return _asked(of_note, kind, subject_id, form)
            invoice = await found_invoice(conn, tenant_id, subject_id)
            parties = await _parties(conn, tenant_id, invoice.id)
            paid = await store.accounts.paid(conn, tenant_id, invoice.id)
        if kind is DocumentKind.RECEIPT:
            require_paid(paid.payments, invoice.id)
            assert invoice.number is not None, "what is paid is finalized"
            assert invoice.finalize_time is not None, "what is paid is finalized"
            says = Receipt(*parties, invoice.number, invoice.issue_date, invoice.finalize_time, tuple(paid.payments))
            key = Key(kind, f"{invoice.id}/{paid.last_source}", form, is_void=False)
            return _Asked(says, key, f"{invoice.number}-receipt.{form.suffix}")
        [invoice] = await shown(self._pool, self._peers, tenant_id, [invoice])
        ratings = [None if line.rating is None else convert.rating_in(line.rating) for line in invoice.bill.lines]
        return _asked(of_invoice(invoice, *parties, ratings), kind, subject_id, form)

    async def _made(self, says: Document | Receipt | Statement, form: Format) -> bytes:
        """Put into words in a thread, and set in a process."""
        if form is not Format.PDF:
            assert isinstance(says, Document), "only they have e-invoices"
            return await asyncio.to_thread(xml, stated(says), form)
        sheet = await asyncio.to_thread(making.sheet, says)
        try:
            return making.file(await self._press.pdf(sheet), sheet)
        except Unprintable as error:
            raise FailedPrecondition("TEMPLATE_FAILED", f"no document can be made: {error}") from None


def _asked(says: Document, kind: DocumentKind, subject_id: str, form: Format) -> _Asked:
    key = None if says.stamp is Stamp.DRAFT else Key(kind, subject_id, form, is_void=says.stamp is Stamp.VOID)
    return _Asked(says, key, f"{says.number or subject_id}.{form.suffix}")


def _file(kind: DocumentKind, form: Format, name: str, made: bytes) -> File:
    return File(kind, form, name, made, sha256(made).digest())


async def _parties(conn: Conn, tenant_id: str, invoice_id: str) -> tuple[LegalEntity, Buyer]:
    """Raises FailedPrecondition LEGAL_ENTITY_MISSING."""
    seller = _required(await store.documents.issuer(conn, tenant_id, invoice_id))
    return seller, await store.documents.recipient(conn, tenant_id, invoice_id)


def _required(seller: LegalEntity | None) -> LegalEntity:
    if seller is None:
        raise FailedPrecondition("LEGAL_ENTITY_MISSING", "make a legal entity first: documents say who bills")
    return seller


def _only(currencies: list[str]) -> str:
    """Raises InvalidArgument CURRENCY_AMBIGUOUS."""
    if len(currencies) == 1:
        return currencies[0]
    raise InvalidArgument(
        "CURRENCY_AMBIGUOUS",
        f"the customer has invoices in {', '.join(currencies) or 'no currency'}: say which one",
        field="currency_code",
    )
