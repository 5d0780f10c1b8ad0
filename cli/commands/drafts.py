"""`weir invoices refresh`, `finalize` and `regenerate`."""

from pathlib import Path

from cli.commands.invoices import find_invoice, invoice_table
from cli.connection import connected_to, new_request_id
from cli.output import as_dict, print_json, print_whole
from weir.invoicing.v1.drafts_pb2 import FinalizeInvoiceRequest, RefreshInvoiceRequest, RegenerateInvoiceRequest
from weir.invoicing.v1.invoicing_pb2 import Invoice


async def refresh_invoice(data: Path, number_or_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await find_invoice(services, number_or_id)
        request = RefreshInvoiceRequest(request_id=new_request_id(), id=found.id)
        invoice = (await services.drafts.RefreshInvoice(request)).invoice
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
