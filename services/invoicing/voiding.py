"""Invoices are voided, each in its caller's transaction, with what is given back of them."""

from datetime import datetime

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing import store
from services.invoicing.booking import book_void
from services.invoicing.crediting import locked, require_not_collected
from services.invoicing.domain.credit_note import Kind
from services.invoicing.domain.drafted_note import drafted
from services.invoicing.domain.voiding import GivenBack, note_of, require_currency, require_voidable
from services.invoicing.giving_back import note


async def void_invoice(
    conn: Conn,
    tenant_id: str,
    invoice_id: str,
    now: datetime,
    *,
    credit: Money | None = None,
    refund: Money | None = None,
) -> None:
    """Its coupons and credits go back at once, and its prepaid credit as soon as can be. What is asked to be credited
    and refunded has notes of its own.

    Raises WithPayments among what `require_currency` and `require_voidable` raise, as the last.
    """
    invoice = await locked(conn, tenant_id, invoice_id)
    nothing = Money(0, invoice.bill.currency)
    back = GivenBack(credit or nothing, refund or nothing)
    require_currency(invoice, back)
    credited = await store.credit_notes.credited(conn, tenant_id, invoice_id)
    require_voidable(invoice, await store.credit_notes.of_invoice(conn, tenant_id, invoice_id), credited, back)
    if invoice.unpaid.minor_units:
        require_not_collected(invoice)
    cause, left = f"void/{invoice_id}", back.credit + back.refund
    if (refunded := note_of(invoice, credited, Kind.REFUND, back.refund)) is not None:
        left -= drafted(invoice, credited, refunded).total
        await note(conn, tenant_id, cause, refunded, now)
        credited = await store.credit_notes.credited(conn, tenant_id, invoice_id)
    if (credit_note := note_of(invoice, credited, Kind.CREDIT, left)) is not None:
        await note(conn, tenant_id, cause, credit_note, now)
    await store.discounts.give_back(conn, tenant_id, invoice_id)
    await store.balances.give_back(conn, tenant_id, invoice_id)
    await store.prepaid.ask_back(conn, tenant_id, invoice_id, now)
    await store.invoices.void(conn, tenant_id, invoice_id)
    await book_void(conn, tenant_id, invoice_id, now)
