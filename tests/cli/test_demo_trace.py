import hashlib
import io
from datetime import UTC, datetime

import pytest

from cli.demo.generator import REQUESTS, generate
from cli.demo.trace import read_trace
from cli.errors import CliError

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"


def read(text: str) -> list[tuple[str, str]]:
    rows = read_trace(io.BytesIO(text.encode()), "t.csv")
    return [(row.event.transaction_id, row.event.subscription_id) for row in rows]


def test_row_i_belongs_to_customer_i_mod_3() -> None:
    assert read(HEADER + "2023-11-16 18:17:03.9799600,4808,10\r\n" * 4) == [
        ("row-0", "customer-0"),
        ("row-1", "customer-1"),
        ("row-2", "customer-2"),
        ("row-3", "customer-0"),
    ]


@pytest.mark.parametrize("text", ["", HEADER, HEADER.strip()])
def test_an_empty_trace_is_a_trace(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2023-11-16 18:17:03,48x,1", "t.csv: line 3, column ContextTokens: '48x' is not a number of tokens"),
        ("2023-11-16 18:17:03,1,", "t.csv: line 3, column GeneratedTokens: '' is not a number of tokens"),
        ("2023-11-16 18:17:03,1,-5", "t.csv: line 3, column GeneratedTokens: '-5' is not a number of tokens"),
        ("2023-11-16 25:17:03,1,1", "t.csv: line 3, column TIMESTAMP: '2023-11-16 25:17:03' is no point in time"),
        ("2023-11-16 18:17:03,1", "t.csv: line 3, column GeneratedTokens: the row has 2 fields"),
    ],
)
def test_a_broken_row_spoils_the_trace(line: str, expected: str) -> None:
    with pytest.raises(CliError) as caught:
        read(HEADER + "2023-11-16 18:17:03,1,1\r\n" + line + "\r\n2023-11-16 18:17:03,1,1\r\n")
    assert str(caught.value).startswith(expected)
    assert caught.value.exit_code == 1


def test_a_trace_without_a_column_is_refused() -> None:
    with pytest.raises(CliError, match=r"t\.csv: line 1: .*no column 'GeneratedTokens'"):
        read("TIMESTAMP,ContextTokens\n2023-11-16 18:17:03,1\n")


def test_the_made_up_trace_is_the_same_at_every_call() -> None:
    digests = {hashlib.sha256(b"".join(generate())).hexdigest() for _ in range(2)}
    assert digests == {"1cba0ffe6490e58364f8bddaaeaeb1108df560e1216716ad2dc180c870b53616"}


def test_the_made_up_trace_is_a_month_of_requests() -> None:
    rows = read_trace(generate(), "made up")
    times = [row.event.timestamp.ToDatetime(UTC) for row in rows]
    assert len(rows) == REQUESTS
    assert times == sorted(times)
    assert datetime(2023, 11, 1, tzinfo=UTC) <= times[0] < times[-1] < datetime(2023, 12, 1, tzinfo=UTC)
