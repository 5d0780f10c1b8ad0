"""How commands print: one JSON document, or tables for people."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table

from libs.common.money import Money
from weir.common.v1 import money_pb2

console = Console(highlight=False)
progress_console = Console(stderr=True, highlight=False)

MIDNIGHT = "T00:00:00Z"
MAX_WIDTH = 1000


def print_json(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False), flush=True)


def as_dict(message: Message) -> dict[str, Any]:
    """The contract's JSON: its field names, int64 as strings, every field present."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_list(name: str, messages: Sequence[Message]) -> None:
    print_json({name: [as_dict(each) for each in messages]})


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> Table:
    """A column whose name begins with ">" is aligned to the right."""
    made = Table(
        title=title or None,
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
        min_width=len(title) or None,
    )
    for column in columns:
        made.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    for row in rows:
        made.add_row(*row)
    return made


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, nothing: str) -> None:
    if rows:
        print_whole(table(columns, rows))
    else:
        console.print(nothing)


def print_whole(made: Table) -> None:
    """Never cut a cell: ids are there to be copied. Where the terminal is narrower, it wraps."""
    natural = console.measure(made, options=console.options.update_width(MAX_WIDTH)).maximum
    Console(width=max(console.width, natural), highlight=False).print(made)


def instant(value: Timestamp) -> str:
    """RFC 3339 in UTC, "-" where it is not set."""
    if not value.seconds and not value.nanos:
        return "-"
    return value.ToDatetime(UTC).isoformat().replace("+00:00", "Z")


def period(value: money_pb2.Period) -> str:
    """ "2023-11-01 to 2023-12-01" where both are midnight in UTC; "-" where it is not set."""
    if not value.HasField("start_time"):
        return "-"
    start, end = instant(value.start_time), instant(value.end_time)
    if start.endswith(MIDNIGHT) and end.endswith(MIDNIGHT):
        return f"{start.removesuffix(MIDNIGHT)} to {end.removesuffix(MIDNIGHT)}"
    return f"{start} to {end}"


def quantity(text: str) -> str:
    """A decimal of the wire with thousands separators."""
    return f"{Decimal(text or 0):,f}"


def amount(value: money_pb2.Money, sign: int = 1) -> str:
    """-1 for one that takes away."""
    if not value.currency_code:
        return "-"
    return str(Money(sign * value.minor_units, value.currency_code))


def state(names: Any, number: int) -> str:
    """Of an enum such as Invoice.State, the value's name without the prefix, in lower case."""
    prefix = names.Name(0).removesuffix("UNSPECIFIED")
    return str(names.Name(number)).removeprefix(prefix).lower()


def is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
