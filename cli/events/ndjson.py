"""Newline-delimited JSON, one event an object with the contract's field names.

    {"transaction_id": "t1", "subscription_id": "s1", "code": "llm_request", "timestamp": "2023-11-16T18:17:03Z",
     "properties": {"input_tokens": 4808}}

Numbers are taken as they are written and never pass through a float.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from cli.events.csv_file import BOM
from cli.events.instant import parse_instant, timestamp
from cli.events.rows import BadRow, BadValue, Place, Row
from weir.metering.v1.metering_pb2 import Event

FIELDS = ("transaction_id", "subscription_id", "code", "timestamp", "properties")


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


class NdjsonEvents:
    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[Row | BadRow]:
        row = 0
        for number, raw in enumerate(self._lines, 1):
            line = raw.removeprefix(BOM) if number == 1 else raw
            if not line.strip():
                continue
            place = Place(row, number)
            row += 1
            try:
                yield Row(place, _event(_object(line)))
            except BadValue as error:
                yield BadRow(place, error.column, error.reason, error.message)

    def column_of(self, field: str) -> str:
        return field


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            line.decode(),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise BadValue(f"at byte {error.start + 1}", "TEXT_MALFORMED", "the line is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadValue(str(error.colno), "JSON_MALFORMED", f"not JSON: {error.msg}") from None
    except RecursionError:
        raise BadValue("", "JSON_MALFORMED", "not JSON that can be read: nested too deep") from None
    if not isinstance(value, dict):
        raise BadValue("", "JSON_MALFORMED", "expected a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadValue(twice, "JSON_MALFORMED", f"the key {twice!r} stands there twice")
    return found


def _refuse_constant(text: str) -> Any:
    raise BadValue("", "JSON_MALFORMED", f"not JSON: {text}")


def _event(given: dict[str, Any]) -> Event:
    if unknown := [name for name in given if name not in FIELDS]:
        raise BadValue(unknown[0], "FIELD_UNKNOWN", f"unknown field {unknown[0]!r}; an event has {', '.join(FIELDS)}")
    properties = given.get("properties", {})
    if not isinstance(properties, dict):
        raise BadValue("properties", "TEXT_MALFORMED", "expected an object")
    event = Event(
        transaction_id=_text(given, "transaction_id"),
        subscription_id=_text(given, "subscription_id"),
        code=_text(given, "code"),
        properties={name: _property(name, value) for name, value in properties.items()},
    )
    try:
        event.timestamp.CopyFrom(timestamp(parse_instant(_text(given, "timestamp"))))
    except ValueError as error:
        raise BadValue("timestamp", "TIMESTAMP_MALFORMED", str(error)) from None
    return event


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if value is None or value == "":
        raise BadValue(name, "FIELD_MISSING", f"{name} is required")
    if not isinstance(value, str) or isinstance(value, _Number):
        raise BadValue(name, "TEXT_MALFORMED", "expected a text")
    return _encodable(name, value)


def _property(name: str, value: Any) -> str:
    """Text and numbers as they are, true and false by name. Raises BadValue for null, lists and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise BadValue(f"properties.{name}", "TEXT_MALFORMED", "expected a text, a number, true or false")
    return str(_encodable(f"properties.{name}", value))


def _encodable(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadValue(name, "TEXT_MALFORMED", "has half of a surrogate pair") from None
    return value
