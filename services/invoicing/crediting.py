"""Credit notes and voids, each in its caller's transaction. Whoever needs both locks the invoice
first, then the notes.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from libs.common.errors import Conflict, FailedPrecondition, NotFound
from libs.common.ids import new_id
from libs.common.postgres import Conn
from services.invoicing import store
from services.invoicing.domain.credit_note import (
    CreditNote,
    Kind,
    NoteRequest,
    applied,
    drafted,
    require_voidable,
    voided,
)
from services.invoicing.domain.invoice import Invoice


async def use_credits(conn: Conn, tenant_id: str, invoice_ids: Sequence[str]) -> None:
    """Pay the locked drafts out of their customers' balances, as far as these reach."""
    balances = await store.balances.lock_balances(conn, tenant_id, invoice_ids)
    if balances:
        owed = await store.balances.owed(conn, tenant_id, invoice_ids)
        await store.balances.insert(conn, tenant_id, applied(owed, balances))


async def estimated(conn: Conn, tenant_id: str, asked: NoteRequest) -> CreditNote:
    """What `created` would make. Writes nothing, and locks the invoice for one moment of its notes."""
    invoice = await _locked(conn, tenant_id, asked.invoice_id)
    note = drafted(invoice, await store.credit_notes.credited(conn, tenant_id, invoice.id), asked)
    if note.kind is Kind.OFFSET:
        _require_not_collected(invoice)
    return note


async def created(
    conn: Conn, tenant_id: str, asked: NoteRequest, request_id: UUID, request_hash: bytes, now: datetime
) -> CreditNote:
    note = await estimated(conn, tenant_id, asked)
    create_time = (await store.clocks.get(conn, tenant_id)).now(now)
    note = replace(note, id=new_id("cn", now), create_time=create_time)
    if not await store.credit_notes.insert(conn, tenant_id, note, request_id, request_hash):
        raise Conflict("REQUEST_ID_REUSED", f"request_id {request_id} was used for another invoice's credit note")
    if note.kind is Kind.OFFSET:
        await store.invoices.offset(conn, tenant_id, note.invoice_id, note.total)
    return note


async def void_note(conn: Conn, tenant_id: str, note_id: str) -> CreditNote:
    note = voided(await find_note(conn, tenant_id, note_id, lock=True))
    await store.credit_notes.set_balance(conn, tenant_id, note)
    return note


async def void_invoice(conn: Conn, tenant_id: str, invoice_id: str) -> None:
    invoice = await _locked(conn, tenant_id, invoice_id)
    require_voidable(invoice, await store.credit_notes.of_invoice(conn, tenant_id, invoice_id))
    _require_not_collected(invoice)
    await store.balances.give_back(conn, tenant_id, invoice_id)
    await store.invoices.void(conn, tenant_id, invoice_id)


async def find_note(conn: Conn, tenant_id: str, note_id: str, *, lock: bool = False) -> CreditNote:
    """Raises NotFound CREDIT_NOTE_NOT_FOUND."""
    read = store.credit_notes.lock if lock else store.credit_notes.get
    if (note := await read(conn, tenant_id, note_id)) is None:
        raise NotFound("CREDIT_NOTE_NOT_FOUND", f"there is no credit note {note_id}", credit_note_id=note_id)
    return note


async def _locked(conn: Conn, tenant_id: str, invoice_id: str) -> Invoice:
    if (invoice := await store.invoices.lock(conn, tenant_id, invoice_id)) is None:
        raise NotFound("INVOICE_NOT_FOUND", f"there is no invoice {invoice_id}", invoice_id=invoice_id)
    return invoice


def _require_not_collected(invoice: Invoice) -> None:
    if invoice.is_with_payments:
        raise FailedPrecondition(
            "PAYMENT_UNDER_WAY",
            f"payments has invoice {invoice.number}, and may be collecting it",
            invoice_id=invoice.id,
        )
