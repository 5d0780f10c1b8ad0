"""What `weir invoices`, `weir credit-notes` and `weir customers` have of documents."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.arguments.billing import Invoice, invoices
from cli.arguments.credit_notes import credit_notes
from cli.arguments.customers import Id, customers
from cli.arguments.options import Data, execute


class Format(StrEnum):
    PDF = "pdf"
    CII = "cii"
    UBL = "ubl"


Note = Annotated[str, typer.Argument(metavar="NUMBER_OR_ID")]
Form = Annotated[Format, typer.Option("--format", help="A PDF, or an e-invoice by EN 16931: CII or UBL 2.1.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output."),
]


def add_to(root: typer.Typer) -> None:
    """They are commands of others."""


@invoices.command("pdf")
def invoices_pdf(data: Data, invoice: Invoice, output: Output = None, form: Form = Format.PDF) -> None:
    """Write an invoice as PDF, which carries its e-invoice where it can, or the e-invoice alone."""
    from cli.commands.documents import write_invoice

    execute(write_invoice(data, invoice, form.name, output))


@invoices.command("receipt")
def invoices_receipt(data: Data, invoice: Invoice, output: Output = None) -> None:
    """Write what was paid of an invoice as PDF."""
    from cli.commands.documents import write_receipt

    execute(write_receipt(data, invoice, output))


@credit_notes.command("pdf")
def credit_notes_pdf(data: Data, note: Note, output: Output = None, form: Form = Format.PDF) -> None:
    """Write a credit note as PDF, which carries its e-invoice where it can, or the e-invoice alone."""
    from cli.commands.documents import write_credit_note

    execute(write_credit_note(data, note, form.name, output))


@customers.command("statement")
def customers_statement(
    data: Data,
    customer_id: Id,
    first_day: Annotated[datetime, typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="First day.")],
    last_day: Annotated[datetime, typer.Option("--to", metavar="DATE", formats=["%Y-%m-%d"], help="Last day.")],
    currency: Annotated[str, typer.Option(metavar="CODE", help="If the customer has invoices in several.")] = "",
    entity: Annotated[str, typer.Option(metavar="CODE", help="If not who bills the customer now.")] = "",
    output: Output = None,
) -> None:
    """Write a customer's statement of account as PDF."""
    from cli.commands.documents import write_statement

    execute(write_statement(data, customer_id, first_day.date(), last_day.date(), currency, entity, output))
