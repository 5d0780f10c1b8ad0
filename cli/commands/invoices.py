"""`weir invoices`."""

from datetime import date
from decimal import Decimal
from pathlib import Path

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.commands.typed import typed_amount
from cli.connection import Connection, connected_to, new_request_id, pages
from cli.errors import CliError
from cli.output import (
    amount,
    as_dict,
    console,
    period,
    print_json,
    print_list,
    print_table,
    print_whole,
    quantity,
    state,
    table,
)
from libs.common.wire import money_out
from weir.invoicing.v1.invoicing_pb2 import (
    ExplainLineRequest,
    ExplainLineResponse,
    GetInvoiceRequest,
    Invoice,
    InvoiceLine,
    ListInvoicesRequest,
    PreviewInvoiceRequest,
    ReplayInvoiceRequest,
    VoidInvoiceRequest,
)
from weir.invoicing.v1.lines_pb2 import ListInvoiceLinesRequest

ID_PREFIX = "inv_"
_ADDITIONS = {InvoiceLine.KIND_FIXED_CHARGE, InvoiceLine.KIND_ADVANCE_USAGE}
"""Lines that bill what came to a quantity that was there before."""


def wanted(customer: str, subscription: str, in_state: str, payment: str, *, overdue: bool) -> ListInvoicesRequest:
    request = ListInvoicesRequest(customer_id=customer, subscription_id=subscription, payment_overdue=overdue)
    if in_state:
        request.state = Invoice.State.Value(f"STATE_{in_state.upper()}")
    if payment:
        request.payment_status = Invoice.PaymentStatus.Value(f"PAYMENT_STATUS_{payment.upper().replace('-', '_')}")
    return request


def _at(asked: ListInvoicesRequest, token: str) -> ListInvoicesRequest:
    asked.page_token = token
    return asked


