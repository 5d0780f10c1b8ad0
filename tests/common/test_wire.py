from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from libs.common import wire
from libs.common.errors import InvalidArgument
from libs.common.money import EXACT, Money, plain
from weir.common.v1 import money_pb2

instants = st.datetimes(timezones=st.just(UTC))


def refused(read: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        read()
    return caught.value.reason, caught.value.field


@given(st.integers(-(10**38) + 1, 10**38 - 1).map(lambda number: Decimal(number).scaleb(-12, EXACT)))
def test_a_decimal_of_38_digits_survives_the_wire(value: Decimal) -> None:
    assert wire.decimal_in(plain(value), "quantity") == value


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "Infinity", "1e3", "+1", ".5", "5.", "1,000", " 1", "1\n", "--1", "0x1", "١", "1_000",
        "0.1234567890123", "1" * 27,
    ],
)  # fmt: skip
def test_a_decimal_that_is_not_plain_is_refused(text: str) -> None:
    assert refused(lambda: wire.decimal_in(text, "quantity")) == ("DECIMAL_MALFORMED", "quantity")


def test_an_empty_decimal_is_the_default_or_missing() -> None:
    assert wire.decimal_in("", "flat_fee", default=Decimal(0)) == 0
    assert refused(lambda: wire.decimal_in("", "quantity")) == ("FIELD_MISSING", "quantity")


def test_an_amount_is_not_negative() -> None:
    assert wire.amount_in("0", "price") == 0
    assert refused(lambda: wire.amount_in("-0.1", "price")) == ("AMOUNT_NEGATIVE", "price")


@given(instants)
def test_an_instant_survives_the_wire(instant: datetime) -> None:
    stamp = wire.timestamp_out(instant)
    assert stamp is not None
    assert wire.timestamp_in(stamp, True, "timestamp") == instant


def test_an_instant_is_cut_to_the_microsecond() -> None:
    read = wire.timestamp_in(Timestamp(seconds=-1, nanos=999_999_999), True, "timestamp")
    assert read == datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(seconds=253_402_300_800),
        Timestamp(seconds=-(2**62)),
        Timestamp(nanos=-1),
        Timestamp(nanos=10**9),
    ],
)
def test_an_instant_that_no_calendar_has_is_refused(stamp: Timestamp) -> None:
    assert refused(lambda: wire.timestamp_in(stamp, True, "timestamp")) == ("TIMESTAMP_MALFORMED", "timestamp")


def test_an_instant_that_was_not_sent_is_missing_and_not_1970() -> None:
    assert refused(lambda: wire.timestamp_in(Timestamp(), False, "timestamp")) == ("FIELD_MISSING", "timestamp")


@given(
    instants.filter(lambda instant: instant.year < 9999), st.timedeltas(timedelta(microseconds=1), timedelta(days=99))
)
def test_a_period_survives_the_wire(start: datetime, length: timedelta) -> None:
    period = wire.period_out(start, start + length)
    assert wire.period_in(period, True, "period") == (start, start + length)


def test_an_empty_period_is_refused() -> None:
    noon = datetime(2023, 11, 1, 12, tzinfo=UTC)
    assert refused(lambda: wire.period_in(wire.period_out(noon, noon), True, "period")) == (
        "PERIOD_EMPTY",
        "period.end_time",
    )
    open_ended = money_pb2.Period(start_time=wire.timestamp_out(noon))
    assert refused(lambda: wire.period_in(open_ended, True, "period")) == ("FIELD_MISSING", "period.end_time")


@given(st.integers(-(2**63), 2**63 - 1))
def test_money_survives_the_wire(minor_units: int) -> None:
    money = Money(minor_units, "USD")
    assert wire.money_in(wire.money_out(money), True, "fee") == money


def test_the_currency_of_money_is_checked() -> None:
    money = money_pb2.Money(currency_code="usd", minor_units=1)
    assert refused(lambda: wire.money_in(money, True, "fee")) == ("CURRENCY_UNKNOWN", "fee.currency_code")


@pytest.mark.parametrize("code", ["a", "llm-api", "v1.2_x", "a" * 64])
def test_a_code_is_a_letter_and_then_letters_digits_and_a_few_signs(code: str) -> None:
    assert wire.code_in(code, "code") == code


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", "FIELD_MISSING"), ("a" * 65, "FIELD_TOO_LONG"), ("1a", "CODE_MALFORMED"), ("A", "CODE_MALFORMED"),
        ("a b", "CODE_MALFORMED"), ("a\n", "CODE_MALFORMED"), ("é", "CODE_MALFORMED"), ("a\0", "TEXT_MALFORMED"),
    ],
)  # fmt: skip
def test_any_other_code_is_refused(code: str, reason: str) -> None:
    assert refused(lambda: wire.code_in(code, "code")) == (reason, "code")


def test_text_is_counted_in_characters() -> None:
    assert wire.text_in("é" * 255, "name") == "é" * 255
    assert refused(lambda: wire.text_in("é" * 256, "name")) == ("FIELD_TOO_LONG", "name")
    assert wire.text_in("", "description", required=False) == ""


def test_a_request_id_is_a_uuid() -> None:
    assert wire.request_id_in("6f9619ff-8b86-d011-b42d-00cf4fc964ff") == UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")
    assert refused(lambda: wire.request_id_in("order-1")) == ("REQUEST_ID_MALFORMED", "request_id")
    assert refused(lambda: wire.request_id_in("")) == ("FIELD_MISSING", "request_id")
