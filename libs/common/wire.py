"""What every `convert` needs: reading and writing the wire's decimals, instants, periods, money and names.

Readers end in `_in`, take the proto path of the field they read, and raise InvalidArgument naming it.
"""

import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.errors import InvalidArgument
from libs.common.money import Money, exponent
from weir.common.v1 import money_pb2

DECIMAL = re.compile(r"-?[0-9]{1,26}(\.[0-9]{1,12})?", re.ASCII)
"""Plain notation, at most 38 digits, 12 of them after the point; what numeric(38, 12) holds."""

CODE = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text_in(value: str, field: str, *, most: int = 255, required: bool = True) -> str:
    """1 to `most` characters without NUL (0 too, when not `required`)."""
    if not value:
        if required:
            raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
        return value
    if len(value) > most:
        raise InvalidArgument("FIELD_TOO_LONG", f"{field} has {len(value)} characters, {most} at most", field=field)
    if "\0" in value:
        raise InvalidArgument("TEXT_MALFORMED", f"{field} contains a NUL character", field=field)
    return value


def code_in(value: str, field: str) -> str:
    """A name that a catalog gives: a letter, then up to 63 of a-z, 0-9, '_', '-' and '.'."""
    text_in(value, field, most=64)
    if not CODE.fullmatch(value):
        raise InvalidArgument(
            "CODE_MALFORMED",
            f"{field} is {value!r}; a code is a letter, then up to 63 of a-z, 0-9, '_', '-' and '.'",
            field=field,
        )
    return value


def request_id_in(value: str) -> uuid.UUID:
    text_in(value, "request_id")
    try:
        return uuid.UUID(value)
    except ValueError:
        raise InvalidArgument("REQUEST_ID_MALFORMED", f"{value!r} is not a UUID", field="request_id") from None


def decimal_in(value: str, field: str, *, default: Decimal | None = None) -> Decimal:
    """Plain notation only: no exponent, no sign but '-', no NaN. Empty is `default`, or missing without one."""
    if not value:
        if default is None:
            raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
        return default
    if not DECIMAL.fullmatch(value):
        raise InvalidArgument(
            "DECIMAL_MALFORMED",
            f"{field} is {value[:64]!r}; expected a decimal in plain notation such as 0.0025, at most 38 digits,"
            " 12 of them after the point",
            field=field,
        )
    return Decimal(value)


def amount_in(value: str, field: str, *, default: Decimal | None = None) -> Decimal:
    """A decimal that is not negative."""
    amount = decimal_in(value, field, default=default)
    if amount < 0:
        raise InvalidArgument("AMOUNT_NEGATIVE", f"{field} is {value}; it must not be negative", field=field)
    return amount


def currency_in(value: str, field: str) -> str:
    text_in(value, field)
    try:
        exponent(value)
    except InvalidArgument as error:
        raise InvalidArgument(error.reason, error.message, field=field) from None
    return value


def timestamp_in(value: Timestamp, present: bool, field: str) -> datetime:
    """`present` is the message's HasField. Cut to the microsecond."""
    if not present:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    try:
        value.ToJsonString()  # raises when out of the range that the wire type allows
        return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            "TIMESTAMP_MALFORMED", f"{field} is not between the years 1 and 9999", field=field
        ) from None


def timestamp_out(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp


def period_in(value: money_pb2.Period, present: bool, field: str) -> tuple[datetime, datetime]:
    """[start, end), not empty."""
    if not present:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    start = timestamp_in(value.start_time, value.HasField("start_time"), f"{field}.start_time")
    end = timestamp_in(value.end_time, value.HasField("end_time"), f"{field}.end_time")
    if end <= start:
        raise InvalidArgument(
            "PERIOD_EMPTY",
            f"{field} ends at {end.isoformat()}, which is not after its start",
            field=f"{field}.end_time",
        )
    return start, end


def period_out(start: datetime, end: datetime) -> money_pb2.Period:
    return money_pb2.Period(start_time=timestamp_out(start), end_time=timestamp_out(end))


def money_in(value: money_pb2.Money, present: bool, field: str) -> Money:
    if not present:
        raise InvalidArgument("FIELD_MISSING", f"{field} is required", field=field)
    return Money(value.minor_units, currency_in(value.currency_code, f"{field}.currency_code"))


def money_out(value: Money) -> money_pb2.Money:
    return money_pb2.Money(currency_code=value.currency, minor_units=value.minor_units)
