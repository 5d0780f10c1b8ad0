"""Files as records: newline-delimited JSON, CSV and Parquet, gzipped or not. pyarrow is imported only for Parquet."""

import base64
import csv
import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO, Any, cast

from services.metering.connectors.records import Record, Value

MAX_LINE_BYTES = 4 * 1024 * 1024
PARQUET_ROWS = 1_000

Open = Callable[[], IO[bytes]]


def format_of(name: str) -> str | None:
    """By the name's ending: ndjson, csv or parquet."""
    stem = name.lower().removesuffix(".gz")
    for form, endings in ENDINGS.items():
        if stem.endswith(endings):
            return form
    return None


def records_in(stream: IO[bytes], name: str, form: str, delimiter: str) -> Iterator[Record]:
    """Each record of the object `name`, from the first on. Where it breaks off, the last one says why.

    A record's position is the object's name and the record's number, from 1. What reading the stream itself raises, it
    raises.
    """
    number = 0
    metadata = {"object": name}
    try:
        plain = cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if name.lower().endswith(".gz") else stream
        for number, (body, problem) in enumerate(_READERS[form](plain, delimiter), 1):
            yield Record(f"{name}#{number}", body, metadata, problem)
    except (gzip.BadGzipFile, EOFError, zlib.error, Broken) as error:
        yield Record(f"{name}#{number + 1}", b"", metadata, f"the object can't be read on: {error}")


class Broken(Exception):
    """The object is not of its format."""


Row = tuple["bytes | dict[str, Value]", str]


def _lines(stream: IO[bytes], _delimiter: str) -> Iterator[Row]:
    while line := stream.readline(MAX_LINE_BYTES):
        problem = ""
        while not line.endswith(b"\n") and (rest := stream.readline(MAX_LINE_BYTES)):
            problem = f"the line has more than {MAX_LINE_BYTES} bytes"
            if rest.endswith(b"\n"):
                break
        if line.strip() or problem:
            yield line.rstrip(b"\r\n"), problem


def _csv(stream: IO[bytes], delimiter: str) -> Iterator[Row]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _rows(csv.reader(text, delimiter=delimiter, strict=True))
    finally:
        text.detach()  # or it would close what is not its own


def _rows(rows: Any) -> Iterator[Row]:
    try:
        header: list[str] = next(rows, [])
    except csv.Error as error:
        raise Broken(f"the header is not CSV: {error}") from None
    if len(set(header)) < len(header):
        raise Broken(f"the header names a column twice: {', '.join(header)}")
    while True:
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield b"", f"line {rows.line_num}: {error}"
            continue
        if len(fields) == len(header):
            yield dict(zip(header, fields, strict=True)), ""
        elif fields:
            yield json.dumps(fields).encode(), f"the row has {len(fields)} fields, the header {len(header)}"


def _parquet(stream: IO[bytes], _delimiter: str) -> Iterator[Row]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    with tempfile.TemporaryFile() as seekable:
        if isinstance(stream, gzip.GzipFile) or not stream.seekable():
            shutil.copyfileobj(stream, seekable)
            seekable.seek(0)
            stream = seekable
        try:
            for batch in ParquetFile(stream).iter_batches(PARQUET_ROWS):
                for row in _in_microseconds(batch).to_pylist():
                    yield {name: _value(each) for name, each in row.items()}, ""
        except pyarrow.ArrowException as error:
            raise Broken(str(error)) from None


def _in_microseconds(batch: Any) -> Any:
    """The batch, its times cut to what datetime and events hold."""
    import pyarrow

    schema = pyarrow.schema(
        [
            each.with_type(pyarrow.timestamp("us", each.type.tz)) if pyarrow.types.is_timestamp(each.type) else each
            for each in batch.schema
        ]
    )
    return batch.cast(schema, safe=False)


def _value(value: Any) -> Value:
    """A Parquet value as JSON would say it. A binary float becomes the shortest decimal that stands for it."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return str(value)
        case float():
            return format(Decimal(repr(value)), "f")
        case Decimal():
            return format(value, "f")
        case datetime():  # without a zone it is UTC, as Parquet's adjusted timestamps are
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case date():
            return value.isoformat()
        case bytes():
            return _text_or_base64(value)
        case dict():
            return {str(name): _value(each) for name, each in value.items()}
        case list() | tuple():
            return [_value(each) for each in value]
        case _:
            return str(value)


def _text_or_base64(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


ENDINGS = {"ndjson": (".ndjson", ".jsonl"), "csv": (".csv",), "parquet": (".parquet",)}
_READERS = {"ndjson": _lines, "csv": _csv, "parquet": _parquet}
