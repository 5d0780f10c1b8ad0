"""Credit notes, each in its caller's transaction. Whoever needs both locks the invoice
first, then the notes.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from libs.common.clock import Clock
from libs.common.errors import Conflict, FailedPrecondition, NotFound
from libs.common.ids import new_id
from libs.common.postgres import Conn, Pool
from services.invoicing import store
from services.invoicing.booking import book_note, book_void_note
from services.invoicing.domain.balance import applied
from services.invoicing.domain.credit_note import CreditNote, Kind, NoteRequest, voided
from services.invoicing.domain.drafted_note import drafted
from services.invoicing.domain.invoice import Invoice
from services.invoicing.peers import Peers

T = TypeVar("T")

TAKE_BACK_LEASE = timedelta(seconds=30)


class WithPayments(FailedPrecondition):
    """Payments may be collecting the invoice: it must be taken back first."""


@dataclass(frozen=True, slots=True)
class Till:
    """How an invoice is taken back from payments, who can't collect it then until it is asked again."""

    pool: Pool
    peers: Peers
    clock: Clock

    async def taken_back(self, tenant_id: str, invoice_id: str, change: Callable[[], Awaitable[T]]) -> T:
        """What `change` answers. If payments has the invoice, it must give it back first, between two transactions;
        whoever is killed there leaves an invoice that payments is asked to collect again when the lease ends.

        Raises FailedPrecondition PAYMENT_UNDER_WAY.
        """
        try:
            return await change()
        except WithPayments:
            leased_until = self.clock() + TAKE_BACK_LEASE
            async with self.pool.acquire() as conn:
                invoice = await store.hand_overs.take_back(conn, tenant_id, invoice_id, leased_until)
            if invoice is not None:
                await self.peers.payments.cancel_payment(invoice)
                async with self.pool.acquire() as conn:
                    await store.hand_overs.given_back(conn, invoice, leased_until)
            return await change()


async def use_credits(conn: Conn, tenant_id: str, invoice_ids: Sequence[str]) -> None:
    """Pay the locked drafts out of their customers' balances, as far as these reach."""
    balances = await store.balances.lock_balances(conn, tenant_id, invoice_ids)
    if balances:
        owed = await store.balances.owed(conn, tenant_id, invoice_ids)
        await store.balances.insert(conn, tenant_id, applied(owed, balances))


async def estimated(conn: Conn, tenant_id: str, asked: NoteRequest) -> CreditNote:
    """What `created` would make. Writes nothing, and locks the invoice for one moment of its notes."""
    invoice = await locked(conn, tenant_id, asked.invoice_id)
    return drafted(invoice, await store.credit_notes.credited(conn, tenant_id, invoice.id), asked)


async def created(
    conn: Conn, tenant_id: str, asked: NoteRequest, request_id: UUID, request_hash: bytes, now: datetime
) -> CreditNote:
    """Raises WithPayments among what `drafted` raises, as the last."""
    invoice = await locked(conn, tenant_id, asked.invoice_id)
    note = drafted(invoice, await store.credit_notes.credited(conn, tenant_id, invoice.id), asked)
    if note.kind is Kind.OFFSET:
        require_not_collected(invoice)
    create_time = (await store.clocks.get(conn, tenant_id)).now(now)
    note = replace(note, id=new_id("cn", now), create_time=create_time)
    if not await store.credit_notes.insert(conn, tenant_id, note, request_id, request_hash, now):
        raise Conflict("REQUEST_ID_REUSED", f"request_id {request_id} was used for another invoice's credit note")
    if note.kind is Kind.OFFSET:
        await store.invoices.offset(conn, tenant_id, note.invoice_id, note.total, now)
    await book_note(conn, tenant_id, invoice, note, now)
    return note


async def void_note(conn: Conn, tenant_id: str, note_id: str, now: datetime) -> CreditNote:
    found = await find_note(conn, tenant_id, note_id)
    await store.invoices.lock(conn, tenant_id, found.invoice_id)
    note = voided(await find_note(conn, tenant_id, note_id, lock=True))
    await store.credit_notes.set_balance(conn, tenant_id, note)
    await book_void_note(conn, tenant_id, note, now)
    return note


async def find_note(conn: Conn, tenant_id: str, note_id: str, *, lock: bool = False) -> CreditNote:
    """Raises NotFound CREDIT_NOTE_NOT_FOUND."""
    read = store.credit_notes.lock if lock else store.credit_notes.get
    if (note := await read(conn, tenant_id, note_id)) is None:
        raise NotFound("CREDIT_NOTE_NOT_FOUND", f"there is no credit note {note_id}", credit_note_id=note_id)
    return note


async def locked(conn: Conn, tenant_id: str, invoice_id: str) -> Invoice:
    """Raises NotFound INVOICE_NOT_FOUND."""
    if (invoice := await store.invoices.lock(conn, tenant_id, invoice_id)) is None:
        raise NotFound("INVOICE_NOT_FOUND", f"there is no invoice {invoice_id}", invoice_id=invoice_id)
    return invoice


def require_not_collected(invoice: Invoice) -> None:
    """Raises WithPayments."""
    if invoice.is_with_payments and invoice.amount_due.minor_units:
        raise WithPayments(
            "PAYMENT_UNDER_WAY",
            f"payments has invoice {invoice.number}, and may be collecting it",
            invoice_id=invoice.id,
        )
