"""Documents as files."""

import sys
from datetime import date
from pathlib import Path

from google.type import date_pb2

from cli.commands.credit_notes import find_note
from cli.commands.invoices import find_invoice
from cli.connection import Connection, connected_to
from cli.errors import CliError
from cli.output import console
from weir.invoicing.v1.documents_pb2 import Document, GetDocumentRequest, GetStatementRequest

STANDARD_OUTPUT = Path("-")


async def write_invoice(data: Path, number_or_id: str, form: str, output: Path | None) -> None:
    async with connected_to(data) as services:
        invoice = await find_invoice(services, number_or_id)
        document = await _document(services, Document.KIND_INVOICE, invoice.id, form)
    _write(document, output)


async def write_receipt(data: Path, number_or_id: str, output: Path | None) -> None:
    async with connected_to(data) as services:
        invoice = await find_invoice(services, number_or_id)
        document = await _document(services, Document.KIND_RECEIPT, invoice.id, "PDF")
    _write(document, output)


async def write_credit_note(data: Path, number_or_id: str, form: str, output: Path | None) -> None:
    async with connected_to(data) as services:
        note = await find_note(services, number_or_id)
        document = await _document(services, Document.KIND_CREDIT_NOTE, note.id, form)
    _write(document, output)


async def write_statement(
    data: Path, customer_id: str, first_day: date, last_day: date, currency: str, entity: str, output: Path | None
) -> None:
    request = GetStatementRequest(
        customer_id=customer_id,
        first_day=_date(first_day),
        last_day=_date(last_day),
        currency_code=currency,
        legal_entity_code=entity,
    )
    async with connected_to(data) as services:
        document = (await services.documents.GetStatement(request)).document
    _write(document, output)


async def _document(services: Connection, kind: Document.Kind.ValueType, of: str, form: str) -> Document:
    request = GetDocumentRequest(kind=kind, id=of, format=Document.Format.Value(f"FORMAT_{form}"))
    return (await services.documents.GetDocument(request)).document


def _date(day: date) -> date_pb2.Date:
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


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
