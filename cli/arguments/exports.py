"""`weir export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.arguments.options import Data, execute

export = typer.Typer(help="Write the catalog, or rows for other systems, to files.", invoke_without_command=True)


class Format(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


CatalogFile = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="FILE", help="Where to write; standard output if not given.")
]
RowsFile = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="Where to write.")]
First = Annotated[str, typer.Option("--from", metavar="DATE", help="The first day.")]
Until = Annotated[str, typer.Option("--to", metavar="DATE", help="The day after the last one.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an export that was cut off.")]
As = Annotated[Format, typer.Option("--format", help="How rows are written.")]


def add_to(root: typer.Typer) -> None:
    root.add_typer(export, name="export")


@export.callback()
def catalog(context: typer.Context, data: Data, file: CatalogFile = None) -> None:
    """Write the whole catalog as a file that `weir apply` takes, which changes nothing; or rows of what is named."""
    if context.invoked_subcommand is not None:
        return
    from cli.commands.catalog import export as write

    execute(write(data, file))


@export.command("invoices")
def invoices(
    data: Data, file: RowsFile, start: First = "", end: Until = "", how: As = Format.CSV, resume: Resume = False
) -> None:
    """A row for each finalized invoice."""
    _write(data, "invoices", file, how, start, end, resume=resume)


@export.command("lines")
def lines(
    data: Data, file: RowsFile, start: First = "", end: Until = "", how: As = Format.CSV, resume: Resume = False
) -> None:
    """A row for each line of finalized invoices."""
    _write(data, "invoice_lines", file, how, start, end, resume=resume)


@export.command("credit-notes")
def credit_notes(
    data: Data, file: RowsFile, start: First = "", end: Until = "", how: As = Format.CSV, resume: Resume = False
) -> None:
    """A row for each credit note."""
    _write(data, "credit_notes", file, how, start, end, resume=resume)


@export.command("journal")
def journal(
    data: Data, file: RowsFile, start: First = "", end: Until = "", how: As = Format.CSV, resume: Resume = False
) -> None:
    """A row for each leg of a booking in the ledger."""
    _write(data, "journal", file, how, start, end, resume=resume)


def _write(data: Path, dataset: str, file: Path, how: Format, start: str, end: str, *, resume: bool) -> None:
    from cli.commands.exports import export_rows

    execute(export_rows(data, dataset, file, how, start, end, resume=resume))
