"""What was billed for usage that has become less is given back, in the transaction that bills the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing import store
from services.invoicing.domain.credit_note import Credited, Item, Kind, NoteRequest, Reason
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.late_usage import Correction, credited
from services.invoicing.domain.line import LineKind
from services.invoicing.domain.progressive import net
from services.invoicing.giving_back import note
from services.invoicing.slices import key_of

DESCRIPTION = "Usage that was billed has become less, or counts towards the minimum commitment"


async def are_final(conn: Conn, tenant_id: str, corrections: Iterable[Correction]) -> bool:
    """Whether every invoice that they concern is finalized; a draft is soon, whatever its grace period."""
    for each in corrections:
        for invoice_id in await store.lines.invoices_of(conn, tenant_id, each.source, each.period):
            invoice = await store.invoices.get(conn, tenant_id, invoice_id)
            if invoice is not None and invoice.state is State.DRAFT:
                await store.refreshes.end_grace(conn, tenant_id, invoice_id, invoice.due_time)
                return False
    return True


async def give_back(
    conn: Conn, tenant_id: str, corrections: Sequence[Correction], due_time: datetime, now: datetime
) -> None:
    """Credit notes of the invoices that billed what is corrected, as far as something is left of their lines.
    Nothing is owed back of a void invoice. `due_time` is when the subscription was found to be due.
    """
    amounts: dict[str, dict[int, int]] = {}
    for each in corrections:
        left = each.amount.minor_units
        for invoice_id in await store.lines.invoices_of(conn, tenant_id, each.source, each.period):
            invoice = await store.invoices.lock(conn, tenant_id, invoice_id)
            if invoice is None or invoice.state is not State.FINALIZED or not left:
                continue
            notes = await store.credit_notes.credited(conn, tenant_id, invoice_id)
            taken = amounts.setdefault(invoice_id, {})
            for position, amount in _credited(invoice, notes, taken, each, left):
                taken[position] = taken.get(position, 0) + amount
                left -= amount
    for invoice_id, items in amounts.items():
        if items:
            await _note(conn, tenant_id, invoice_id, items, due_time, now)


def _credited(
    invoice: Invoice, notes: Credited, taken: dict[int, int], correction: Correction, left: int
) -> list[tuple[int, int]]:
    lines = invoice.bill.lines
    rest = invoice.bill.subtotal.minor_units - sum(notes.lines.values()) - sum(taken.values())
    wanted = replace(correction, amount=Money(min(left, max(rest, 0)), invoice.bill.currency))
    kinds = (LineKind.USAGE, LineKind.LATE_USAGE, LineKind.COMMITMENT)
    usage = [i for i, line in enumerate(lines) if line.kind in kinds]
    noted = {i: Money(notes.lines.get(i, 0) + taken.get(i, 0), invoice.bill.currency) for i in usage}
    billed = [(lines[i], net(lines[i], lines, key_of) - noted[i]) for i in usage]
    return [(usage[at], amount.minor_units) for at, amount in credited(wanted, billed, key_of)]


async def _note(
    conn: Conn, tenant_id: str, invoice_id: str, items: dict[int, int], due_time: datetime, now: datetime
) -> None:
    invoice = await store.invoices.get(conn, tenant_id, invoice_id)
    assert invoice is not None, "it is locked"
    asked = NoteRequest(
        invoice_id=invoice_id,
        kind=Kind.CREDIT,
        reason=Reason.OTHER,
        description=DESCRIPTION,
        items=tuple(Item(i, Money(amount, invoice.bill.currency)) for i, amount in sorted(items.items())),
    )
    await note(conn, tenant_id, f"late/{due_time.isoformat()}", asked, now)
