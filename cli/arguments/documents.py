"""What `weir invoices`, `weir credit-notes` and `weir customers` have of documents."""

from pathlib import Path
from typing import Annotated

import typer

from cli.arguments.billing import Invoice, invoices
from cli.arguments.credit_notes import credit_notes
from cli.arguments.options import Data, execute

Note = Annotated[str, typer.Argument(metavar="NUMBER_OR_ID")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output."),
]


def add_to(root: typer.Typer) -> None:
    """They are commands of others."""


@invoices.command("pdf")
def invoices_pdf(data: Data, invoice: Invoice, output: Output = None) -> None:
    """Write an invoice as PDF."""
    from cli.commands.documents import write_invoice

    execute(write_invoice(data, invoice, "pdf", output))


@credit_notes.command("pdf")
def credit_notes_pdf(data: Data, note: Note, output: Output = None) -> None:
    """Write a credit note as PDF."""
    from cli.commands.documents import write_credit_note

    execute(write_credit_note(data, note, "pdf", output))
