"""A version counts events from its instant on; what was used before, and every answer given, stays."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from libs.common.errors import BillingError
from libs.common.wire import timestamp_out
from tests.metering.conftest import Client, Connect, Hands
from tests.metering.requests import END, NOW, START, event, ingest, make_meters, sum_meter, usage_of, used
from weir.metering.v1.metering_pb2 import (
    DimensionFilter,
    GetMeterRequest,
    GetUsageResponse,
    ListMetersRequest,
    Meter,
    MeterDefinition,
    MeterVersion,
    QueryUsageRequest,
    Rounding,
)
from weir.metering.v1.meters_pb2 import CreateMeterVersionRequest, ListMeterVersionsRequest

if TYPE_CHECKING:
    from weir.metering.v1.meters_pb2_grpc import MeterServiceAsyncStub

SOON = timedelta(minutes=10)
HOUR = timedelta(hours=1)


def definition(event_code: str = "llm", value_property: str = "tokens", **others: object) -> MeterDefinition:
    return MeterDefinition(event_code=event_code, value_property=value_property, **others)  # type: ignore[arg-type]


def version_request(
    sent: MeterDefinition, at: datetime | None = NOW + SOON, code: str = "tokens", request_id: str | None = None
) -> CreateMeterVersionRequest:
    return CreateMeterVersionRequest(
        request_id=request_id or str(uuid.uuid4()), code=code, definition=sent, effective_time=timestamp_out(at)
    )


async def make_version(
    meters: "MeterServiceAsyncStub", sent: MeterDefinition, at: datetime | None = NOW + SOON, code: str = "tokens"
) -> MeterVersion:
    return (await meters.CreateMeterVersion(version_request(sent, at, code))).version


async def test_usage_is_counted_by_the_version_at_the_time_of_each_event(
    metering: Client, other_server: Client, meters: "MeterServiceAsyncStub", clock: Hands
) -> None:
    await make_meters(metering)
    at = NOW + SOON
    await make_version(meters, definition(value_property="output"), at)
    clock.now = NOW + HOUR
    await ingest(
        other_server,
        [
            event("a", at=at - timedelta(microseconds=1), tokens="1", output="100"),
            event("b", at=at, tokens="20", output="1000"),
            event("c", at=NOW - HOUR, tokens="3", output="5000"),
        ],
    )
    assert await used(metering, "tokens", "requests") == {"tokens": "1004", "requests": "3"}


async def test_what_a_version_needs_is_asked_of_the_events_of_its_time(
    metering: Client, meters: "MeterServiceAsyncStub", clock: Hands
) -> None:
    await make_meters(metering, sum_meter())
    at = NOW + SOON
    await make_version(meters, definition("chat", "cost", expression="event.properties.tokens * 2"), at)
    clock.now = NOW + HOUR
    answer = await ingest(
        metering,
        [
            event("a", at=NOW, tokens="1"),
            event("b", at=NOW, cost="1"),
            event("c", code="chat", at=NOW, tokens="1"),
            event("d", at=at, tokens="1"),
            event("e", code="chat", at=at, tokens="4"),
            event("f", code="chat", at=at, cost="1"),
        ],
    )
    assert [(each.index, each.field, each.reason) for each in answer.failures] == [
        (1, "properties.tokens", "PROPERTY_MISSING"),
        (2, "code", "METER_UNKNOWN"),
        (3, "code", "METER_UNKNOWN"),
        (5, "properties.cost", "EXPRESSION_FAILED"),
    ]
    assert await used(metering, "tokens") == {"tokens": "9"}


async def test_a_watermark_asked_again_does_not_know_later_versions(
    metering: Client, other_server: Client, meters: "MeterServiceAsyncStub", clock: Hands
) -> None:
    """Also where rounding, or what was there before a period to come, would change the figure."""
    meter = sum_meter()
    meter.recurring = True
    await make_meters(metering, meter)
    await ingest(metering, [event("a", tokens="1.25", output="7")])
    periods = [(START, END), (NOW + HOUR, END), (END, END + 30 * 24 * HOUR)]
    queries = [usage_of("tokens", start=start, end=end) for start, end in periods]
    before = [await metering.GetUsage(query) for query in queries]
    assert {each.watermark for each in before} == {2}
    rounding = Rounding(function=Rounding.FUNCTION_CEIL)
    await make_version(meters, definition(value_property="output", rounding=rounding))
    after = [await other_server.GetUsage(query) for query in queries]
    assert [quantity(each) for each in after] == ["1.25", "2", "2"]
    assert {each.watermark for each in after} == {3}
    clock.now = NOW + HOUR
    await ingest(metering, [event("b", at=NOW + SOON, tokens="0", output="2")])
    for query, old, newer in zip(queries, before, after, strict=True):
        query.watermark = 2
        assert await other_server.GetUsage(query) == old
        query.watermark = 3
        assert await other_server.GetUsage(query) == newer
        query.watermark = 0
    assert [quantity(await metering.GetUsage(query)) for query in queries] == ["3.25", "4", "4"]


def quantity(answer: GetUsageResponse) -> str:
    [usage] = answer.usages
    return usage.quantity


async def test_windows_on_both_sides_of_a_version_add_up(
    metering: Client, meters: "MeterServiceAsyncStub", clock: Hands
) -> None:
    await make_meters(metering, sum_meter())
    await make_version(meters, definition(value_property="output"))
    clock.now = NOW + HOUR
    events = [event(f"t-{n}", at=NOW + n * timedelta(minutes=4), tokens="1", output="100") for n in range(5)]
    await ingest(metering, events)
    request = QueryUsageRequest(
        subscription_id="sub-0", meter_codes=["tokens"], period=usage_of("tokens").period, window="WINDOW_DAY"
    )
    windows = (await metering.QueryUsage(request)).windows
    assert [usage.quantity for each in windows for usage in each.usages if usage.event_count] == ["203"]


async def test_dimensions_of_any_version_can_be_asked_for(
    metering: Client, meters: "MeterServiceAsyncStub", clock: Hands
) -> None:
    first = sum_meter()
    first.dimensions.append("region")
    await make_meters(metering, first)
    await make_version(meters, definition(dimensions=["model"]))
    clock.now = NOW + HOUR
    sent = [("a", NOW, "eu", "x"), ("b", NOW, "us", "x"), ("c", NOW + SOON, "eu", "y")]
    await ingest(metering, [event(id_, at=at, tokens="1", region=region, model=m) for id_, at, region, m in sent])
    for names, expected in {
        ("region",): {("eu",): "2", ("us",): "1"},
        ("model",): {("x",): "2", ("y",): "1"},
        ("model", "region"): {("x", "eu"): "1", ("x", "us"): "1", ("y", "eu"): "1"},
    }.items():
        query = usage_of("tokens")
        query.group_by.extend(names)
        found = (await metering.GetUsage(query)).usages
        assert {tuple(usage.group[name] for name in names): usage.quantity for usage in found} == expected


async def test_a_meter_shows_its_version_in_effect_and_those_to_come(
    metering: Client, meters: "MeterServiceAsyncStub", clock: Hands
) -> None:
    await make_meters(metering)
    sent = definition(
        "chat",
        "output",
        filters=[DimensionFilter(property="model", values=["small"])],
        expression="event.properties.a + 1",
        rounding=Rounding(function=Rounding.FUNCTION_FLOOR, precision=2),
        dimensions=["model"],
    )
    made = await make_version(meters, sent)
    assert made == MeterVersion(
        version=2, definition=sent, effective_time=timestamp_out(NOW + SOON), create_time=timestamp_out(NOW)
    )
    last = await make_version(meters, definition(), NOW + HOUR)

    async def shown() -> Meter:
        listed = {meter.code: meter for meter in (await metering.ListMeters(ListMetersRequest())).meters}
        meter = (await metering.GetMeter(GetMeterRequest(code="tokens"))).meter
        assert listed["tokens"] == meter
        assert meter.create_time.ToDatetime(UTC) == NOW
        return meter

    meter = await shown()
    assert (meter.version, meter.value_property, list(meter.pending_versions)) == (1, "tokens", [made, last])
    clock.now = NOW + SOON
    meter = await shown()
    assert (meter.version, meter.event_code, list(meter.pending_versions)) == (2, "chat", [last])
    assert (meter.expression, list(meter.dimensions), meter.rounding) == (
        sent.expression, ["model"], sent.rounding,
    )  # fmt: skip
    clock.now = NOW + HOUR
    assert (await shown()).version == 3
    assert (await metering.GetMeter(GetMeterRequest(code="requests"))).meter.version == 1


async def test_versions_are_listed_in_pages(metering: Client, meters: "MeterServiceAsyncStub") -> None:
    await make_meters(metering)
    for number in range(1, 5):
        await make_version(meters, definition(value_property=f"p{number}"), NOW + number * HOUR)
    seen: list[tuple[int, str, bool]] = []
    request = ListMeterVersionsRequest(code="tokens", page_size=2)
    while request.page_token or not seen:
        page = await meters.ListMeterVersions(request)
        assert len(page.versions) <= 2
        seen += [(v.version, v.definition.value_property, v.HasField("effective_time")) for v in page.versions]
        request.page_token = page.next_page_token
    assert seen == [(1, "tokens", False), *((n + 1, f"p{n}", True) for n in range(1, 5))]


async def test_a_version_takes_effect_as_soon_as_it_can(
    metering: Client, meters: "MeterServiceAsyncStub", clock: Hands
) -> None:
    """A repeated request is answered with the version made the first time, whenever that was."""
    await make_meters(metering)
    request = version_request(definition(), None)
    made = await meters.CreateMeterVersion(request)
    assert made.version.effective_time.ToDatetime(UTC) == NOW + SOON
    clock.now = NOW + 30 * 24 * HOUR
    assert await meters.CreateMeterVersion(request) == made
    request.definition.value_property = "other"
    with pytest.raises(BillingError) as refused:
        await meters.CreateMeterVersion(request)
    assert refused.value.reason == "REQUEST_ID_REUSED"


CEIL = Rounding(function=Rounding.FUNCTION_CEIL, precision=21)


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        (
            version_request(definition(), NOW + SOON - timedelta(microseconds=1)),
            "effective_time",
            "EFFECTIVE_TIME_TOO_EARLY",
        ),
        (version_request(definition(), datetime(2300, 1, 1, tzinfo=UTC)), "effective_time", "TIME_OUT_OF_RANGE"),
        (version_request(definition(event_code="")), "definition.event_code", "FIELD_MISSING"),
        (version_request(definition(value_property="")), "definition.value_property", "FIELD_MISSING"),
        (version_request(definition(expression="1 +")), "definition.expression", "EXPRESSION_MALFORMED"),
        (version_request(definition(rounding=CEIL)), "definition.rounding.precision", "PRECISION_OUT_OF_RANGE"),
        (version_request(definition(), code="requests"), "definition.value_property", "VALUE_PROPERTY_UNUSED"),
        (CreateMeterVersionRequest(request_id=str(uuid.uuid4()), code="tokens"), "definition", "FIELD_MISSING"),
        (version_request(definition(), code="none"), "", "METER_NOT_FOUND"),
        (version_request(definition(), request_id="x"), "request_id", "REQUEST_ID_MALFORMED"),
    ],
)
async def test_a_wrong_version_is_refused_by_field(
    metering: Client,
    meters: "MeterServiceAsyncStub",
    request_: CreateMeterVersionRequest,
    field: str,
    reason: str,
) -> None:
    await make_meters(metering)
    with pytest.raises(BillingError) as refused:
        await meters.CreateMeterVersion(request_)
    assert (getattr(refused.value, "field", ""), refused.value.reason) == (field, reason)


async def test_versions_follow_each_other(metering: Client, meters: "MeterServiceAsyncStub") -> None:
    await make_meters(metering)
    await make_version(meters, definition(), NOW + HOUR)
    for at in (None, NOW + SOON, NOW + HOUR):
        with pytest.raises(BillingError) as refused:
            await make_version(meters, definition(), at)
        assert refused.value.reason == "METER_VERSION_PENDING"


async def test_of_versions_made_at_once_one_is_the_next(metering: Client, meters: "MeterServiceAsyncStub") -> None:
    await make_meters(metering)
    made = await asyncio.gather(*(make_version(meters, definition()) for _ in range(8)), return_exceptions=True)
    assert [each.version for each in made if isinstance(each, MeterVersion)] == [2]
    assert {each.reason for each in made if isinstance(each, BillingError)} == {"METER_VERSION_PENDING"}


async def test_versions_agree_with_the_meters_of_their_time(metering: Client, meters: "MeterServiceAsyncStub") -> None:
    other = sum_meter("cost", value_property="cost")
    other.expression = "event.properties.tokens * 2"
    await make_meters(metering, sum_meter(), other)
    conflicting = definition(value_property="cost", expression="event.properties.tokens * 3")
    with pytest.raises(BillingError) as refused:
        await make_version(meters, conflicting)
    assert refused.value.reason == "EXPRESSION_CONFLICT"
    await make_version(meters, definition(value_property="price"), code="cost")
    await make_version(meters, conflicting)


async def test_versions_of_one_tenant_are_no_other_tenants(
    metering: Client, meters: "MeterServiceAsyncStub", connect: Connect, clock: Hands
) -> None:
    globex = connect("globex")
    await make_meters(globex)
    await make_meters(metering)
    await make_version(meters, definition(value_property="output"))
    clock.now = NOW + HOUR
    for client in (metering, globex):
        await ingest(client, [event(at=NOW + SOON, tokens="1", output="2")])
    assert (await used(metering, "tokens"), await used(globex, "tokens")) == ({"tokens": "2"}, {"tokens": "1"})
