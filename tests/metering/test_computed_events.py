"""What a meter with an expression records, and what it refuses."""

import pytest

from libs.common.errors import FailedPrecondition, InvalidArgument
from tests.metering.conftest import Client
from tests.metering.requests import count_meter, create_meter, event, ingest, make_meters, sum_meter, used
from weir.metering.v1.metering_pb2 import GetMeterRequest, ListEventsRequest, Meter
from weir.metering.v1.meters_pb2 import EvaluateExpressionRequest
from weir.metering.v1.meters_pb2_grpc import MeterServiceStub

COST = "round(event.properties.tokens * event.properties.rate, 6)"


def computed_meter(
    code: str = "cost",
    expression: str = COST,
    value_property: str = "cost",
    aggregation: Meter.Aggregation.ValueType = Meter.AGGREGATION_SUM,
    **filters: list[str],
) -> Meter:
    meter = sum_meter(code, value_property=value_property, **filters)
    meter.expression, meter.aggregation = expression, aggregation
    return meter


async def recorded(metering: Client) -> list[dict[str, str]]:
    found = await metering.ListEvents(ListEventsRequest(subscription_id="sub-0"))
    return [dict(each.event.properties) for each in found.events]


async def test_the_value_of_an_event_is_computed_when_it_is_recorded(metering: Client, other_server: Client) -> None:
    await make_meters(metering, computed_meter(), count_meter(event_code="llm"))
    assert (await metering.GetMeter(GetMeterRequest(code="cost"))).meter.expression == COST
    answer = await ingest(
        other_server,
        [event("t-0", tokens="1000", rate="0.0025"), event("t-1", tokens="3", rate="0.1", cost="999")],
    )
    assert answer.accepted_count == 2
    assert await used(metering, "cost", "requests") == {"cost": "2.8", "requests": "2"}
    assert await recorded(metering) == [
        {"tokens": "1000", "rate": "0.0025", "cost": "2.5"},
        {"tokens": "3", "rate": "0.1", "cost": "0.3"},
    ]


async def test_a_retry_is_a_duplicate_of_what_was_sent(metering: Client) -> None:
    """What was sent is compared, not what was recorded: also where the expression came in between."""
    await make_meters(metering, count_meter(event_code="llm"))
    before = event("t-0", tokens="1", rate="2", cost="3")
    await ingest(metering, [before])
    await make_meters(metering, computed_meter())
    after = event("t-1", tokens="1", rate="2", cost="3")
    await ingest(metering, [after])
    assert list((await ingest(metering, [before, after, after])).duplicate_indexes) == [0, 1, 2]
    [reused] = (await ingest(metering, [event("t-1", tokens="1", rate="2", cost="2")])).failures
    assert reused.reason == "TRANSACTION_ID_REUSED"
    assert await used(metering, "cost") == {"cost": "5"}


async def test_an_event_on_which_an_expression_fails_is_refused_alone(metering: Client) -> None:
    await make_meters(metering, computed_meter(expression="event.properties.tokens / event.properties.seats"))
    answer = await ingest(
        metering,
        [
            event("t-0", tokens="9", seats="2"),
            event("t-1", tokens="9", seats="0"),
            event("t-2", tokens="9"),
            event("t-3", tokens="many", seats="2"),
            event("t-4", tokens="9" * 26, seats="0.001"),
            event("", tokens="9"),
        ],
    )
    assert [(each.index, each.field, each.reason) for each in answer.failures] == [
        (1, "properties.cost", "EXPRESSION_FAILED"),
        (2, "properties.cost", "EXPRESSION_FAILED"),
        (3, "properties.cost", "EXPRESSION_FAILED"),
        (4, "properties.cost", "EXPRESSION_FAILED"),
        (5, "transaction_id", "FIELD_MISSING"),
    ]
    assert answer.failures[0].message == "properties.cost can't be computed: 9 is divided by 0"
    assert await used(metering, "cost") == {"cost": "4.5"}


