"""CSV as records (RFC 4180), one broken record at a time: a stray quote costs its own line and no other."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cli.events.rows import BadValue, Place

BOM = b"\xef\xbb\xbf"
MAX_RECORD_LINES = 200
_FIELD = re.compile(r'(?:"(?:[^"]|"")*"|[^",][^,]*|)(?=,|$)')


@dataclass(frozen=True, slots=True)
class Record:
    """`fields` of one record, or why there are none."""

    place: Place
    fields: list[str]
    problem: BadValue | None = None


class CsvFile:
    """`columns` is the header, empty where the file is; iterating gives a Record for each row, blank lines left out."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        """Raises BadValue where the header is broken."""
        self._lines = _Lines(lines)
        self._row = 0
        self.columns: list[str] = []
        header = self._read(None)
        if header is None:
            return
        if header.problem:
            raise header.problem
        self.columns = [name.strip() for name in header.fields]
        for name in self.columns:
            if self.columns.count(name) > 1:
                raise BadValue(name, "COLUMN_TWICE", f"the header has two columns named {name!r}")

    def __iter__(self) -> Iterator[Record]:
        while (record := self._read(len(self.columns))) is not None:
            self._row += 1
            yield record

    def _read(self, width: int | None) -> Record | None:
        while (first := self._lines.take()) is not None:
            line, raw = first
            if raw.strip():
                return self._record(Place(self._row, line), raw, width)
        return None

    def _record(self, place: Place, raw: bytes, width: int | None) -> Record:
        taken: list[tuple[int, bytes]] = []
        try:
            quoted = b'"' in raw
            fields = next(csv.reader(self._texts(raw, taken), strict=True)) if quoted else _text(raw).split(",")
            if width is not None and len(fields) != width:
                raise self._wrong_width(fields)
        except BadValue as error:
            problem = error
        except csv.Error as error:
            problem = BadValue(self._broken_column(raw), "QUOTES_BROKEN", f"the quotes are broken: {error}")
        else:
            return Record(place, fields)
        self._lines.give_back(taken)
        return Record(place, [], problem)

    def _texts(self, first: bytes, taken: list[tuple[int, bytes]]) -> Iterator[str]:
        """The record's first line and, while quotes are open, those after it, which are noted in `taken`."""
        yield _text(first, keep_end=True)
        while len(taken) < MAX_RECORD_LINES and (following := self._lines.take()) is not None:
            taken.append(following)
            yield _text(following[1], keep_end=True)

    def _broken_column(self, raw: bytes) -> str:
        """Name (or number) of the first field whose quotes are wrong."""
        text = raw.decode(errors="replace").rstrip("\r\n")
        index = position = 0
        while (field := _FIELD.match(text, position)) and field.end() < len(text):
            position = field.end() + 1
            index += 1
        return self.columns[index] if index < len(self.columns) else str(index + 1)

    def _wrong_width(self, fields: list[str]) -> BadValue:
        found, expected = len(fields), len(self.columns)
        column = self.columns[found] if found < expected else str(expected + 1)
        return BadValue(column, "FIELD_COUNT", f"the row has {found} fields, the header {expected}")


class _Lines:
    """Numbered lines that can be given back."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = enumerate(lines, 1)
        self._returned: deque[tuple[int, bytes]] = deque()

    def take(self) -> tuple[int, bytes] | None:
        if self._returned:
            return self._returned.popleft()
        line = next(self._lines, None)
        if line is not None and line[0] == 1:
            return 1, line[1].removeprefix(BOM)
        return line

    def give_back(self, lines: list[tuple[int, bytes]]) -> None:
        self._returned.extendleft(reversed(lines))


def _text(raw: bytes, *, keep_end: bool = False) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadValue(f"at byte {error.start + 1}", "TEXT_MALFORMED", "the line is not UTF-8") from None
    return text if keep_end else text.rstrip("\r\n")
