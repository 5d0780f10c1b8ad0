"""`weir export invoices` and the like: rows to a file, in constant memory.

Rows go to FILE.part, and FILE.progress says how much of it is whole, so that an export that was cut off can go on.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from google.type.date_pb2 import Date
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.connection import Connection, connected_to
from cli.errors import CliError, WrongUsage
from cli.output import console, progress_console
from libs.common.rpc.client import typed_errors
from weir.invoicing.v1.exports_pb2 import (
    EXPORT_FORMAT_CSV,
    EXPORT_FORMAT_JSON_LINES,
    Dataset,
    ExportColumn,
    ExportRowsRequest,
    ExportRowsResponse,
)


@dataclass(slots=True)
class Progressed:
    """Of an export: the question, how many bytes of the part are whole, and where to go on."""

    question: str
    size: int = 0
    rows: int = 0
    resume_token: str = ""


async def export_rows(data: Path, dataset: str, file: Path, how: str, start: str, end: str, *, resume: bool) -> None:
    request = ExportRowsRequest(
        dataset=Dataset.Value(f"DATASET_{dataset.upper()}"),
        format=EXPORT_FORMAT_JSON_LINES if how == "jsonl" else EXPORT_FORMAT_CSV,
        start_date=_day(start, "--from"),
        end_date=_day(end, "--to"),
    )
    begin = monotonic()
    part, notes = file.with_name(f"{file.name}.part"), file.with_name(f"{file.name}.progress")
    progress = _progress(notes, f"{dataset} {how} {start} {end}", resume=resume)
    async with connected_to(data) as services:
        with part.open("r+b" if progress.size else "wb") as out:
            out.truncate(progress.size)
            out.seek(progress.size)
            columns = await _receive(services, request, out, progress, notes)
    if how == "parquet":
        _to_parquet(part, file, columns)
        part.unlink()
    else:
        part.replace(file)
    notes.unlink(missing_ok=True)
    seconds = monotonic() - begin
    console.print(f"Wrote {progress.rows:,} rows to {file} in {seconds:.1f} s.", markup=False, soft_wrap=True)


async def _receive(
    services: Connection, request: ExportRowsRequest, out: BinaryIO, progress: Progressed, notes: Path
) -> list[ExportColumn]:
    columns: list[ExportColumn] = []
    request.resume_token = progress.resume_token
    with _shown() as bar:
        task = bar.add_task("")
        async for answer in _answers(services, request):
            if answer.columns:
                columns = list(answer.columns)
                if not progress.size and request.format == EXPORT_FORMAT_CSV:
                    out.write((",".join(each.name for each in columns) + "\n").encode())
            out.write(answer.rows)
            if answer.resume_token:
                progress.size, progress.resume_token = out.tell(), answer.resume_token
                progress.rows += answer.row_count
                out.flush()
                notes.write_text(json.dumps(asdict(progress)))
                bar.update(task, description=f"{progress.rows:,} rows")
    return columns


async def _answers(services: Connection, request: ExportRowsRequest) -> AsyncIterator[ExportRowsResponse]:
    with typed_errors():
        async for answer in services.exports.ExportRows(request):
            yield answer


def _shown() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=progress_console, transient=True, disable=not progress_console.is_terminal)


def _progress(notes: Path, question: str, *, resume: bool) -> Progressed:
    if not resume:
        return Progressed(question)
    try:
        found = Progressed(**json.loads(notes.read_text()))
    except FileNotFoundError:
        raise CliError(f"there is no {notes}: nothing was cut off that could go on") from None
    except (ValueError, TypeError):
        raise CliError(f"{notes} is damaged; export again without --resume") from None
    if found.question != question:
        raise WrongUsage(f"{notes} is of another export: {found.question}")
    return found


def _day(text: str, option: str) -> Date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise WrongUsage(f"{option}: {text!r} is not a day such as 2026-01-31") from None
    return Date(year=day.year, month=day.month, day=day.day)


def _to_parquet(part: Path, file: Path, columns: list[ExportColumn]) -> None:
    """Batch by batch. Amounts have the 4 digits after the point that some currencies need."""
    try:
        import pyarrow as arrow
        from pyarrow import csv, parquet
    except ImportError:
        raise WrongUsage("--format parquet needs pyarrow: install weir with the extra connectors") from None
    types = {
        ExportColumn.TYPE_INTEGER: arrow.int64(),
        ExportColumn.TYPE_DATE: arrow.date32(),
        ExportColumn.TYPE_TIME: arrow.timestamp("us", tz="UTC"),
        ExportColumn.TYPE_BOOLEAN: arrow.bool_(),
        ExportColumn.TYPE_DECIMAL: arrow.decimal128(38, 4),
    }
    schema = arrow.schema([(each.name, types.get(each.type, arrow.string())) for each in columns])
    if "unrounded_amount" in schema.names:
        schema = schema.set(schema.get_field_index("unrounded_amount"), arrow.field("unrounded_amount", arrow.string()))
    options = csv.ConvertOptions(column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False)
    whole = csv.ParseOptions(newlines_in_values=True)
    with (
        parquet.ParquetWriter(file, schema) as writer,
        csv.open_csv(part, parse_options=whole, convert_options=options) as batches,
    ):
        for batch in batches:
            writer.write_batch(batch)
