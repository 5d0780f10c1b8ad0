"""Timestamps as files have them."""

import re
from datetime import UTC, datetime, timedelta, timezone

from google.protobuf.timestamp_pb2 import Timestamp

_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,12}))? ?(?:([Zz])|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_instant(text: str) -> datetime:
    """RFC 3339, or the same with a space and without a zone, which is UTC then. Cut to the microsecond.

    Raises ValueError with a sentence.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is not a timestamp such as 2023-11-16T18:17:03.979960Z")
    year, month, day, hour, minute, second, fraction, _, sign, offset_hours, offset_minutes = match.groups()
    zone = UTC
    try:
        if sign:
            offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
            zone = timezone(-offset if sign == "-" else offset)
        microsecond = int((fraction or "0")[:6].ljust(6, "0"))
        there = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), microsecond, zone)
        return there.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no point in time: {error}") from None


def parse_time_or_date(text: str) -> datetime:
    """The same, or a date alone, which is its first instant in UTC. What people type."""
    return parse_instant(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)


def timestamp(instant: datetime) -> Timestamp:
    since = instant - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)
