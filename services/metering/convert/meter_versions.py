"""Versions of meters."""

from datetime import datetime

from libs.common.errors import InvalidArgument
from libs.common.paging import Page
from libs.common.wire import text_in, timestamp_in
from services.metering.convert.meters import defined
from services.metering.domain.meters import Meter
from services.metering.domain.versions import History, next_version
from weir.metering.v1 import meters_pb2


def version_in(
    request: meters_pb2.CreateMeterVersionRequest, history: History, now: datetime, test_now: datetime | None
) -> Meter:
    """The version after the meter's last one. `test_now` is where the tenant's test clock is, or is going."""
    asked = timestamp_in(request.effective_time, True, "effective_time") if request.HasField("effective_time") else None
    if not request.HasField("definition"):
        raise InvalidArgument("FIELD_MISSING", "definition is required", field="definition")
    text_in(request.definition.event_code, "definition.event_code")
    return defined(next_version(history, asked, now, test_now), request.definition, "definition.")


def number_in(page: Page) -> int:
    """Of the version that the page before ended with."""
    if page.after is None:
        return 0
    if not (page.after.isdecimal() and page.after.isascii() and len(page.after) <= 9):
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "page_token is not one that an answer contained", field="page_token"
        )
    return int(page.after)
