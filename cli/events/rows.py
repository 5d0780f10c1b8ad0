"""What a file of events is read as: rows, good and bad, in order."""

from dataclasses import dataclass

from weir.metering.v1.metering_pb2 import Event


@dataclass(frozen=True, slots=True)
class Place:
    """`row` counts records from 0 and names events; `line` counts lines from 1 and is for people."""

    row: int
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    place: Place
    event: Event


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not recorded. `column` is a column or field by name, or a position in the line."""

    place: Place
    column: str
    reason: str
    message: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"line {self.place.line}{column}: {self.message} [{self.reason}]"


class BadValue(Exception):
    """One value of a row is wrong."""

    def __init__(self, column: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.reason = reason
        self.message = message
