"""Between what a catalog file says and the messages of the contract, by the descriptors alone.

A *table* is what YAML or JSON has: mappings, lists, and scalars, which are texts. Money is a decimal in major units of
the `currency_code` beside it or above it.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from cli.catalog.schema import INTEGERS, enum_names, is_decimal, is_map, settable, value_field
from cli.events.instant import parse_time_or_date, timestamp
from libs.common.errors import InvalidArgument
from libs.common.money import Money, plain
from libs.common.wire import amount_in, currency_in
from weir.common.v1 import money_pb2

Table: TypeAlias = dict[str, Any]

CURRENCY = "currency_code"


class Bare(str):
    """A number or a flag, which a file writes without quotes."""

    __slots__ = ()


class Misfit(Exception):
    """A value that the schema admits and the contract does not: where in the element, and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def fill(message: Message, table: Mapping[str, Any], currency: str = "", path: str = "") -> None:
    """Set those fields of `message` that `table` has; its other keys are of other messages. Raises Misfit."""
    currency = table.get(CURRENCY) or currency
    for field in _settable(message):
        value = table.get(field.name)
        if value is None:
            continue
        here = f"{path}.{field.name}" if path else field.name
        if is_map(field):
            _fill_map(getattr(message, field.name), field, value, here)
        elif field.is_repeated:
            for index, each in enumerate(value):
                _append(getattr(message, field.name), field, each, currency, f"{here}[{index}]")
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
            _fill_message(getattr(message, field.name), value, currency, here)
        else:
            setattr(message, field.name, _scalar(field, value))


def _settable(message: Message) -> list[FieldDescriptor]:
    descriptor: Descriptor = message.DESCRIPTOR  # type: ignore[assignment]
    return settable(descriptor)


def _fill_map(entries: Any, field: FieldDescriptor, value: Mapping[str, Any], path: str) -> None:
    of = value_field(field)
    for key, each in value.items():
        if of.message_type is not None:
            _fill_message(entries[key], each, "", f"{path}.{key}")
        else:
            entries[key] = _scalar(of, each)


def _append(items: Any, field: FieldDescriptor, value: Any, currency: str, path: str) -> None:
    if field.message_type is not None:
        _fill_message(items.add(), value, currency, path)
    else:
        items.append(_scalar(field, value))


def _fill_message(message: Message, value: Any, currency: str, path: str) -> None:
    match message:
        case money_pb2.Money():
            message.CopyFrom(_money(value, currency, path))
        case Timestamp():
            try:
                message.CopyFrom(timestamp(parse_time_or_date(value)))
            except ValueError:
                raise Misfit(path, f"is {value!r}; expected an instant such as 2026-01-31T00:00:00Z") from None
        case Date():
            try:
                day = date.fromisoformat(value)
            except ValueError:
                raise Misfit(path, f"is {value!r}; expected a day such as 2026-01-31") from None
            message.CopyFrom(Date(year=day.year, month=day.month, day=day.day))
        case Duration():
            message.FromJsonString(value)
        case _:
            fill(message, value, currency, path)


def _money(value: str, currency: str, path: str) -> money_pb2.Money:
    if not currency:
        raise Misfit(path, f"is an amount, but there is no {CURRENCY} beside it or above it")
    try:
        amount = Money.rounded(amount_in(value, "amount"), currency_in(currency, CURRENCY))
    except InvalidArgument as error:
        raise Misfit(path, error.message) from None
    if amount.amount != Decimal(value):
        raise Misfit(path, f"is {value}, which is no whole number of {currency} minor units")
    return money_pb2.Money(currency_code=currency, minor_units=amount.minor_units)


def _scalar(field: FieldDescriptor, text: str) -> Any:
    if field.enum_type is not None:
        return enum_names(field.enum_type)[text]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return text == "true"
    return int(text) if field.type in INTEGERS else text


def table_of(message: Message) -> Table:
    """What a file would say to make `message`: the fields that are set, without those that the server sets."""
    table: Table = {}
    fields = {field.name for field in _settable(message)}
    for field, value in message.ListFields():
        if field.name not in fields:
            continue
        if is_map(field):
            table[field.name] = {key: _value_out(value_field(field), value[key]) for key in sorted(value)}
        elif field.is_repeated:
            table[field.name] = [_value_out(field, each) for each in value]
        else:
            table[field.name] = _value_out(field, value)
    return table


def _value_out(field: FieldDescriptor, value: Any) -> Any:
    match value:
        case money_pb2.Money():
            return Bare(plain(Money(value.minor_units, value.currency_code).amount))
        case Timestamp() | Duration():
            return value.ToJsonString()
        case Date():
            return f"{value.year:04}-{value.month:02}-{value.day:02}"
        case Message():
            return table_of(value)
        case bool():
            return Bare("true" if value else "false")
    if field.enum_type is not None:
        names = {number: name for name, number in enum_names(field.enum_type).items()}
        return names[value]
    if is_decimal(field):
        return Bare(plain(Decimal(value)))
    return Bare(value) if field.type in INTEGERS else str(value)
