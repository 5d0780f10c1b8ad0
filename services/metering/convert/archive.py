"""Archived months."""

import re
from datetime import date, timedelta

from libs.common.errors import InvalidArgument
from libs.common.wire import text_in, timestamp_out
from services.metering.domain.archive import ArchivedMonth
from weir.metering.v1 import archive_pb2

_MONTH = re.compile(r"([12][0-9]{3})-(0[1-9]|1[0-2])", re.ASCII)
DEFAULT_HOLD_DAYS = 7
MAX_HOLD_DAYS = 366


def month_in(value: str) -> date:
    text_in(value, "month")
    if not (found := _MONTH.fullmatch(value)):
        raise InvalidArgument("MONTH_MALFORMED", f"month is {value[:64]!r}, not one such as 2023-11", field="month")
    return date(int(found[1]), int(found[2]), 1)


def hold_in(days: int) -> timedelta:
    if not 0 <= days <= MAX_HOLD_DAYS:
        raise InvalidArgument(
            "HOLD_OUT_OF_RANGE", f"hold_days is {days}; it must be at most {MAX_HOLD_DAYS}", field="hold_days"
        )
    return timedelta(days=days or DEFAULT_HOLD_DAYS)


def month_out(month: ArchivedMonth) -> archive_pb2.ArchivedMonth:
    return archive_pb2.ArchivedMonth(
        month=f"{month.month:%Y-%m}",
        state=archive_pb2.ArchivedMonth.State.Value(f"STATE_{month.state}"),
        obstacles=[archive_pb2.ArchivedMonth.Obstacle.Value(f"OBSTACLE_{each}") for each in month.obstacles],
        event_count=month.event_count,
        locations=month.locations,
        archive_time=timestamp_out(month.archive_time),
        hold_end_time=timestamp_out(month.hold_end_time),
    )
