"""What a table of a file says of a message, against the message: each field that the table names must be equal.

Amounts are compared in major units, decimals by value, times as instants. A list has as many elements as it must have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal, InvalidOperation
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from cli.catalog.schema import enum_names, is_decimal, is_map, value_field
from cli.events.instant import parse_time_or_date
from libs.common.money import Money
from weir.common.v1 import money_pb2

NOTHING = "nothing"
_TELLING = ("number", "code", "id", "kind", "state", "total", "amount")


@dataclass(frozen=True, slots=True)
class Difference:
    """At `path` of the file, which expects one thing and finds another."""

    path: str
    expected: str
    found: str


def differences(message: Message, table: Mapping[str, Any], path: str) -> Iterator[Difference]:
    descriptor: Descriptor = message.DESCRIPTOR  # type: ignore[assignment]
    for name, expected in table.items():
        field = descriptor.fields_by_name[name]
        found = getattr(message, name)
        here = f"{path}.{name}" if path else name
        if is_map(field):
            yield from _of_map(field, found, expected or {}, here)
        elif field.is_repeated:
            yield from of_list(field, found, expected or [], here)
        elif field.has_presence and not message.HasField(name):
            if expected is not None:
                yield Difference(here, _shown(expected), NOTHING)
        else:
            yield from _of_value(field, found, expected, here)


def of_list(field: FieldDescriptor | None, found: Any, expected: list[Any], path: str) -> Iterator[Difference]:
    """`field` may be None for a list of messages."""
    if len(found) != len(expected):
        yield Difference(path, f"{len(expected)} of them", f"{len(found)}: {', '.join(map(brief, found))}".rstrip(": "))
        return
    for index, (each, wanted) in enumerate(zip(found, expected, strict=True)):
        yield from _of_value(field, each, wanted, f"{path}[{index}]")


def _of_map(field: FieldDescriptor, found: Any, expected: Mapping[str, Any], path: str) -> Iterator[Difference]:
    for key, wanted in expected.items():
        if key in found:
            yield from _of_value(value_field(field), found[key], wanted, f"{path}.{key}")
        else:
            yield Difference(f"{path}.{key}", _shown(wanted), NOTHING)


def _of_value(field: FieldDescriptor | None, found: Any, expected: Any, path: str) -> Iterator[Difference]:
    if isinstance(found, Message) and isinstance(expected, Mapping):
        yield from differences(found, expected, path)
    elif not _is_equal(field, found, expected):
        yield Difference(path, _shown(expected), rendered(field, found))


def _is_equal(field: FieldDescriptor | None, found: Any, expected: Any) -> bool:
    if expected is None:
        return not found
    try:
        match found:
            case money_pb2.Money():
                return Decimal(rendered(field, found)) == Decimal(expected)
            case Timestamp():
                return bool(found.ToDatetime(UTC) == parse_time_or_date(expected))
    except (ValueError, InvalidOperation):
        return False
    if field is not None and is_decimal(field):
        return _decimal(found or "0") == _decimal(expected)
    return bool(rendered(field, found) == expected)


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def rendered(field: FieldDescriptor | None, value: Any) -> str:
    """As a file would have it."""
    match value:
        case money_pb2.Money():
            return f"{Money(value.minor_units, value.currency_code).amount:f}" if value.currency_code else "0"
        case Timestamp() | Duration():
            return value.ToJsonString()
        case Date():
            return f"{value.year:04}-{value.month:02}-{value.day:02}"
        case Message():
            return brief(value)
        case bool():
            return "true" if value else "false"
    if field is not None and field.enum_type is not None:
        return {number: name for name, number in enum_names(field.enum_type).items()}.get(value, NOTHING)
    return str(value)


def brief(message: Any) -> str:
    """By what a person would tell one from the others."""
    if not isinstance(message, Message):
        return str(message)
    descriptor: Descriptor = message.DESCRIPTOR  # type: ignore[assignment]
    told = {
        name: rendered(descriptor.fields_by_name[name], getattr(message, name))
        for name in _TELLING
        if name in descriptor.fields_by_name and getattr(message, name)
    }
    if "number" in told or "code" in told:
        told.pop("id", None)
    return " ".join(told.values())


def _shown(expected: Any) -> str:
    match expected:
        case None:
            return NOTHING
        case Mapping():
            return "{" + ", ".join(f"{key}: {_shown(each)}" for key, each in expected.items()) + "}"
        case list():
            return "[" + ", ".join(map(_shown, expected)) + "]"
    return str(expected)
