"""What usage can be asked: parts, groups, single events, in advance, windows; and events as they were sent."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from libs.common.errors import BillingError, FailedPrecondition, InvalidArgument, NotFound
from libs.common.wire import period_out, timestamp_out
from tests.metering.conftest import Client, Connect
from tests.metering.requests import END, NOW, START, event, ingest, make_meters, usage_of
from weir.metering.v1.metering_pb2 import (
    BatchGetUsageRequest,
    DimensionFilter,
    Event,
    GetEventUsageRequest,
    GetUsageRequest,
    ListEventsRequest,
    Meter,
    QueryUsageRequest,
    Rounding,
    Usage,
    UsagePart,
)

DAY = timedelta(days=1)


def tokens(aggregation: "Meter.Aggregation" = Meter.AGGREGATION_SUM, *, recurring: bool = False) -> Meter:
    return Meter(
        code="tokens",
        event_code="llm",
        aggregation=aggregation,
        value_property="tokens",
        recurring=recurring,
        dimensions=["model", "region"],
    )


def seats(*, recurring: bool = True) -> Meter:
    return Meter(
        code="seats",
        event_code="seat",
        aggregation=Meter.AGGREGATION_UNIQUE_COUNT,
        value_property="user",
        recurring=recurring,
        dimensions=["team"],
    )


def seat(transaction_id: str, user: str, at: datetime, operation_type: str = "add", **dimensions: str) -> Event:
    return event(transaction_id, code="seat", at=at, user=user, operation_type=operation_type, **dimensions)


def part(code: str, **filters: list[str]) -> UsagePart:
    return UsagePart(
        code=code, filters=[DimensionFilter(property=name, values=values) for name, values in filters.items()]
    )


def figures(usages: Iterable[Usage]) -> list[tuple[str, dict[str, str], str]]:
    return [(usage.part, dict(usage.group), usage.quantity) for usage in usages]


PRICED_APART = [
    event("a", tokens="1", model="large", region="eu"),
    event("b", tokens="10", model="large", region="us"),
    event("c", tokens="100", model="large"),
    event("d", tokens="1000", model="small", region="eu"),
    event("e", tokens="10000"),
]


async def test_each_event_counts_in_the_most_specific_part_and_in_no_other(metering: Client) -> None:
    await make_meters(metering, tokens())
    await ingest(metering, PRICED_APART)
    query = usage_of("tokens")
    query.parts.extend(
        [
            part("any_model", model=[]),
            part("some_models", model=["large", "medium"]),
            part("large", model=["large"]),
            part("large_in_europe", model=["large"], region=["eu"]),
        ]
    )
    assert figures((await metering.GetUsage(query)).usages) == [
        ("any_model", {}, "1000"),
        ("some_models", {}, "0"),
        ("large", {}, "110"),
        ("large_in_europe", {}, "1"),
        ("", {}, "10000"),
    ]


async def test_of_parts_that_are_as_specific_the_first_has_the_event(metering: Client) -> None:
    await make_meters(metering, tokens())
    await ingest(metering, PRICED_APART)
    query = usage_of("tokens")
    query.parts.extend([part("one", model=["large", "small"]), part("two", model=["large", "medium"])])
    assert figures((await metering.GetUsage(query)).usages) == [
        ("one", {}, "1111"),
        ("two", {}, "0"),
        ("", {}, "10000"),
    ]


async def test_groups_are_by_value_and_a_missing_property_is_one_of_its_own(metering: Client) -> None:
    await make_meters(metering, tokens())
    await ingest(metering, PRICED_APART)
    query = usage_of("tokens")
    query.group_by.append("region")
    query.parts.append(part("large", model=["large"]))
    assert figures((await metering.GetUsage(query)).usages) == [
        ("large", {}, "100"),
        ("large", {"region": "eu"}, "1"),
        ("large", {"region": "us"}, "10"),
        ("", {}, "10000"),
        ("", {"region": "eu"}, "1000"),
    ]


async def test_only_events_that_the_filters_of_the_question_admit_count(metering: Client) -> None:
    await make_meters(metering, tokens())
    await ingest(metering, PRICED_APART)
    for filters, quantity in [
        ([DimensionFilter(property="region", values=["eu"])], "1001"),
        ([DimensionFilter(property="region")], "1011"),
        ([DimensionFilter(property="region"), DimensionFilter(property="model", values=["large"])], "11"),
    ]:
        query = usage_of("tokens")
        query.filters.extend(filters)
        assert figures((await metering.GetUsage(query)).usages) == [("", {}, quantity)]


async def test_an_id_that_moves_between_groups_is_counted_where_it_was_added(metering: Client) -> None:
    """Groups are measured apart: in its own group an id is there until it is removed there."""
    await make_meters(metering, seats())
    await ingest(
        metering,
        [
            seat("a", "ann", START, team="red"),
            seat("b", "ann", START + DAY, team="blue"),
            seat("c", "ann", START + 2 * DAY, "remove", team="red"),
        ],
    )
    query = usage_of("seats")
    assert figures((await metering.GetUsage(query)).usages) == [("", {}, "0")]
    query.group_by.append("team")
    assert figures((await metering.GetUsage(query)).usages) == [("", {"team": "blue"}, "1"), ("", {"team": "red"}, "0")]


async def test_single_events_come_in_the_order_of_time_with_what_they_add(metering: Client) -> None:
    await make_meters(metering, tokens(Meter.AGGREGATION_MAX))
    sent = [event(f"t-{n}", at=START + n * DAY, tokens=value) for n, value in enumerate(["3", "7", "5", "7"])]
    sent[2].amount = "0.25"
    await ingest(metering, reversed(sent))
    query = usage_of("tokens")
    query.first_events = 3
    [usage] = (await metering.GetUsage(query)).usages
    assert (usage.quantity, usage.event_count, usage.amount) == ("7", 4, "0.25")
    assert [(each.transaction_id, each.value, each.amount) for each in usage.events] == [
        ("t-0", "0", ""),
        ("t-1", "7", ""),
        ("t-2", "0", "0.25"),
    ]


async def test_amounts_of_events_add_up_and_make_an_event_another(metering: Client) -> None:
    await make_meters(metering, tokens())
    priced = [event(f"t-{n}", tokens="1") for n in range(3)]
    for sent, amount in zip(priced, ("0.1", "-0.000000000001", ""), strict=True):
        sent.amount = amount
    await ingest(metering, priced)
    assert (await ingest(metering, priced)).duplicate_indexes == [0, 1, 2]
    [usage] = (await metering.GetUsage(usage_of("tokens"))).usages
    assert usage.amount == "0.099999999999"
    priced[2].amount = "5"
    assert [each.reason for each in (await ingest(metering, priced)).failures] == ["TRANSACTION_ID_REUSED"]


async def charged(metering: Client, transaction_id: str, query: GetUsageRequest) -> tuple[str, str, str, str]:
    request = GetEventUsageRequest(transaction_id=transaction_id, query=query)
    [usage] = (await metering.GetEventUsage(request)).usages
    return usage.units, usage.prorated_units, usage.running_quantity, usage.high_water_mark


async def test_an_event_is_charged_for_what_it_adds_above_the_mark_in_the_order_of_recording(metering: Client) -> None:
    await make_meters(metering, tokens())
    query = usage_of("tokens")
    recorded = [("a", "10", 9), ("b", "-6", 8), ("c", "4", 1), ("d", "5.5", 5)]
    for transaction_id, value, day in recorded:
        await ingest(metering, [event(transaction_id, tokens=value, at=START + day * DAY)])
    assert [await charged(metering, each, query) for each, _, _ in recorded] == [
        ("10", "", "10", "10"),
        ("0", "", "4", "10"),
        ("0", "", "8", "10"),
        ("3.5", "", "13.5", "13.5"),
    ]
    await ingest(metering, [event("late", tokens="-100", at=START)])
    assert await charged(metering, "d", query) == ("3.5", "", "13.5", "13.5")
    query.charged_in_advance = True
    assert figures((await metering.GetUsage(query)).usages) == [("", {}, "13.5")]


async def test_an_id_that_is_added_again_costs_nothing_in_advance(metering: Client) -> None:
    await make_meters(metering, seats())
    for sent in [
        seat("old", "ann", START - DAY),
        seat("again", "ann", START + DAY),
        seat("new", "bob", START + 10 * DAY),
        seat("gone", "bob", START + 11 * DAY, "remove"),
        seat("back", "bob", START + 12 * DAY),
    ]:
        await ingest(metering, [sent])
    query = usage_of("seats")
    query.prorated = True
    assert [await charged(metering, each, query) for each in ("again", "new", "gone", "back")] == [
        ("0", "0", "0", "0"),
        ("1", "0.66667", "1", "1"),
        ("0", "0", "0", "1"),
        ("0", "0", "1", "1"),
    ]
    query.charged_in_advance = True
    [usage] = (await metering.GetUsage(query)).usages
    assert (usage.quantity, usage.full_quantity) == ("1.66667", "2")


async def test_in_advance_each_part_and_group_has_a_mark_of_its_own(metering: Client) -> None:
    await make_meters(metering, tokens())
    for transaction_id, value, region in [("a", "5", "eu"), ("b", "-5", "eu"), ("c", "2", "us"), ("d", "6", "eu")]:
        await ingest(metering, [event(transaction_id, tokens=value, region=region)])
    query = usage_of("tokens")
    query.group_by.append("region")
    assert [(await charged(metering, each, query))[0] for each in "abcd"] == ["5", "0", "2", "1"]


async def test_an_event_that_the_meter_does_not_count_has_no_charge(metering: Client) -> None:
    await make_meters(metering, tokens())
    await ingest(metering, [event("before", tokens="1", at=START - DAY)])
    for transaction_id in ("before", "never"):
        with pytest.raises(NotFound) as refused:
            await charged(metering, transaction_id, usage_of("tokens"))
        assert refused.value.reason == "EVENT_NOT_FOUND"


async def test_windows_begin_where_the_time_zone_says_and_cover_the_period(metering: Client) -> None:
    """In Berlin the 29th of October 2023 had 25 hours."""
    await make_meters(metering, tokens())
    first = datetime(2023, 10, 27, 22, tzinfo=UTC)
    await ingest(metering, [event(f"t-{hour}", tokens="1", at=first + timedelta(hours=hour)) for hour in range(80)])
    query = QueryUsageRequest(
        subscription_id="sub-0",
        meter_codes=["tokens"],
        period=period_out(first + timedelta(hours=1), first + timedelta(hours=80)),
        window=QueryUsageRequest.WINDOW_DAY,
        time_zone="Europe/Berlin",
    )
    answer = await metering.QueryUsage(query)
    assert [each.usages[0].quantity for each in answer.windows] == ["23", "25", "24", "7"]
    for before, after in pairwise(answer.windows):
        assert before.period.end_time == after.period.start_time
    assert (answer.windows[0].period.start_time, answer.windows[-1].period.end_time) == (
        query.period.start_time,
        query.period.end_time,
    )
    query.window = QueryUsageRequest.WINDOW_HOUR
    assert [each.usages[0].quantity for each in (await metering.QueryUsage(query)).windows] == ["1"] * 79
    for window, expected in [
        (QueryUsageRequest.WINDOW_WEEK, ["48", "31"]),
        (QueryUsageRequest.WINDOW_MONTH, ["79"]),
    ]:
        query.window = window
        assert [each.usages[0].quantity for each in (await metering.QueryUsage(query)).windows] == expected


async def test_windows_are_read_at_one_watermark(metering: Client) -> None:
    await make_meters(metering, tokens())
    await ingest(metering, [event("a", tokens="1")])
    query = QueryUsageRequest(
        subscription_id="sub-0",
        meter_codes=["tokens"],
        period=period_out(START, END),
        window=QueryUsageRequest.WINDOW_MONTH,
    )
    first = await metering.QueryUsage(query)
    await ingest(metering, [event("b", tokens="1")])
    query.watermark = first.watermark
    assert await metering.QueryUsage(query) == first


async def test_events_are_listed_by_time_in_pages_that_are_one_state(metering: Client, connect: Connect) -> None:
    await make_meters(metering, tokens(), seats())
    sent = [event(f"t-{n:02}", tokens="1", at=START + (n // 3) * DAY, model=str(n)) for n in range(20)]
    sent += [seat("s-0", "ann", START + DAY), seat("s-1", "ann", START + 40 * DAY - 30 * DAY)]
    await ingest(metering, [*sent, event("other", "sub-1", tokens="1")])
    in_order = sorted(sent, key=lambda each: (each.timestamp.ToDatetime(), each.transaction_id))
    seen: list[Event] = []
    request = ListEventsRequest(subscription_id="sub-0", page_size=4)
    while request.page_token or not seen:
        page = await metering.ListEvents(request)
        seen += [each.event for each in page.events]
        assert {each.record_time.ToDatetime(UTC) for each in page.events} == {NOW}
        request.page_token, request.watermark = page.next_page_token, page.watermark
        await ingest(metering, [event(f"later-{len(seen)}", tokens="1", at=START)])
    assert seen == in_order
    request = ListEventsRequest(
        subscription_id="sub-0",
        code="seat",
        start_time=timestamp_out(START + DAY),
        end_time=timestamp_out(START + 2 * DAY),
    )
    assert [each.event.transaction_id for each in (await metering.ListEvents(request)).events] == ["s-0"]
    assert not (await connect("globex").ListEvents(ListEventsRequest(subscription_id="sub-0"))).events


async def test_events_at_a_watermark_that_is_not_reached_are_refused(metering: Client) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await metering.ListEvents(ListEventsRequest(subscription_id="sub-0", watermark=99))
    assert refused.value.reason == "WATERMARK_AHEAD"


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"recurring": True, "aggregation": Meter.AGGREGATION_MAX}, "meter.recurring", "RECURRING_UNSUPPORTED"),
        ({"percentile": "50"}, "meter.percentile", "PERCENTILE_UNUSED"),
        ({"aggregation": Meter.AGGREGATION_PERCENTILE}, "meter.percentile", "FIELD_MISSING"),
        (
            {"aggregation": Meter.AGGREGATION_PERCENTILE, "percentile": "100.1"},
            "meter.percentile",
            "PERCENTILE_OUT_OF_RANGE",
        ),
        ({"rounding": Rounding(precision=2)}, "meter.rounding.function", "FIELD_MISSING"),
        (
            {"rounding": Rounding(function=Rounding.FUNCTION_CEIL, precision=21)},
            "meter.rounding.precision",
            "PRECISION_OUT_OF_RANGE",
        ),
        ({"dimensions": ["a", "a"]}, "meter.dimensions", "DIMENSION_REPEATED"),
        ({"dimensions": [str(n) for n in range(33)]}, "meter.dimensions", "DIMENSIONS_TOO_MANY"),
    ],
)
async def test_a_meter_that_makes_no_sense_is_refused(
    metering: Client, change: dict[str, object], field: str, reason: str
) -> None:
    meter = Meter(code="m", aggregation=Meter.AGGREGATION_SUM, value_property="v")
    meter.MergeFrom(Meter(**change))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument) as refused:
        await make_meters(metering, meter)
    assert (refused.value.field, refused.value.reason) == (field, reason)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"group_by": ["colour"]}, "queries[0].meter_codes", "DIMENSION_UNKNOWN"),
        ({"group_by": ["model", "model"]}, "queries[0].group_by", "DIMENSION_REPEATED"),
        ({"filters": [DimensionFilter(property="colour")]}, "queries[0].meter_codes", "DIMENSION_UNKNOWN"),
        ({"parts": [part("a", colour=[])]}, "queries[0].meter_codes", "DIMENSION_UNKNOWN"),
        ({"parts": [UsagePart(code="a")]}, "queries[0].parts[0].filters", "FIELD_MISSING"),
        ({"parts": [part("a", model=[]), part("a", region=[])]}, "queries[0].parts", "PART_REPEATED"),
        ({"parts": [part(f"p{n}", model=[]) for n in range(1001)]}, "queries[0].parts", "PARTS_TOO_MANY"),
        ({"prorated": True}, "queries[0].prorated", "PRORATION_UNSUPPORTED"),
        ({"full_period": period_out(START + DAY, END)}, "queries[0].full_period", "PERIOD_NOT_WITHIN"),
        ({"time_zone": "Mars/Olympus"}, "queries[0].time_zone", "TIME_ZONE_UNKNOWN"),
        ({"first_events": -1}, "queries[0].first_events", "FIRST_EVENTS_OUT_OF_RANGE"),
    ],
)
async def test_a_question_that_the_meter_cannot_answer_is_refused_by_field(
    metering: Client, change: dict[str, object], field: str, reason: str
) -> None:
    await make_meters(metering, tokens())
    query = usage_of("tokens")
    query.MergeFrom(GetUsageRequest(**change))  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument) as refused:
        await metering.BatchGetUsage(BatchGetUsageRequest(queries=[query]))
    assert (refused.value.field, refused.value.reason) == (field, reason)


async def test_other_requests_that_make_no_sense_are_refused(metering: Client) -> None:
    await make_meters(metering, tokens(Meter.AGGREGATION_LATEST))
    in_advance = usage_of("tokens")
    in_advance.charged_in_advance = True
    windows = QueryUsageRequest(subscription_id="sub-0", meter_codes=["tokens"], period=period_out(START, END))
    minutes = QueryUsageRequest(window=QueryUsageRequest.WINDOW_MINUTE)
    minutes.MergeFrom(windows)
    for call, reason in [
        (metering.GetUsage(in_advance), "IN_ADVANCE_UNSUPPORTED"),
        (
            metering.GetEventUsage(GetEventUsageRequest(transaction_id="a", query=usage_of("tokens"))),
            "IN_ADVANCE_UNSUPPORTED",
        ),
        (metering.GetEventUsage(GetEventUsageRequest(transaction_id="a", query=in_advance)), "FIELD_UNUSED"),
        (metering.GetEventUsage(GetEventUsageRequest(transaction_id="a")), "FIELD_MISSING"),
        (metering.QueryUsage(windows), "FIELD_MISSING"),
        (metering.QueryUsage(minutes), "WINDOWS_TOO_MANY"),
        (metering.ListEvents(ListEventsRequest(subscription_id="a", page_token="WyJhIl0")), "PAGE_TOKEN_INVALID"),
    ]:
        with pytest.raises(BillingError) as refused:
            await call
        assert refused.value.reason == reason
