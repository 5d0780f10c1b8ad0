"""Files as records."""

import gzip
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO

import pyarrow
import pytest
from pyarrow import parquet

from services.metering.connectors.formats import MAX_LINE_BYTES, format_of, records_in
from services.metering.connectors.records import Record


def read(body: bytes, name: str, *, delimiter: str = ",", seekable: bool = True) -> list[Record]:
    form = format_of(name)
    assert form is not None
    stream: IO[bytes] = io.BytesIO(body) if seekable else io.BufferedReader(OneWay(body))
    return list(records_in(stream, name, form, delimiter))


class OneWay(io.BytesIO):
    """As from a network."""

    def seekable(self) -> bool:
        return False


def bodies(records: list[Record]) -> list[object]:
    assert [record.problem for record in records] == [""] * len(records)
    return [record.body for record in records]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a/b.ndjson", "ndjson"),
        ("A.JSONL.GZ", "ndjson"),
        ("a.csv", "csv"),
        ("a.csv.gz", "csv"),
        ("a.parquet", "parquet"),
        ("a.json", None),
        ("a.gz", None),
    ],
)
def test_the_ending_says_the_format(name: str, form: str | None) -> None:
    assert format_of(name) == form


def test_a_line_is_a_record_and_a_blank_one_is_none() -> None:
    records = read(b'{"a": 1}\r\n\n{"a": 2}', "u.ndjson")
    assert bodies(records) == [b'{"a": 1}', b'{"a": 2}']
    assert [record.position for record in records] == ["u.ndjson#1", "u.ndjson#2"]
    assert records[0].metadata == {"object": "u.ndjson"}


def test_a_line_that_never_ends_is_one_bad_record() -> None:
    first, second = read(b"x" * (2 * MAX_LINE_BYTES + 5) + b'\n{"a": 2}\n', "u.ndjson")
    assert "more than" in first.problem
    assert (second.body, second.problem) == (b'{"a": 2}', "")


@pytest.mark.parametrize("seekable", [True, False])
def test_a_file_may_be_gzipped(seekable: bool) -> None:
    assert bodies(read(gzip.compress(b'{"a": 1}\n'), "u.ndjson.gz", seekable=seekable)) == [b'{"a": 1}']


@pytest.mark.parametrize("spoiled", [b"plain text", gzip.compress(b'{"a": 1}\n' * 9)[:-9]])
def test_a_file_that_breaks_off_ends_with_a_record_that_says_so(spoiled: bytes) -> None:
    *good, last = read(spoiled, "u.ndjson.gz")
    assert all(record.body == b'{"a": 1}' for record in good)
    assert "can't be read on" in last.problem
    assert last.position == f"u.ndjson.gz#{len(good) + 1}"


def test_csv_has_a_header_quotes_and_rows_of_one_width() -> None:
    records = read(b'\xef\xbb\xbfid;text\n1;"a;\n""b"""\n2\n3;c\n"4;d', "u.csv", delimiter=";")
    assert [record.body for record in records][:1] == [{"id": "1", "text": 'a;\n"b"'}]
    assert records[2].body == {"id": "3", "text": "c"}
    assert ["the row has 1 fields" in records[1].problem, "line" in records[3].problem] == [True, True]
    assert len(records) == 4


def test_csv_without_rows_or_with_a_column_twice() -> None:
    assert read(b"", "u.csv") == []
    assert read(b"a,b\n", "u.csv") == []
    assert "twice" in read(b"a,a\n1,2\n", "u.csv")[0].problem


@pytest.mark.parametrize("name", ["u.parquet", "u.parquet.gz"])
@pytest.mark.parametrize("seekable", [True, False])
def test_parquet_values_are_as_json_would_say_them(name: str, seekable: bool) -> None:
    at = datetime(2023, 11, 16, 18, 17, 3, 979960, UTC)
    table = pyarrow.table(
        {
            "id": ["t-1"],
            "n": pyarrow.array([2**63 - 1], pyarrow.int64()),
            "d": pyarrow.array([Decimal("12.500000000001")], pyarrow.decimal128(38, 12)),
            "f": [1e-07],
            "at": pyarrow.array([at], pyarrow.timestamp("us", "UTC")),
            "ns": pyarrow.array([1_700_158_623_979_960_999], pyarrow.timestamp("ns")),
            "day": [date(2023, 11, 16)],
            "ok": [True],
            "none": pyarrow.array([None], pyarrow.string()),
            "nested": [{"list": [1, 2]}],
            "raw": [b"\xff"],
        }
    )
    parquet.write_table(table, sink := io.BytesIO())
    body = gzip.compress(sink.getvalue()) if name.endswith(".gz") else sink.getvalue()
    [found] = bodies(read(body, name, seekable=seekable))
    assert found == {
        "id": "t-1",
        "n": "9223372036854775807",
        "d": "12.500000000001",
        "f": "0.0000001",
        "at": "2023-11-16T18:17:03.979960+00:00",
        "ns": "2023-11-16T18:17:03.979960+00:00",
        "day": "2023-11-16",
        "ok": True,
        "none": None,
        "nested": {"list": ["1", "2"]},
        "raw": "/w==",
    }


def test_what_is_no_parquet_is_one_bad_record() -> None:
    [record] = read(b"PAR1 or so", "u.parquet")
    assert "can't be read on" in record.problem
