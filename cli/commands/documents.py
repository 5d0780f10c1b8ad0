"""Documents as files."""

import sys
from pathlib import Path

from cli.commands.credit_notes import find_note
from cli.commands.invoices import find_invoice
from cli.connection import connected_to
from cli.errors import CliError
from cli.output import console
from weir.invoicing.v1.documents_pb2 import Document, GetDocumentRequest

STANDARD_OUTPUT = Path("-")


async def write_invoice(data: Path, number_or_id: str, form: str, output: Path | None) -> None:
    async with connected_to(data) as services:
        found = await find_invoice(services, number_or_id)
        request = GetDocumentRequest(kind=Document.KIND_INVOICE, id=found.id, format=_format(form))
        document = (await services.documents.GetDocument(request)).document
    _write(document, output)


async def write_credit_note(data: Path, number_or_id: str, form: str, output: Path | None) -> None:
    async with connected_to(data) as services:
        found = await find_note(services, number_or_id)
        request = GetDocumentRequest(kind=Document.KIND_CREDIT_NOTE, id=found.id, format=_format(form))
        document = (await services.documents.GetDocument(request)).document
    _write(document, output)


def _format(form: str) -> Document.Format.ValueType:
    return Document.Format.Value(f"FORMAT_{form.upper()}")


def _write(document: Document, output: Path | None) -> None:
    if output == STANDARD_OUTPUT:
        sys.stdout.buffer.write(document.contents)
        return
    path = output or Path(document.file_name)
    try:
        path.write_bytes(document.contents)
    except OSError as error:
        raise CliError(f"{path} can't be written: {error.strerror}") from None
    console.print(f"{path}: {len(document.contents):,} bytes, SHA-256 {document.sha256}", markup=False)
