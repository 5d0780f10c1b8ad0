"""What can be exported: columns with their types. How they are read is the store's."""

from dataclasses import dataclass
from datetime import date
from enum import Enum


class ColumnType(Enum):
    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIME = "time"
    BOOLEAN = "boolean"


class Dataset(Enum):
    INVOICES = "invoices"
    INVOICE_LINES = "invoice_lines"
    CREDIT_NOTES = "credit_notes"
    JOURNAL = "journal"


class Format(Enum):
    CSV = "csv"
    JSON_LINES = "json_lines"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Export:
    """Rows of days in [start, end); None where a side is open."""

    dataset: Dataset
    format: Format
    start: date | None = None
    end: date | None = None
