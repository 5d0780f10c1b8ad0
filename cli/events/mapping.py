"""From the columns of a CSV file to events.

A template is text with `{column}`, `{row}` (the record's number, from 0) and `{row%3}` (that number modulo 3) in it;
`{{` and `}}` are braces.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cli.errors import WrongUsage
from cli.events.csv_file import CsvFile
from cli.events.instant import parse_instant, timestamp
from cli.events.rows import BadRow, BadValue, Place, Row
from weir.metering.v1.metering_pb2 import Event

_PART = re.compile(r"(\{\{|\}\})|\{([^{}]*)\}|([{}])")
_ROW = re.compile(r"row(?:%([1-9][0-9]{0,8}))?", re.ASCII)

Render = Callable[[int, Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class CsvMapping:
    """A template for each field of an event; `properties` None takes every column that no other field uses."""

    transaction_id: str = "{transaction_id}"
    subscription_id: str = "{subscription_id}"
    code: str = "{code}"
    timestamp: str = "{timestamp}"
    properties: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """`columns` are the indexes of those it uses; `label` names the place of an error."""

    render: Render
    columns: tuple[int, ...]
    label: str


def template(text: str, columns: Sequence[str], field: str) -> Template:
    """Raises WrongUsage for a column that the file does not have."""
    parts: list[Render] = []
    used: list[int] = []
    end = 0
    for match in _PART.finditer(text):
        if match.start() > end:
            parts.append(_literal(text[end : match.start()]))
        end = match.end()
        brace, name, stray = match.groups()
        if stray:
            raise WrongUsage(f"{field}: stray {stray!r} in {text!r}; write {stray * 2!r} for a brace")
        if brace:
            parts.append(_literal(brace[0]))
        elif row := _ROW.fullmatch(name):
            parts.append(_row_number(int(row[1]) if row[1] else None))
        elif name in columns:
            used.append(columns.index(name))
            parts.append(_column(used[-1]))
        else:
            raise WrongUsage(f"{field}: there is no column {name!r}; the file has {', '.join(columns) or 'none'}")
    if end < len(text):
        parts.append(_literal(text[end:]))
    render = parts[0] if len(parts) == 1 else lambda row, fields: "".join(part(row, fields) for part in parts)
    return Template(render, tuple(used), columns[used[0]] if used else field)


def _literal(text: str) -> Render:
    return lambda _row, _fields: text


def _row_number(modulo: int | None) -> Render:
    return (lambda row, _fields: str(row % modulo)) if modulo else (lambda row, _fields: str(row))


def _column(index: int) -> Render:
    return lambda _row, fields: fields[index]


class CsvEvents:
    """The rows of a CSV file as events."""

    def __init__(self, lines: Iterable[bytes], mapping: CsvMapping) -> None:
        """Reads the header. Raises WrongUsage where it lacks a column of `mapping`."""
        try:
            self._file = CsvFile(lines)
        except BadValue as error:
            raise WrongUsage(f"the header is broken: {error.message}") from None
        columns = self._file.columns
        if not columns:
            return
        self._transaction_id = template(mapping.transaction_id, columns, "transaction_id")
        self._subscription_id = template(mapping.subscription_id, columns, "subscription_id")
        self._code = template(mapping.code, columns, "code")
        self._timestamp = template(mapping.timestamp, columns, "timestamp")
        properties = mapping.properties
        if properties is None:
            named = (self._transaction_id, self._subscription_id, self._code, self._timestamp)
            used = {index for each in named for index in each.columns}
            properties = {name: _quoted(name) for index, name in enumerate(columns) if index not in used}
        self._properties = {name: template(text, columns, f"properties.{name}") for name, text in properties.items()}

    def __iter__(self) -> Iterator[Row | BadRow]:
        for record in self._file:
            try:
                if record.problem:
                    raise record.problem
                yield Row(record.place, self._event(record.place, record.fields))
            except BadValue as error:
                yield BadRow(record.place, error.column, error.reason, error.message)

    def column_of(self, field: str) -> str:
        """The column behind an event's field, for errors that a service reports about the field."""
        templates = {
            "transaction_id": self._transaction_id,
            "subscription_id": self._subscription_id,
            "code": self._code,
            "timestamp": self._timestamp,
            **{f"properties.{name}": each for name, each in self._properties.items()},
        }
        return templates[field].label if field in templates else field

    def _event(self, place: Place, fields: Sequence[str]) -> Event:
        row = place.row
        event = Event(
            transaction_id=_required(self._transaction_id, row, fields),
            subscription_id=_required(self._subscription_id, row, fields),
            code=_required(self._code, row, fields),
            properties={name: each.render(row, fields) for name, each in self._properties.items()},
        )
        try:
            event.timestamp.CopyFrom(timestamp(parse_instant(_required(self._timestamp, row, fields))))
        except ValueError as error:
            raise BadValue(self._timestamp.label, "TIMESTAMP_MALFORMED", str(error)) from None
        return event


def _required(each: Template, row: int, fields: Sequence[str]) -> str:
    text = each.render(row, fields)
    if not text:
        raise BadValue(each.label, "FIELD_MISSING", "the field is empty")
    return text


def _quoted(column: str) -> str:
    return "{" + column + "}"
