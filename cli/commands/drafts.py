"""`weir invoices refresh`, `adjust`, `reset`, `finalize` and `regenerate`."""

from pathlib import Path

from cli.commands.invoices import find_invoice, invoice_table
from cli.connection import connected_to, new_request_id
from cli.errors import WrongUsage
from cli.output import as_dict, print_json, print_whole
from weir.invoicing.v1.drafts_pb2 import (
    AdjustLineRequest,
    FinalizeInvoiceRequest,
    RefreshInvoiceRequest,
    RegenerateInvoiceRequest,
    ResetLineRequest,
)
from weir.invoicing.v1.invoicing_pb2 import Invoice


async def refresh_invoice(data: Path, number_or_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await find_invoice(services, number_or_id)
        request = RefreshInvoiceRequest(request_id=new_request_id(), id=found.id)
        invoice = (await services.drafts.RefreshInvoice(request)).invoice
    show(invoice, as_json=as_json)


async def adjust_line(
    data: Path, number_or_id: str, line: str, units: str, unit_amount: str, description: str, *, as_json: bool
) -> None:
    """Raises WrongUsage."""
    if not (units or unit_amount or description):
        raise WrongUsage("nothing to change: give at least one of --units, --amount and --description")
    async with connected_to(data) as services:
        found = await find_invoice(services, number_or_id)
        code, number = _line(line)
        request = AdjustLineRequest(
            request_id=new_request_id(),
            invoice_id=found.id,
            line_code=code,
            line_number=number,
            units=units,
            unit_amount=unit_amount,
            description=description,
        )
        invoice = (await services.drafts.AdjustLine(request)).invoice
    show(invoice, as_json=as_json)


async def reset_line(data: Path, number_or_id: str, line: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await find_invoice(services, number_or_id)
        code, number = _line(line)
        request = ResetLineRequest(request_id=new_request_id(), invoice_id=found.id, line_code=code, line_number=number)
        invoice = (await services.drafts.ResetLine(request)).invoice
    show(invoice, as_json=as_json)


async def regenerate_invoice(data: Path, number_or_id: str, *, as_draft: bool, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await find_invoice(services, number_or_id)
        request = RegenerateInvoiceRequest(request_id=new_request_id(), id=found.id, as_draft=as_draft)
        invoice = (await services.drafts.RegenerateInvoice(request)).invoice
    show(invoice, as_json=as_json)


async def finalize_invoice(data: Path, number_or_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await find_invoice(services, number_or_id)
        request = FinalizeInvoiceRequest(request_id=new_request_id(), id=found.id)
        invoice = (await services.drafts.FinalizeInvoice(request)).invoice
    show(invoice, as_json=as_json)


def show(invoice: Invoice, *, as_json: bool) -> None:
    if as_json:
        print_json({"invoice": as_dict(invoice)})
    else:
        print_whole(invoice_table(invoice))


def _line(typed: str) -> tuple[str, int]:
    """Its code or its number. A code begins with a letter."""
    return ("", int(typed)) if typed.isdecimal() else (typed, 0)
