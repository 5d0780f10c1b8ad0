"""Usage: questions and answers."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from libs.common.errors import InvalidArgument
from libs.common.money import plain
from libs.common.wire import code_in, period_in, period_out, text_in, timestamp_out
from services.metering.convert.meters import dimensions_in, filters_in
from services.metering.domain.parts import Part
from services.metering.domain.usage import UTC_ZONE, Answers, Asked, EventUnits, EventUsage, Question, Usage
from services.metering.domain.windows import Window, windows
from weir.metering.v1 import metering_pb2

MAX_QUERIES = 10_000
MAX_PARTS = 1_000
MAX_FIRST_EVENTS = 100_000
MAX_WINDOWS = 10_000
MAX_INTERVAL_MS = 3_600_000
FIRST_DAY, LAST_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

_WINDOWS = {getattr(metering_pb2.QueryUsageRequest, f"WINDOW_{window.name}"): window for window in Window}


def asked_in(query: metering_pb2.GetUsageRequest, path: str = "") -> Asked:
    """`path` leads to the query in its request, for example "queries[3]."."""
    return text_in(query.subscription_id, f"{path}subscription_id"), _question_in(query, path)


def _question_in(query: metering_pb2.GetUsageRequest, path: str) -> Question:
    start, end = period_in(query.period, query.HasField("period"), f"{path}period")
    full_period = _full_period_in(query, start, end, path)
    if query.prorated:
        _require_calendar(*(full_period or (start, end)), f"{path}full_period")
    if not 0 <= query.first_events <= MAX_FIRST_EVENTS:
        raise InvalidArgument(
            "FIRST_EVENTS_OUT_OF_RANGE",
            f"{path}first_events is {query.first_events}; expected 0 to {MAX_FIRST_EVENTS}",
            field=f"{path}first_events",
        )
    return Question(
        meter_codes=_meter_codes_in(query.meter_codes, path),
        start=start,
        end=end,
        filters=filters_in(query.filters, f"{path}filters", any_value=True) if query.filters else (),
        parts=_parts_in(query.parts, f"{path}parts") if query.parts else (),
        group_by=dimensions_in(query.group_by, f"{path}group_by") if query.group_by else (),
        full_period=full_period,
        zone=zone_in(query.time_zone, f"{path}time_zone"),
        prorated=query.prorated,
        charged_in_advance=query.charged_in_advance,
        first_events=query.first_events,
        path=path,
    )


def _meter_codes_in(codes: Sequence[str], path: str) -> list[str]:
    if not codes:
        raise InvalidArgument("FIELD_MISSING", f"{path}meter_codes is required", field=f"{path}meter_codes")
    checked = [code_in(code, f"{path}meter_codes[{index}]") for index, code in enumerate(codes)]
    if len(set(checked)) < len(checked):
        raise InvalidArgument("METER_REPEATED", f"{path}meter_codes names a meter twice", field=f"{path}meter_codes")
    return checked


def _parts_in(parts: Sequence[metering_pb2.UsagePart], field: str) -> tuple[Part, ...]:
    if len(parts) > MAX_PARTS:
        raise InvalidArgument("PARTS_TOO_MANY", f"{field} has {len(parts)} parts, {MAX_PARTS} at most", field=field)
    if len({part.code for part in parts}) < len(parts):
        raise InvalidArgument("PART_REPEATED", f"{field} has two parts with one code", field=field)
    return tuple(_part_in(part, f"{field}[{index}]") for index, part in enumerate(parts))


def _part_in(part: metering_pb2.UsagePart, field: str) -> Part:
    if not part.filters:
        raise InvalidArgument("FIELD_MISSING", f"{field}.filters is required", field=f"{field}.filters")
    dimensions_in([each.property for each in part.filters], f"{field}.filters")
    return Part(code_in(part.code, f"{field}.code"), filters_in(part.filters, f"{field}.filters", any_value=True))


def _full_period_in(
    query: metering_pb2.GetUsageRequest, start: datetime, end: datetime, path: str
) -> tuple[datetime, datetime] | None:
    if not query.HasField("full_period"):
        return None
    full_start, full_end = period_in(query.full_period, True, f"{path}full_period")
    if not (full_start <= start and end <= full_end):
        raise InvalidArgument(
            "PERIOD_NOT_WITHIN", f"{path}period is not within {path}full_period", field=f"{path}full_period"
        )
    return full_start, full_end


def _require_calendar(start: datetime, end: datetime, field: str) -> None:
    """Days are counted only where every time zone has them."""
    if start < FIRST_DAY or end > LAST_DAY:
        raise InvalidArgument("TIME_OUT_OF_RANGE", f"{field} is not between 1970 and 2200", field=field)


def zone_in(name: str, field: str) -> ZoneInfo:
    """UTC where the name is empty."""
    if not name:
        return UTC_ZONE
    if name not in _zones():
        raise InvalidArgument("TIME_ZONE_UNKNOWN", f"{name[:64]!r} is not an IANA time zone", field=field)
    return ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def batch_in(queries: Sequence[metering_pb2.GetUsageRequest]) -> list[Asked]:
    """Queries that differ in their subscription only have one question."""
    if not queries:
        raise InvalidArgument("FIELD_MISSING", "queries is required", field="queries")
    if len(queries) > MAX_QUERIES:
        raise InvalidArgument(
            "QUERIES_TOO_MANY", f"{len(queries)} queries in one call, {MAX_QUERIES} at most", field="queries"
        )
    questions: dict[bytes, Question] = {}
    asked = []
    rest = metering_pb2.GetUsageRequest()
    for index, query in enumerate(queries):
        rest.CopyFrom(query)
        rest.ClearField("subscription_id")
        key = rest.SerializeToString(deterministic=True)
        question = questions.get(key)
        if question is None:
            if query.watermark:
                raise InvalidArgument(
                    "WATERMARK_MISPLACED",
                    "the questions of a batch have one watermark, that of the request",
                    field=f"queries[{index}].watermark",
                )
            question = questions[key] = _question_in(query, f"queries[{index}].")
        asked.append((text_in(query.subscription_id, f"queries[{index}].subscription_id"), question))
    return asked


def watermark_in(watermark: int, field: str = "watermark") -> int | None:
    """None for all that has been recorded."""
    if watermark < 0:
        raise InvalidArgument("WATERMARK_NEGATIVE", f"{field} is {watermark}", field=field)
    return watermark or None


def event_question_in(request: metering_pb2.GetEventUsageRequest) -> tuple[str, Asked]:
    """The transaction_id, and what is asked of it."""
    if not request.HasField("query"):
        raise InvalidArgument("FIELD_MISSING", "query is required", field="query")
    for field in ("watermark", "charged_in_advance", "first_events"):
        if getattr(request.query, field):
            raise InvalidArgument("FIELD_UNUSED", f"query.{field} has no meaning here", field=f"query.{field}")
    return text_in(request.transaction_id, "transaction_id"), asked_in(request.query, "query.")


def stream_in(request: metering_pb2.StreamUsageRequest) -> tuple[Asked, float]:
    """The question, and seconds between two answers at least."""
    if not request.HasField("query"):
        raise InvalidArgument("FIELD_MISSING", "query is required", field="query")
    if request.query.watermark:
        raise InvalidArgument("WATERMARK_MISPLACED", "a stream answers at every watermark", field="query.watermark")
    if not 0 <= request.min_interval_ms <= MAX_INTERVAL_MS:
        raise InvalidArgument(
            "INTERVAL_OUT_OF_RANGE",
            f"min_interval_ms is {request.min_interval_ms}; expected 0 to {MAX_INTERVAL_MS}",
            field="min_interval_ms",
        )
    return asked_in(request.query, "query."), request.min_interval_ms / 1000


def windows_in(request: metering_pb2.QueryUsageRequest) -> list[Asked]:
    """A question for each window."""
    subscription_id = text_in(request.subscription_id, "subscription_id")
    window = _WINDOWS.get(request.window)
    if window is None:
        raise InvalidArgument("FIELD_MISSING", "window is required", field="window")
    start, end = period_in(request.period, request.HasField("period"), "period")
    _require_calendar(start, end, "period")
    question = Question(
        meter_codes=_meter_codes_in(request.meter_codes, ""),
        start=start,
        end=end,
        filters=filters_in(request.filters, "filters", any_value=True),
        group_by=dimensions_in(request.group_by, "group_by"),
    )
    found = []
    for first, last in windows(start, end, window, zone_in(request.time_zone, "time_zone")):
        found.append((subscription_id, replace(question, start=first, end=last)))
        if len(found) * len(question.meter_codes) > MAX_WINDOWS:
            raise InvalidArgument(
                "WINDOWS_TOO_MANY", f"more than {MAX_WINDOWS} windows times meters; ask for less", field="period"
            )
    return found


def windows_out(asked: Sequence[Asked], answers: Answers) -> metering_pb2.QueryUsageResponse:
    response = metering_pb2.QueryUsageResponse(watermark=answers.watermark)
    for (_, question), usages in zip(asked, answers.usages, strict=True):
        window = response.windows.add(period=period_out(question.start, question.end))
        _add_usages(window, usages)
    return response


def answer_out(answers: Answers) -> metering_pb2.GetUsageResponse:
    """Of one question."""
    [usages] = answers.usages
    response = metering_pb2.GetUsageResponse(watermark=answers.watermark)
    _add_usages(response, usages)
    return response


def batch_out(answers: Answers) -> metering_pb2.BatchGetUsageResponse:
    response = metering_pb2.BatchGetUsageResponse(watermark=answers.watermark)
    for usages in answers.usages:
        _add_usages(response.answers.add(watermark=answers.watermark), usages)
    return response


def stream_out(answers: Answers) -> metering_pb2.StreamUsageResponse:
    """Of one question."""
    [usages] = answers.usages
    response = metering_pb2.StreamUsageResponse(watermark=answers.watermark)
    _add_usages(response, usages)
    return response


def _add_usages(
    into: metering_pb2.GetUsageResponse | metering_pb2.UsageWindow | metering_pb2.StreamUsageResponse,
    usages: Iterable[Usage],
) -> None:
    """Each made in its place, and without what it does not have: a batch has tens of thousands."""
    for code, quantity, event_count, part, group, full_quantity, amount, events in usages:
        made = into.usages.add(meter_code=code, quantity=plain(quantity), event_count=event_count)
        if part:
            made.part = part
        if group:
            made.group.update(group)
        if full_quantity is not None:
            made.full_quantity = plain(full_quantity)
        if amount is not None:
            made.amount = plain(amount)
        if events:
            made.events.extend(map(_event_units_out, events))


def _event_units_out(units: EventUnits) -> metering_pb2.EventUnits:
    return metering_pb2.EventUnits(
        transaction_id=units.transaction_id,
        timestamp=timestamp_out(units.event_time),
        value=plain(units.value),
        prorated_value=_optional_out(units.prorated_value),
        amount=_optional_out(units.amount),
    )


def event_usage_out(usage: EventUsage) -> metering_pb2.EventUsage:
    return metering_pb2.EventUsage(
        meter_code=usage.meter_code,
        part=usage.part,
        group=dict(usage.group),
        units=plain(usage.units),
        prorated_units=_optional_out(usage.prorated_units),
        running_quantity=plain(usage.running),
        high_water_mark=plain(usage.mark),
    )


def _optional_out(value: Decimal | None) -> str:
    return "" if value is None else plain(value)
