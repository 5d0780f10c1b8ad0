"""Instants of the cases, which name the last second of what ends; Weir's periods are half-open and kept to the
microsecond.

What is ended or changed at an instant still has what happens at that instant: in Weir it ends a microsecond later.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

_NEXT = timedelta(microseconds=1)


def moment(text: str) -> datetime:
    """Raises ValueError when it is not ISO-8601."""
    return datetime.fromisoformat(text).astimezone(UTC)


def just_after(at: datetime) -> datetime:
    return at + _NEXT


def last_moment(end: Timestamp) -> datetime:
    """The end of a half-open period, as a case states it."""
    return instant(end) - _NEXT


def instant(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def day_beginning(message: Timestamp, time_zone: str) -> datetime:
    """When the customer's day began: fees are for days."""
    local = instant(message).astimezone(ZoneInfo(time_zone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)


def stated_like(observed: datetime, expected: Any) -> str:
    """To the second, or to the millisecond where the case gives these."""
    precision = "milliseconds" if "." in str(expected) else "seconds"
    return observed.isoformat(timespec=precision).replace("+00:00", "Z")
