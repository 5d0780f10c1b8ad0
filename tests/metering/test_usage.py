import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.errors import BillingError, FailedPrecondition, InvalidArgument, NotFound
from libs.common.money import EXACT, plain
from libs.common.wire import period_out
from tests.metering.conftest import Client, Connect
from tests.metering.requests import (
    END,
    NOW,
    START,
    count_meter,
    event,
    ingest,
    make_meters,
    sum_meter,
    usage_of,
    used,
)
from weir.metering.v1.metering_pb2 import BatchGetUsageRequest, GetUsageRequest, Meter

HOUR = timedelta(hours=1)


async def test_an_acknowledged_event_is_read_at_once_on_every_server(metering: Client, other_server: Client) -> None:
    await make_meters(metering)
    for number in range(1, 30):
        writer, reader = (metering, other_server) if number % 2 else (other_server, metering)
        await ingest(writer, [event(f"t-{number}", tokens="2")])
        assert await used(reader, "tokens", "requests") == {"tokens": str(2 * number), "requests": str(number)}


async def test_usages_come_in_the_order_asked(metering: Client) -> None:
    await make_meters(metering, count_meter("b", event_code="llm"), count_meter("a", event_code="llm"), sum_meter("c"))
    answer = await metering.GetUsage(usage_of("c", "a", "b"))
    assert [usage.meter_code for usage in answer.usages] == ["c", "a", "b"]


async def test_a_subscription_without_events_has_used_nothing(metering: Client) -> None:
    await make_meters(metering)
    answer = await metering.GetUsage(usage_of("tokens", subscription_id="nobody"))
    assert (answer.usages[0].quantity, answer.usages[0].event_count) == ("0", 0)


async def test_a_period_has_its_first_instant_and_not_its_last(metering: Client) -> None:
    await make_meters(metering)
    tick = timedelta(microseconds=1)
    times = [START - tick, START, START + tick, NOW - tick, NOW]
    await ingest(metering, [event(f"t-{at}", tokens="1", at=at) for at in times])
    for start, end in itertools.combinations(sorted({*times, START - HOUR, NOW + HOUR}), 2):
        answer = await metering.GetUsage(usage_of("requests", start=start, end=end))
        assert answer.usages[0].event_count == sum(start <= at < end for at in times)


async def test_sums_are_exact_far_beyond_a_float(metering: Client) -> None:
    await make_meters(metering)
    values = ["99999999999999999999999999.999999999999", "0.000000000001", "-0.1", "0.2", "1.50"]
    await ingest(metering, [event(f"t-{value}", tokens=value) for value in values])
    assert await used(metering, "tokens") == {"tokens": "100000000000000000000000001.6"}


async def test_a_sum_may_be_negative(metering: Client) -> None:
    await make_meters(metering)
    await ingest(metering, [event("a", tokens="1"), event("b", tokens="-3.25")])
    assert await used(metering, "tokens") == {"tokens": "-2.25"}


async def test_only_events_that_every_filter_admits_count(metering: Client) -> None:
    await make_meters(
        metering,
        sum_meter(),
        sum_meter("small", model=["small", "tiny"]),
        sum_meter("small_eu", model=["small", "tiny"], region=["eu", ""]),
        Meter(
            code="large_calls",
            event_code="llm",
            aggregation=Meter.AGGREGATION_COUNT,
            filters=sum_meter(model=["large"]).filters,
        ),
    )
    await ingest(
        metering,
        [
            event("a", tokens="1", model="small", region="eu"),
            event("b", tokens="10", model="tiny", region="us"),
            event("c", tokens="100", model="large", region="eu"),
            event("d", tokens="1000", region="eu"),
            event("e", tokens="10000", model="tiny", region=""),
            event("f", tokens="100000", model="Small", region="eu"),
        ],
    )
    assert await used(metering, "tokens", "small", "small_eu", "large_calls") == {
        "tokens": "111111",
        "small": "10011",
        "small_eu": "10001",
        "large_calls": "1",
    }


async def test_one_event_feeds_every_meter_of_its_code_and_no_other(metering: Client) -> None:
    await make_meters(metering, count_meter("calls", event_code="llm"), sum_meter(), count_meter("gpu"))
    await ingest(metering, [event("a", tokens="5"), event("b", code="gpu")])
    assert await used(metering, "calls", "tokens", "gpu") == {"calls": "1", "tokens": "5", "gpu": "1"}


async def test_values_that_a_later_meter_cannot_add_up_do_not_count(metering: Client) -> None:
    await make_meters(metering, count_meter("calls", event_code="llm"))
    values = ["1", "x", "1e3", "NaN", "1" * 27, "", "2.5\n"]
    await ingest(metering, [event("none"), *(event(f"t-{value!r}", tokens=value) for value in values)])
    await make_meters(metering, sum_meter())
    [calls, tokens] = (await metering.GetUsage(usage_of("calls", "tokens"))).usages
    assert (calls.quantity, tokens.quantity, tokens.event_count) == ("8", "1", 1)


async def test_one_wrong_question_names_its_place_in_the_batch(metering: Client) -> None:
    await make_meters(metering)
    good = usage_of("tokens")
    for wrong, field, reason in WRONG:
        with pytest.raises(InvalidArgument) as refused:
            await metering.BatchGetUsage(BatchGetUsageRequest(queries=[good, wrong]))
        assert (refused.value.field, refused.value.reason) == (f"queries[1].{field}", reason)
        with pytest.raises(InvalidArgument) as refused:
            await metering.GetUsage(wrong)
        assert (refused.value.field, refused.value.reason) == (field, reason)