async def list_invoices(data: Path, asked: ListInvoicesRequest, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(lambda token: services.invoicing.ListInvoices(_at(asked, token)), "invoices")
    if as_json:
        print_list("invoices", found)
        return
    rows = [
        (
            each.number or "-",
            each.customer_id,
            _issue_date(each),
            period(each.period),
            amount(each.total),
            state(Invoice.State, each.state),
            state(Invoice.PaymentStatus, each.payment_status),
            each.id,
        )
        for each in found
    ]
    columns = ("number", "customer", "issued", "period", ">total", "state", "payment", "id")
    print_table(columns, rows, nothing="No invoices yet.")


async def show_invoice(data: Path, number_or_id: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        invoice = await find_invoice(services, number_or_id)
    if as_json:
        print_json({"invoice": as_dict(invoice)})
        return
    print_whole(invoice_table(invoice))


async def explain_invoice(data: Path, number_or_id: str, line: str, *, as_json: bool) -> int:
    async with connected_to(data) as services:
        invoice = await find_invoice(services, number_or_id)
        numbers = [each.number for each in invoice.lines if line in ("", each.code, str(each.number))]
        if not numbers:
            raise CliError(f"invoice {number_or_id} has no line {line}")
        explained = [
            await services.invoicing.ExplainLine(ExplainLineRequest(invoice_id=invoice.id, line_number=number))
            for number in numbers
        ]
    if as_json:
        print_json({"invoice_id": invoice.id, "number": invoice.number, "lines": [as_dict(each) for each in explained]})
    else:
        console.print(f"Invoice {invoice.number or invoice.id} of {invoice.customer_id}\n")
        for each in explained:
            _print_explanation(each)
    return 0 if all(each.reproduced for each in explained) else 1


async def replay_invoice(data: Path, number_or_id: str, *, as_json: bool) -> int:
    async with connected_to(data) as services:
        invoice = await find_invoice(services, number_or_id)
        replayed = await services.invoicing.ReplayInvoice(ReplayInvoiceRequest(id=invoice.id))
    if as_json:
        print_json({"invoice_id": invoice.id, "number": invoice.number} | as_dict(replayed))
    else:
        for each in replayed.differences:
            billed, again = amount(each.line.amount), amount(each.recomputed_amount)
            console.print(
                f"{each.line.number}. {each.line.description}: {billed}, computed again {again}", markup=False
            )
        verdict = "as billed" if replayed.reproduced else f"billed {amount(invoice.total)}. A DEFECT"
        console.print(f"Computed again: {amount(replayed.recomputed_total)}, {verdict}.", markup=False)
    return 0 if replayed.reproduced else 1


async def preview_invoice(data: Path, subscription_id: str, *, as_json: bool) -> None:
    request = PreviewInvoiceRequest(subscription_id=subscription_id)
    async with connected_to(data) as services:
        invoice = (await services.invoicing.PreviewInvoice(request)).invoice
    if as_json:
        print_json({"invoice": as_dict(invoice)})
    else:
        print_whole(invoice_table(invoice))


async def void_invoice(data: Path, number_or_id: str, credit: str, refund: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await find_invoice(services, number_or_id)
        request = VoidInvoiceRequest(request_id=new_request_id(), id=found.id)
        currency = found.total.currency_code
        for name, text in (("credit_amount", credit), ("refund_amount", refund)):
            if text:
                getattr(request, name).CopyFrom(money_out(typed_amount(text, currency)))
        invoice = (await services.invoicing.VoidInvoice(request)).invoice
    if as_json:
        print_json({"invoice": as_dict(invoice)})
        return
    console.print(f"Invoice {invoice.number} over {amount(invoice.total)} is void.", markup=False)
    for each in invoice.credits:
        console.print(f"{amount(each.amount)} went back to credit note {each.credit_note_number}.", markup=False)


async def find_invoice(services: Connection, number_or_id: str) -> Invoice:
    """The invoice with all its lines."""
    if number_or_id.startswith(ID_PREFIX):
        invoice = (await services.invoicing.GetInvoice(GetInvoiceRequest(id=number_or_id))).invoice
    else:
        found = (await services.invoicing.ListInvoices(ListInvoicesRequest(number=number_or_id))).invoices
        if not found:
            raise CliError(f"there is no invoice with the number {number_or_id}")
        invoice = found[0]
    if invoice.line_count > len(invoice.lines):
        lines = await pages(
            lambda token: services.invoice_lines.ListInvoiceLines(
                ListInvoiceLinesRequest(invoice_id=invoice.id, page_size=500, page_token=token)
            ),
            "lines",
        )
        del invoice.lines[:]
        invoice.lines.extend(lines)
    return invoice


def invoice_table(invoice: Invoice) -> Table:
    """An invoice for people: its lines, what they add up to, and how its payment stands."""
    named = [invoice.number or invoice.id or "preview", invoice.customer_id]
    if invoice.HasField("period"):
        named.append(period(invoice.period))
    rows = [(each.code, _quantity(each), each.description, amount(each.amount)) for each in invoice.lines]
    rows.append(("", "", "subtotal", amount(invoice.subtotal)))
    rows += [("", "", f"coupon {each.name}", amount(each.amount, -1)) for each in invoice.discounts]
    rows += [
        ("", "", f"{tax.name} {tax.rate_percent} % of {amount(tax.taxable)}", amount(tax.amount))
        for tax in invoice.taxes
        if not tax.included
    ]
    rows += [
        ("", "", f"contains {tax.name} {tax.rate_percent} % of {amount(tax.taxable)}: {amount(tax.amount)}", "")
        for tax in invoice.taxes
        if tax.included
    ]
    payment = state(Invoice.PaymentStatus, invoice.payment_status)
    rows.append(("", "", f"total ({state(Invoice.State, invoice.state)}, payment {payment})", amount(invoice.total)))
    rows += [("", "", f"credit note {each.credit_note_number}", amount(each.amount, -1)) for each in invoice.credits]
    if invoice.prepaid.minor_units:
        rows.append(("", "", "prepaid credit", amount(invoice.prepaid, -1)))
    if invoice.offset.minor_units:
        rows.append(("", "", "offset", amount(invoice.offset, -1)))
    if invoice.amount_due != invoice.total:
        rows.append(("", "", "amount due", amount(invoice.amount_due)))
    return table(("line", ">quantity", "", ">amount"), rows, title="   ".join(named))


def _quantity(line: InvoiceLine) -> str:
    if line.units:
        return quantity(line.units)
    if line.HasField("proration"):
        return f"{line.proration.days} of {line.proration.period_days} days"
    if line.kind in _ADDITIONS:
        added = Decimal(line.rating.quantity) - Decimal(line.rating.quantity_before or 0)
        return f"{max(added, Decimal(0)):,f}"
    return quantity(line.rating.quantity)


def _print_explanation(explained: ExplainLineResponse) -> None:
    line = explained.line
    console.print(f"{line.number}. {line.description}: {amount(line.amount)}", style="bold", markup=False)
    for sentence in explained.sentences:
        console.print(Padding(Text(sentence), (0, 0, 0, 2)))
    again = amount(explained.recomputed_amount)
    verdict = (
        f"  Computed again: {again}, as billed." if explained.reproduced else f"  Computed again: {again}. A DEFECT."
    )
    console.print(verdict + "\n", style="green" if explained.reproduced else "bold red")


def _issue_date(invoice: Invoice) -> str:
    if not invoice.HasField("issue_date"):
        return "-"
    return date(invoice.issue_date.year, invoice.issue_date.month, invoice.issue_date.day).isoformat()
