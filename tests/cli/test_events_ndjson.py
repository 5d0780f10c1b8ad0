import json
from typing import Any

import pytest

from cli.events.ndjson import NdjsonEvents
from cli.events.rows import BadRow, Row

EVENT: dict[str, Any] = {
    "transaction_id": "t1",
    "subscription_id": "s1",
    "code": "call",
    "timestamp": "2023-11-16T18:17:03.123456789+01:00",
    "properties": {"n": 4808, "model": "large", "cached": True},
}


def read(*lines: str | bytes) -> list[Row | BadRow]:
    return list(NdjsonEvents(line.encode() if isinstance(line, str) else line for line in lines))


def test_a_line_becomes_an_event() -> None:
    [row] = read(json.dumps(EVENT))
    assert isinstance(row, Row)
    assert dict(row.event.properties) == {"n": "4808", "model": "large", "cached": "true"}
    assert row.event.timestamp.ToJsonString() == "2023-11-16T17:17:03.123456Z"


@pytest.mark.parametrize("number", ["0.1", "12345678901234567890.123456789012", "1.10", "1e3", "-0"])
def test_numbers_stay_as_they_are_written(number: str) -> None:
    [row] = read(json.dumps(EVENT).replace("4808", number))
    assert isinstance(row, Row)
    assert row.event.properties["n"] == number


def without(name: str) -> str:
    return json.dumps({key: value for key, value in EVENT.items() if key != name})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"code": }', "line 2, column 10: not JSON: Expecting value [JSON_MALFORMED]"),
        ("[1]", "line 2: expected a JSON object"),
        (without("timestamp"), "line 2, column timestamp: timestamp is required [FIELD_MISSING]"),
        (json.dumps({**EVENT, "timestamp": "now"}), "line 2, column timestamp: 'now' is not a timestamp"),
        (json.dumps({**EVENT, "code": 7}), "line 2, column code: expected a text"),
        (json.dumps({**EVENT, "amount": 7}), "line 2, column amount: unknown field 'amount'"),
        (json.dumps({**EVENT, "properties": [1]}), "line 2, column properties: expected an object"),
        (json.dumps({**EVENT, "properties": {"n": None}}), "line 2, column properties.n: expected a text, a number"),
        (json.dumps(EVENT).replace("4808", "NaN"), "line 2: not JSON: NaN"),
        ('{"code": "a", "code": "b"}', "line 2, column code: the key 'code' stands there twice"),
        (b'{"code": "\xff"}', "line 2, column at byte 11: the line is not UTF-8"),
        (json.dumps({**EVENT, "code": "\ud800"}), "line 2, column code: has half of a surrogate pair"),
        ("[" * 100_000, "line 2: not JSON that can be read: nested too deep"),
    ],
)
def test_a_broken_line_is_named_and_nothing_else_is_lost(line: str | bytes, expected: str) -> None:
    first, broken, blank_skipped = read(json.dumps(EVENT), line, "\n", json.dumps(EVENT))
    assert isinstance(broken, BadRow)
    assert str(broken).startswith(expected)
    assert isinstance(first, Row)
    assert isinstance(blank_skipped, Row)
    assert (blank_skipped.place.row, blank_skipped.place.line) == (2, 4)