WRONG: list[tuple[GetUsageRequest, str, str]] = [
    (usage_of("tokens", subscription_id=""), "subscription_id", "FIELD_MISSING"),
    (usage_of("tokens", subscription_id="x" * 256), "subscription_id", "FIELD_TOO_LONG"),
    (usage_of(), "meter_codes", "FIELD_MISSING"),
    (usage_of("tokens", "requests", "tokens"), "meter_codes", "METER_REPEATED"),
    (usage_of("tokens", "A B"), "meter_codes[1]", "CODE_MALFORMED"),
    (GetUsageRequest(subscription_id="s", meter_codes=["tokens"]), "period", "FIELD_MISSING"),
    (usage_of("tokens", start=END, end=START), "period.end_time", "PERIOD_EMPTY"),
]


@pytest.mark.parametrize(
    ("request_", "error", "reason"),
    [
        (BatchGetUsageRequest(), InvalidArgument, "FIELD_MISSING"),
        (BatchGetUsageRequest(queries=[usage_of("tokens")] * 10_001), InvalidArgument, "QUERIES_TOO_MANY"),
        (BatchGetUsageRequest(queries=[usage_of("tokens", watermark=1)]), InvalidArgument, "WATERMARK_MISPLACED"),
        (BatchGetUsageRequest(queries=[usage_of("tokens")], watermark=-1), InvalidArgument, "WATERMARK_NEGATIVE"),
        (BatchGetUsageRequest(queries=[usage_of("tokens")], watermark=9), FailedPrecondition, "WATERMARK_AHEAD"),
        (BatchGetUsageRequest(queries=[usage_of("tokens"), usage_of("none")]), NotFound, "METER_NOT_FOUND"),
    ],
)
async def test_a_wrong_batch_is_refused(
    metering: Client, request_: BatchGetUsageRequest, error: type[BillingError], reason: str
) -> None:
    await make_meters(metering)
    with pytest.raises(error) as refused:
        await metering.BatchGetUsage(request_)
    assert refused.value.reason == reason


async def test_an_unknown_meter_is_named(metering: Client, connect: Connect) -> None:
    await make_meters(connect("globex"), count_meter("theirs"))
    await make_meters(metering)
    with pytest.raises(NotFound) as refused:
        await metering.GetUsage(usage_of("tokens", "theirs"))
    assert refused.value.reason == "METER_NOT_FOUND"
    assert refused.value.metadata == {"meter_code": "theirs"}


async def test_a_batch_answers_ten_thousand_questions_in_order(metering: Client) -> None:
    await make_meters(metering)
    await ingest(metering, [event(f"t-{n}", f"sub-{n}", tokens=str(n)) for n in range(5_000)])
    queries = [usage_of("tokens", "requests", subscription_id=f"sub-{n}") for n in reversed(range(10_000))]
    answer = await metering.BatchGetUsage(BatchGetUsageRequest(queries=queries), timeout=60)
    assert [[usage.quantity for usage in each.usages] for each in answer.answers] == [
        [str(n if n < 5_000 else 0), str(int(n < 5_000))] for n in reversed(range(10_000))
    ]
    assert {each.watermark for each in answer.answers} == {answer.watermark}


DECIMALS = st.decimals(min_value=-(10**20), max_value=10**20, places=12, allow_nan=False, allow_infinity=False)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 3).map(lambda day: START + timedelta(days=day)),
        DECIMALS,
        st.sampled_from(["small", "large", None]),
    ),
    max_size=40,
)
_examples = itertools.count()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=EVENTS, again=st.data(), first_day=st.integers(0, 3), days=st.integers(1, 3))
async def test_usage_is_what_a_naive_recomputation_gives(
    metering: Client,
    sent: list[tuple[str, datetime, Decimal, str | None]],
    again: st.DataObject,
    first_day: int,
    days: int,
) -> None:
    """Any events, in any batches and any order, any of them sent again."""
    example = next(_examples)
    if example == 0:
        await make_meters(
            metering, count_meter("calls", event_code="llm"), sum_meter(), sum_meter("s", model=["small"])
        )
    events = [
        event(f"t-{n}", f"{example}-{name}", at=at, tokens=plain(value), **({"model": model} if model else {}))
        for n, (name, at, value, model) in enumerate(sent)
    ]
    queue = again.draw(st.permutations(events * 2))
    while queue:
        size = again.draw(st.integers(1, len(queue)))
        await ingest(metering, queue[:size])
        queue = queue[size:]
    start, end = START + timedelta(days=first_day), START + timedelta(days=first_day + days)
    queries = [
        GetUsageRequest(
            subscription_id=f"{example}-{name}", meter_codes=["calls", "tokens", "s"], period=period_out(start, end)
        )
        for name in "abc"
    ]
    answers = (await metering.BatchGetUsage(BatchGetUsageRequest(queries=queries))).answers
    for name, answer in zip("abc", answers, strict=True):
        mine = [(value, model) for who, at, value, model in sent if who == name and start <= at < end]
        small = [value for value, model in mine if model == "small"]
        assert [(usage.quantity, usage.event_count) for usage in answer.usages] == [
            (str(len(mine)), len(mine)),
            (plain(reduce(EXACT.add, [value for value, _ in mine], Decimal(0))), len(mine)),
            (plain(reduce(EXACT.add, small, Decimal(0))), len(small)),
        ]
