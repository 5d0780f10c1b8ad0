"""The ledger's bookings, each in the transaction that changes the document; the caller has locked the invoice."""

from collections.abc import Sequence
from datetime import datetime

from libs.common.postgres import Conn
from services.invoicing import store
from services.invoicing.domain.credit_note import CreditNote
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.ledger import collection, correction
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.booked import Booked
from services.invoicing.domain.ledger.booking import Booking
from services.invoicing.domain.ledger.issue import issued


async def book_issued(conn: Conn, tenant_id: str, invoice_ids: Sequence[str], now: datetime) -> None:
    """Invoices that are finalized, all at once."""
    documents = await store.ledger_invoices.issued(conn, tenant_id, invoice_ids)
    entities = sorted({each.legal_entity for each in documents})
    open_from = {each: await store.ledger.open_from(conn, tenant_id, each) for each in entities}
    await store.ledger.insert(conn, tenant_id, [issued(each, open_from[each.legal_entity]) for each in documents], now)


async def book_note(conn: Conn, tenant_id: str, invoice: Invoice, note: CreditNote, now: datetime) -> None:
    """A note of `invoice` that was made."""
    credited = await store.credit_notes.credited(conn, tenant_id, invoice.id)
    booked = await _booked(conn, tenant_id, invoice.id, now)
    await _book(conn, tenant_id, correction.noted(booked, invoice, note, credited.lines), now)


async def book_void_note(conn: Conn, tenant_id: str, note: CreditNote, now: datetime) -> None:
    booked = await _booked(conn, tenant_id, note.invoice_id, now)
    head = await store.invoices.head(conn, tenant_id, note.invoice_id)
    assert head is not None, "invoices are never deleted"
    of_void = head.state is State.VOIDED
    await _book(conn, tenant_id, correction.note_voided(booked, note, of_void=of_void), now)


async def book_void(conn: Conn, tenant_id: str, invoice_id: str, now: datetime) -> None:
    await _book(conn, tenant_id, correction.voided(await _booked(conn, tenant_id, invoice_id, now)), now)


async def book_payment(
    conn: Conn, tenant_id: str, invoice_id: str, payment_id: str, revision: int, change: int, now: datetime
) -> None:
    """`change` minor units more are paid than before."""
    if change:
        booked = await _booked(conn, tenant_id, invoice_id, now)
        legs = collection.paid(change, booked.balance(Account.BAD_DEBT))
        await _book(conn, tenant_id, booked.booking(f"payment/{payment_id}/{revision}", legs), now)


async def book_refund(
    conn: Conn, tenant_id: str, invoice_id: str, refund_id: str, revision: int, change: int, now: datetime
) -> None:
    """`change` minor units more are given back than before."""
    if change:
        booked = await _booked(conn, tenant_id, invoice_id, now)
        legs = collection.refunded(change)
        await _book(conn, tenant_id, booked.booking(f"refund/{refund_id}/{revision}", legs), now)


async def book_dispute(
    conn: Conn, tenant_id: str, invoice_id: str, dispute_id: str, revision: int, change: int, now: datetime
) -> None:
    """Banks have taken `change` minor units more than before."""
    if change:
        booked = await _booked(conn, tenant_id, invoice_id, now)
        legs = collection.disputed(change)
        await _book(conn, tenant_id, booked.booking(f"dispute/{dispute_id}/{revision}", legs), now)


async def book_write_off(conn: Conn, tenant_id: str, invoice_id: str, campaign_id: str, now: datetime) -> None:
    """What is not paid of an invoice."""
    booked = await _booked(conn, tenant_id, invoice_id, now)
    legs = collection.written_off(booked.balance(Account.RECEIVABLE))
    await _book(conn, tenant_id, booked.booking(f"write_off/{campaign_id}", legs), now)


async def _booked(conn: Conn, tenant_id: str, invoice_id: str, now: datetime) -> Booked:
    clock = await store.clocks.get(conn, tenant_id)
    return await store.ledger.booked(conn, tenant_id, invoice_id, clock.now(now))


async def _book(conn: Conn, tenant_id: str, booking: Booking, now: datetime) -> None:
    await store.ledger.insert(conn, tenant_id, [booking], now)
