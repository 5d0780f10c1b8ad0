"""`weir credit-notes`."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from cli.commands.invoices import find_invoice
from cli.connection import Connection, connected_to, new_request_id, pages
from cli.errors import CliError
from cli.output import amount, as_dict, console, print_json, print_list, print_table, print_whole, state, table
from libs.common.money import Money
from libs.common.wire import money_out
from weir.invoicing.v1.credit_notes_pb2 import (
    CreateCreditNoteRequest,
    CreditNote,
    CreditNoteItem,
    EstimateCreditNoteRequest,
    GetCreditNoteRequest,
    ListCreditNotesRequest,
    VoidCreditNoteRequest,
)
from weir.invoicing.v1.invoicing_pb2 import Invoice

ID_PREFIX = "cn_"


async def create_credit_note(
    data: Path, invoice: str, items: Sequence[str], kind: str, reason: str, description: str, *, as_json: bool
) -> None:
    async with connected_to(data) as services:
        wanted = _wanted(await find_invoice(services, invoice), items, kind)
        wanted.reason, wanted.description = CreditNote.Reason.Value(f"REASON_{reason}"), description
        request = CreateCreditNoteRequest(request_id=new_request_id(), credit_note=wanted)
        note = (await services.credit_notes.CreateCreditNote(request)).credit_note
    _print(note, as_json=as_json)


async def estimate_credit_note(data: Path, invoice: str, items: Sequence[str], kind: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        wanted = _wanted(await find_invoice(services, invoice), items, kind)
        request = EstimateCreditNoteRequest(credit_note=wanted)
        note = (await services.credit_notes.EstimateCreditNote(request)).credit_note
    _print(note, as_json=as_json)


async def list_credit_notes(data: Path, customer: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.credit_notes.ListCreditNotes(
                ListCreditNotesRequest(page_token=token, customer_id=customer)
            ),
            "credit_notes",
        )
    if as_json:
        print_list("credit_notes", found)
        return
    rows = [
        (
            each.number,
            each.customer_id,
            state(CreditNote.Kind, each.kind),
            amount(each.total),
            amount(each.balance),
            state(CreditNote.State, each.state),
            each.id,
        )
        for each in found
    ]
    columns = ("number", "customer", "kind", ">total", ">balance", "state", "id")
    print_table(columns, rows, nothing="No credit notes yet.")


async def void_credit_note(data: Path, number_or_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await find_note(services, number_or_id)
        request = VoidCreditNoteRequest(request_id=new_request_id(), id=found.id)
        note = (await services.credit_notes.VoidCreditNote(request)).credit_note
    if as_json:
        print_json({"credit_note": as_dict(note)})
    else:
        console.print(f"{amount(found.balance)} of credit note {note.number} are void.", markup=False)


async def find_note(services: Connection, number_or_id: str) -> CreditNote:
    if number_or_id.startswith(ID_PREFIX):
        return (await services.credit_notes.GetCreditNote(GetCreditNoteRequest(id=number_or_id))).credit_note
    request = ListCreditNotesRequest(number=number_or_id)
    if not (found := (await services.credit_notes.ListCreditNotes(request)).credit_notes):
        raise CliError(f"there is no credit note with the number {number_or_id}")
    return found[0]


def _wanted(invoice: Invoice, items: Sequence[str], kind: str) -> CreditNote:
    return CreditNote(
        invoice_id=invoice.id,
        kind=CreditNote.Kind.Value(f"KIND_{kind}"),
        items=[_item(each, invoice.currency_code) for each in items],
    )


def _item(text: str, currency: str) -> CreditNoteItem:
    """Of "2" or "2=12.50"."""
    line, _, value = text.partition("=")
    try:
        item = CreditNoteItem(line_number=int(line))
        if value:
            credited = Money.rounded(Decimal(value), currency)
            if credited.amount != Decimal(value):
                raise CliError(f"{text}: {currency} has no such fractions")
            item.amount.CopyFrom(money_out(credited))
    except (ValueError, InvalidOperation):
        raise CliError(f"{text} is neither a line's number nor LINE=AMOUNT") from None
    return item


def _print(note: CreditNote, *, as_json: bool) -> None:
    if as_json:
        print_json({"credit_note": as_dict(note)})
        return
    rows = [(str(each.line_number), "", amount(each.amount)) for each in note.items]
    rows.append(("", "subtotal", amount(note.subtotal)))
    if note.discount.minor_units:
        rows.append(("", "coupons took off", amount(note.discount, -1)))
    rows += [
        ("", f"{tax.name} {tax.rate_percent} % of {amount(tax.taxable)}", amount(tax.amount))
        for tax in note.taxes
        if not tax.included
    ]
    rows.append(("", f"total ({state(CreditNote.Kind, note.kind)})", amount(note.total)))
    print_whole(table(("line", "", ">amount"), rows, title=f"{note.number or 'estimate'}   {note.customer_id}"))
