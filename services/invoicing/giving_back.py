"""What is given back by itself: notes that a bill or a change of a subscription makes, in its own transaction."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from libs.common.money import Money
from libs.common.postgres import Conn
from services.invoicing import crediting, store
from services.invoicing.domain.balance import Balance
from services.invoicing.domain.credit_note import Credited, Item, Kind, NoteRequest, Reason
from services.invoicing.domain.drafted_note import NothingToCredit, drafted, require_owed
from services.invoicing.domain.invoice import Invoice, State
from services.invoicing.domain.line import LineKind
from services.invoicing.domain.phase import UnusedFee
from services.invoicing.domain.subscription import Subscription
from services.invoicing.domain.unused_fee import split, unused_amount, unused_days

_REQUESTS = uuid.UUID("3f0c3a53-27b5-4d3e-8d7d-0d8a1d6f5a10")
UNUSED = "Days paid in advance that are not used"


async def note(conn: Conn, tenant_id: str, cause: str, asked: NoteRequest, now: datetime) -> None:
    """Make the note, once for a `cause` and invoice; none where coupons left nothing to give back. An offset of what
    payments has is made by a sweep.
    """
    kind = "" if asked.kind is Kind.CREDIT else f"/{asked.kind}"
    request_id = uuid.uuid5(_REQUESTS, f"{tenant_id}/{cause}/{asked.invoice_id}{kind}")
    try:
        await crediting.created(conn, tenant_id, asked, request_id, request_id.bytes, now)
    except NothingToCredit:
        return
    except crediting.WithPayments:
        await store.waiting_offsets.insert(conn, tenant_id, request_id, asked)


async def is_fee_final(conn: Conn, tenant_id: str, before: Subscription, after: Subscription) -> bool:
    """Whether no invoice is a draft still that charged days that are to be given back; a draft is not for long,
    whatever its grace period.
    """
    if (unused := unused_days(before, after)) is None:
        return True
    invoices = [
        await store.invoices.get(conn, tenant_id, each)
        for each in await store.lines.fees_of(conn, tenant_id, before.id, before.phase_number, unused)
    ]
    drafts = [each for each in invoices if each is not None and each.state is State.DRAFT]
    for each in drafts:
        await store.refreshes.end_grace(conn, tenant_id, each.id, each.due_time)
    return not drafts


async def unused_fees(conn: Conn, tenant_id: str, before: Subscription, after: Subscription) -> list[NoteRequest]:
    """What to give back of the base fee of the phase that has ended from `before` to `after`, by invoice; nothing of
    one that is void. Raises FailedPrecondition INVOICE_NOT_FINALIZED.
    """
    if (unused := unused_days(before, after)) is None:
        return []
    asked: list[NoteRequest] = []
    for invoice_id in await store.lines.fees_of(conn, tenant_id, before.id, before.phase_number, unused):
        invoice = await store.invoices.lock(conn, tenant_id, invoice_id)
        if invoice is None or invoice.state is State.VOIDED:
            continue
        require_owed(invoice)
        credited = await store.credit_notes.credited(conn, tenant_id, invoice_id)
        amounts = {
            position: _capped(line.amount, unused_amount(line, unused, before), credited.lines.get(position, 0))
            for position, line in enumerate(invoice.bill.lines)
            if line.kind is LineKind.BASE_FEE and line.source and line.source.subscription_id == before.id
            if line.source.phase_number == before.phase_number
        }
        for each in _request(invoice_id, amounts):
            asked += _parts(each, invoice, credited, after.ending_of(before.phase))
    return asked


def _parts(asked: NoteRequest, invoice: Invoice, credited: Credited, way: UnusedFee) -> Iterator[NoteRequest]:
    """An offset against what is due of the invoice, or a refund of what was paid beyond the days that are used; and the
    rest credited.
    """

    def total_of(each: NoteRequest) -> Money:
        return drafted(invoice, credited, each).total

    if way is UnusedFee.CREDIT:
        yield asked
        return
    try:
        limit = invoice.unpaid
        if way is UnusedFee.REFUND:
            used = total_of(replace(asked, items=())) - total_of(asked)
            limit = invoice.amount_paid - Money(credited.refunded, used.currency) - used
        first, rest = split(asked, limit, total_of)
    except NothingToCredit:
        return
    if first is not None:
        yield replace(first, kind=Kind.REFUND if way is UnusedFee.REFUND else Kind.OFFSET)
    if rest is not None:
        yield rest


def _request(invoice_id: str, amounts: Mapping[int, Money]) -> list[NoteRequest]:
    items = tuple(Item(position, amount) for position, amount in amounts.items() if amount.minor_units > 0)
    return [NoteRequest(invoice_id, Kind.CREDIT, Reason.ORDER_CHANGE, UNUSED, items)] if items else []


def _capped(line: Money, unused: Money, credited: int) -> Money:
    return Money(min(unused.minor_units, line.minor_units - credited), line.currency)


async def give_back_unused(
    conn: Conn, tenant_id: str, before: Subscription, after: Subscription, now: datetime
) -> None:
    """Of the phase that has ended from `before` to `after`."""
    for asked in await unused_fees(conn, tenant_id, before, after):
        await note(conn, tenant_id, f"unused/{before.id}/{before.phase_number}", asked, now)


async def unused_balances(
    conn: Conn, tenant_id: str, steps: Sequence[tuple[Subscription, Subscription]]
) -> list[Balance]:
    """What the notes that these steps make will have for the customer's next invoices."""
    found = []
    for before, after in steps:
        for asked in await unused_fees(conn, tenant_id, before, after):
            if asked.kind is not Kind.CREDIT:
                continue
            with suppress(NothingToCredit):
                made = await crediting.estimated(conn, tenant_id, asked)
                found.append(Balance(made.number, made.number, made.customer_id, made.total))
    return found
