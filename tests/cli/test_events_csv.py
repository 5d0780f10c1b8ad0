import io

import pytest

from cli.errors import WrongUsage
from cli.events.mapping import CsvEvents, CsvMapping
from cli.events.rows import BadRow, Row

MAPPING = CsvMapping("row-{row}", "customer-{row%3}", "llm_request", "{when}", {"tokens": "{n}"})


def read(text: str | bytes, mapping: CsvMapping = MAPPING) -> list[Row | BadRow]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(CsvEvents(io.BytesIO(raw), mapping))


def good(text: str | bytes, mapping: CsvMapping = MAPPING) -> list[Row]:
    rows = read(text, mapping)
    assert all(isinstance(row, Row) for row in rows), rows
    return [row for row in rows if isinstance(row, Row)]


def bad(text: str | bytes) -> list[str]:
    return [str(row) for row in read(text) if isinstance(row, BadRow)]


def test_a_row_becomes_an_event() -> None:
    rows = good("when,n\r\n2023-11-16 18:17:03.9799600,4808\r\n2023-11-16 18:17:04.1,7\r\n")
    first, second = (row.event for row in rows)
    assert (first.transaction_id, first.subscription_id, first.code) == ("row-0", "customer-0", "llm_request")
    assert dict(first.properties) == {"tokens": "4808"}
    assert first.timestamp.ToJsonString() == "2023-11-16T18:17:03.979960Z"
    assert (second.transaction_id, second.subscription_id) == ("row-1", "customer-1")
    assert [row.place.line for row in rows] == [2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "when,n\n2023-01-01T00:00:00Z,1\n2023-01-01T00:00:00Z,2",
        "when,n\r\n2023-01-01T00:00:00Z,1\r\n\r\n2023-01-01T00:00:00Z,2\r\n\r\n",
        "\ufeffwhen,n\n2023-01-01T00:00:00Z,1\n2023-01-01T00:00:00Z,2\n",
        '"when","n"\n"2023-01-01T00:00:00Z","1"\n2023-01-01T00:00:00Z,"2"\n',
        'n,x,when\n1,"a, ""b""\nc",2023-01-01T00:00:00Z\n2,,2023-01-01T00:00:00Z\n',
    ],
    ids=["LF, no last line end", "CRLF, blank lines", "BOM", "quoted", "quoted line end, other columns"],
)
def test_files_of_all_kinds_are_read(text: str) -> None:
    rows = good(text)
    assert [(row.event.transaction_id, row.event.properties["tokens"]) for row in rows] == [
        ("row-0", "1"),
        ("row-1", "2"),
    ]


@pytest.mark.parametrize("text", ["", "when,n\n", "when,n", "\ufeff"])
def test_an_empty_file_has_no_rows(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"yesterday,1", "line 3, column when: 'yesterday' is not a timestamp"),
        (b"2023-02-30T00:00:00Z,1", "line 3, column when: '2023-02-30T00:00:00Z' is no point in time"),
        (b",1", "line 3, column when: the field is empty [FIELD_MISSING]"),
        (b"2023-01-01T00:00:00Z", "line 3, column n: the row has 1 fields, the header 2 [FIELD_COUNT]"),
        (b"2023-01-01T00:00:00Z,1,2", "line 3, column 3: the row has 3 fields, the header 2 [FIELD_COUNT]"),
        (b'2023-01-01T00:00:00Z,"1', "line 3, column n: the quotes are broken"),
        (b'"2023"-01-01T00:00:00Z,1', "line 3, column when: the quotes are broken"),
        (b"2023-01-01T00:00:00Z,\xff", "line 3, column at byte 22: the line is not UTF-8 [TEXT_MALFORMED]"),
    ],
)
def test_a_broken_row_is_named_and_nothing_else_is_lost(line: bytes, expected: str) -> None:
    fine = b"2023-01-01T00:00:00Z,1\n"
    text = b"when,n\n" + fine + line + b"\n" + fine * 3
    [problem] = bad(text)
    assert problem.startswith(expected)
    assert [row.place for row in read(text) if isinstance(row, Row)] == [
        row.place for row in good(b"when,n\n" + fine * 5) if row.place.row != 1
    ]


def test_two_stray_quotes_do_not_swallow_the_rows_between_them() -> None:
    fine = "2023-01-01T00:00:00Z,1\n"
    stray = '2023-01-01T00:00:00Z,"1\n'
    problems = [
        row.place.line for row in read("when,n\n" + fine + stray + fine + stray + fine) if isinstance(row, BadRow)
    ]
    assert problems == [3, 5]


def test_columns_that_nothing_uses_become_properties_by_default() -> None:
    text = "transaction_id,subscription_id,code,timestamp,tokens,model\nt1,s1,call,2023-01-01T00:00:00Z,5,large\n"
    [row] = good(text, CsvMapping())
    assert dict(row.event.properties) == {"tokens": "5", "model": "large"}
    assert row.event.transaction_id == "t1"


def test_templates_mix_text_columns_and_row_numbers() -> None:
    mapping = CsvMapping("{{{region}}}-{row}/{row%2}", "s", "c", "{when}", {})
    rows = good("when,region\n" + "2023-01-01T00:00:00Z,eu\n" * 2, mapping)
    assert [row.event.transaction_id for row in rows] == ["{eu}-0/0", "{eu}-1/1"]


@pytest.mark.parametrize(
    ("transaction_id", "expected"),
    [
        ("{id}", "transaction_id: there is no column 'id'; the file has when, n"),
        ("{row%0}", "transaction_id: there is no column 'row%0'"),
        ("a}b", "transaction_id: stray '}' in 'a}b'; write '}}' for a brace"),
    ],
)
def test_a_mapping_that_the_file_does_not_fit_is_refused(transaction_id: str, expected: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        read("when,n\n", CsvMapping(transaction_id, "s", "c", "{when}", {}))
    assert str(caught.value).startswith(expected)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(WrongUsage, match="two columns named 'n'"):
        read("when,n,n\n")


def test_a_service_s_field_is_told_as_the_column_it_came_from() -> None:
    events = CsvEvents(io.BytesIO(b"when,n\n"), MAPPING)
    assert events.column_of("timestamp") == "when"
    assert events.column_of("properties.tokens") == "n"
    assert events.column_of("transaction_id") == "transaction_id"
