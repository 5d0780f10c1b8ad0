"""Instants, periods and dates."""

from datetime import date, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from google.type import date_pb2

from libs.common.errors import InvalidArgument
from libs.common.wire import (
    period_out,
    timestamp_in,
)
from services.invoicing.domain.period import EARLIEST, LATEST, Period
from weir.common.v1 import money_pb2


def instant_in(message: Timestamp, present: bool, field: str) -> datetime:
    """An instant of billing: from 2000 until 2200."""
    instant = timestamp_in(message, present, field)
    if not EARLIEST <= instant < LATEST:
        raise InvalidArgument(
            "TIME_OUT_OF_RANGE",
            f"{field} is {instant.isoformat()}; billing happens from {EARLIEST:%Y} until {LATEST:%Y}",
            field=field,
        )
    return instant


def span_out(period: Period) -> money_pb2.Period:
    return period_out(period.start, period.end)


def date_out(value: date) -> date_pb2.Date:
    return date_pb2.Date(year=value.year, month=value.month, day=value.day)
