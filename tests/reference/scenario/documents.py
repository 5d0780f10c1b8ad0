"""The steps that make, change or take back an invoice by itself."""

from typing import Any
from uuid import uuid4

from tests.reference.cases import Fields, Unsupported
from tests.reference.scenario.catalog import code_in
from tests.reference.scenario.stack import Clients
from weir.common.v1.money_pb2 import Money
from weir.invoicing.v1 import credit_notes_pb2, drafts_pb2, invoicing_pb2
from weir.invoicing.v1.credit_notes_pb2 import CreditNote
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.invoicing.v1.one_offs_pb2 import CreateOneOffInvoiceRequest, OneOffItem


async def invoice_named(clients: Clients, which: Any) -> Invoice:
    """The first or the last one that was made."""
    found = (await clients.invoicing.ListInvoices(invoicing_pb2.ListInvoicesRequest(page_size=500))).invoices
    return found[{"first": -1, "last": 0}[which]]


async def create_one_off_invoice(clients: Clients, fields: Fields, customer_id: str) -> None:
    taxes = [code_in(each) for each in fields.take("taxes") or []]
    items = [OneOffItem(add_on_code=code_in(each), tax_codes=taxes) for each in fields.take("add_ons")]
    request = CreateOneOffInvoiceRequest(request_id=str(uuid4()), customer_id=customer_id, items=items)
    await clients.one_offs.CreateOneOffInvoice(request)


async def create_credit_note(clients: Clients, fields: Fields) -> None:
    """Of the last invoice; a credit or a refund."""
    invoice = await invoice_named(clients, "last")
    credit, refund = fields.take("credit_amount_cents"), fields.take("refund_amount_cents")
    if credit and refund:
        raise Unsupported(f"{fields.path}: a note that is both a credit and a refund")
    numbers = {line.code: line.number for line in invoice.lines}
    items = [
        credit_notes_pb2.CreditNoteItem(
            line_number=numbers[code_in(each["fee"])],
            amount=Money(currency_code=invoice.currency_code, minor_units=each["amount_cents"]),
        )
        for each in fields.take("items")
    ]
    note = CreditNote(
        invoice_id=invoice.id, kind=CreditNote.KIND_REFUND if refund else CreditNote.KIND_CREDIT, items=items
    )
    request = credit_notes_pb2.CreateCreditNoteRequest(request_id=str(uuid4()), credit_note=note)
    await clients.credit_notes.CreateCreditNote(request)


async def refresh_invoice(clients: Clients, fields: Fields) -> None:
    invoice = await invoice_named(clients, fields.take("invoice"))
    await clients.drafts.RefreshInvoice(drafts_pb2.RefreshInvoiceRequest(request_id=str(uuid4()), id=invoice.id))


async def finalize_invoice(clients: Clients, fields: Fields) -> None:
    """Nothing where that is done: days that are given back of a draft end its grace period."""
    invoice = await invoice_named(clients, fields.take("invoice"))
    if invoice.state == Invoice.STATE_DRAFT:
        await clients.drafts.FinalizeInvoice(drafts_pb2.FinalizeInvoiceRequest(request_id=str(uuid4()), id=invoice.id))


async def adjust_fee(clients: Clients, fields: Fields, charge_code: str) -> None:
    """That of the only charge, also where it was not used."""
    invoice = await invoice_named(clients, fields.take("invoice"))
    if (fee := fields.take("fee")) != "charge":
        raise Unsupported(f"{fields.path}.fee {fee!r}")
    request = drafts_pb2.AdjustLineRequest(
        request_id=str(uuid4()),
        invoice_id=invoice.id,
        line_code=charge_code,
        units=str(fields.take("units")),
        unit_amount=fields.take("unit_precise_amount"),
        description=fields.take("invoice_display_name", ""),
    )
    await clients.drafts.AdjustLine(request)


async def void_invoice(clients: Clients, fields: Fields) -> None:
    invoice = await invoice_named(clients, fields.take("invoice"))
    request = invoicing_pb2.VoidInvoiceRequest(request_id=str(uuid4()), id=invoice.id)
    if fields.take("generate_credit_note", False):
        currency = invoice.total.currency_code
        for name in ("credit_amount", "refund_amount"):
            amount = Money(currency_code=currency, minor_units=fields.take(f"{name}_cents", 0))
            getattr(request, name).CopyFrom(amount)
    await clients.invoicing.VoidInvoice(request)