async def test_only_events_that_the_filters_admit_are_computed(metering: Client) -> None:
    await make_meters(metering, computed_meter(model=["large"]), sum_meter("costs", value_property="cost"))
    answer = await ingest(
        metering,
        [
            event("t-0", tokens="2", rate="3", model="large"),
            event("t-1", cost="1", model="small"),
            event("t-2", model="small"),
        ],
    )
    assert [(each.index, each.field, each.reason) for each in answer.failures] == [
        (2, "properties.cost", "PROPERTY_MISSING")
    ]
    assert await used(metering, "cost", "costs") == {"cost": "6", "costs": "7"}


async def test_expressions_see_what_was_sent_whatever_else_is_computed(metering: Client) -> None:
    await make_meters(
        metering,
        computed_meter("a", "event.properties.x + 1", "x"),
        computed_meter("b", "event.properties.x * 10", "y"),
    )
    await ingest(metering, [event(x="5")])
    assert await recorded(metering) == [{"x": "6", "y": "50"}]


async def test_a_unique_count_counts_computed_texts(metering: Client) -> None:
    text = "concat(event.properties.region, '/', event.properties.host)"
    await make_meters(metering, computed_meter("hosts", text, "host_id", Meter.AGGREGATION_UNIQUE_COUNT))
    hosts = [("eu", "a"), ("eu", "b"), ("us", "a"), ("eu", "a")]
    await ingest(metering, [event(f"t-{n}", region=region, host=host) for n, (region, host) in enumerate(hosts)])
    assert await used(metering, "hosts") == {"hosts": "3"}
    [refused] = (await ingest(metering, [event("t", region="eu", host="a", operation_type="move")])).failures
    assert refused.reason == "OPERATION_UNKNOWN"


@pytest.mark.parametrize(
    ("meter", "reason"),
    [
        (computed_meter(expression="event.properties.a *"), "EXPRESSION_MALFORMED"),
        (computed_meter(expression="x" * 1001), "FIELD_TOO_LONG"),
        (Meter(code="m", aggregation=Meter.AGGREGATION_COUNT, expression="1"), "EXPRESSION_UNUSED"),
    ],
)
async def test_a_wrong_expression_is_refused(metering: Client, meter: Meter, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await metering.CreateMeter(create_meter(meter))
    assert (refused.value.field, refused.value.reason) == ("meter.expression", reason)


async def test_a_malformed_expression_is_told_its_column(metering: Client) -> None:
    with pytest.raises(InvalidArgument, match="unexpected '\\)' at column 5"):
        await metering.CreateMeter(create_meter(computed_meter(expression="(1 +)")))


@pytest.mark.parametrize(
    "other",
    [
        computed_meter("other", "event.properties.tokens"),
        computed_meter("other", "event.properties.tokens", "model"),
        computed_meter("other", "1", "tier", cost=["1"]),
        computed_meter("other", "1", "tier", tier=["1"]),
    ],
    ids=["one property twice", "writes what the first filters by", "filters by what the first writes", "by its own"],
)
async def test_meters_of_one_event_code_must_agree(metering: Client, other: Meter) -> None:
    await make_meters(metering, computed_meter(model=["large"]))
    request = create_meter(other)
    with pytest.raises(FailedPrecondition) as refused:
        await metering.CreateMeter(request)
    assert refused.value.reason == "EXPRESSION_CONFLICT"
    elsewhere = computed_meter("elsewhere", "event.properties.tokens")
    elsewhere.event_code = "other"
    await make_meters(metering, computed_meter("same", COST), elsewhere)


async def test_an_expression_is_tried_without_recording_anything(meters: MeterServiceStub, metering: Client) -> None:
    sample = event(tokens="10", rate="0.5")
    answer = await meters.EvaluateExpression(EvaluateExpressionRequest(expression=COST, event=sample))
    assert (answer.value, answer.is_decimal) == ("5", True)
    answer = await meters.EvaluateExpression(EvaluateExpressionRequest(expression="event.code", event=sample))
    assert (answer.value, answer.is_decimal) == ("llm", False)
    for expression, reason in {"event.properties.x": "EXPRESSION_FAILED", "1 +": "EXPRESSION_MALFORMED"}.items():
        with pytest.raises(InvalidArgument) as refused:
            await meters.EvaluateExpression(EvaluateExpressionRequest(expression=expression, event=sample))
        assert (refused.value.field, refused.value.reason) == ("expression", reason)
    assert await recorded(metering) == []
