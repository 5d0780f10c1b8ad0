import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from libs.common.errors import InvalidArgument, ResourceExhausted
from services.metering.ingestion import LOOKING_GROUPS, QUEUE_EVENTS
from tests.conftest import Database
from tests.contracts.contract import sources
from tests.metering.conftest import Client, Connect
from tests.metering.requests import (
    NOW,
    count_meter,
    event,
    ingest,
    make_meters,
    sum_meter,
    usage_of,
    used,
)
from weir.metering.v1.metering_pb2 import Event, Meter

LONG = "x" * 256


def without_time() -> Event:
    sent = event(tokens="1")
    sent.ClearField("timestamp")
    return sent


def with_nanos(nanos: int) -> Event:
    sent = event(tokens="1")
    sent.timestamp.nanos = nanos
    return sent


def with_more(count: int) -> Event:
    sent = event(tokens="1")
    sent.properties.update({f"p{number}": "" for number in range(count)})
    return sent


def with_amount(amount: str) -> Event:
    sent = event(tokens="1")
    sent.amount = amount
    return sent


MALFORMED = [
    *("", "x", "1e3", "2.5e-1", "NaN", "Infinity", "+1", ".5", "1.", "1,5", " 1", "1 ", "0x10", "--1", "1_000"),
    *("٣", "²", "1" * 27, "0." + "1" * 13),
]

BAD = [
    (event(transaction_id="", tokens="1"), "transaction_id", "FIELD_MISSING"),
    (event(transaction_id=LONG, tokens="1"), "transaction_id", "FIELD_TOO_LONG"),
    (event(transaction_id="a\0b", tokens="1"), "transaction_id", "TEXT_MALFORMED"),
    (event(subscription_id="", tokens="1"), "subscription_id", "FIELD_MISSING"),
    (event(subscription_id=LONG, tokens="1"), "subscription_id", "FIELD_TOO_LONG"),
    (event(subscription_id="a\0b", tokens="1"), "subscription_id", "TEXT_MALFORMED"),
    (event(code="", tokens="1"), "code", "FIELD_MISSING"),
    (event(code="gpu", tokens="1"), "code", "METER_UNKNOWN"),
    (event(code="a\0b", tokens="1"), "code", "METER_UNKNOWN"),
    (without_time(), "timestamp", "FIELD_MISSING"),
    (with_nanos(-1), "timestamp", "TIMESTAMP_MALFORMED"),
    (with_nanos(1_000_000_000), "timestamp", "TIMESTAMP_MALFORMED"),
    (event(at=NOW + timedelta(minutes=5, microseconds=1), tokens="1"), "timestamp", "TIMESTAMP_IN_FUTURE"),
    (event(at=datetime(9999, 12, 31, tzinfo=UTC), tokens="1"), "timestamp", "TIMESTAMP_IN_FUTURE"),
    (event(at=datetime(1999, 12, 31, 23, 59, 59, 999999, UTC), tokens="1"), "timestamp", "TIMESTAMP_TOO_OLD"),
    (event(at=datetime(1, 1, 1, tzinfo=UTC), tokens="1"), "timestamp", "TIMESTAMP_TOO_OLD"),
    (event(), "properties.tokens", "PROPERTY_MISSING"),
    *((event(tokens=value), "properties.tokens", "DECIMAL_MALFORMED") for value in MALFORMED),
    (event(code="seat"), "properties.user", "PROPERTY_MISSING"),
    (event(code="seat", user=""), "properties.user", "PROPERTY_MISSING"),
    (event(code="seat", user="a", operation_type="Add"), "properties.operation_type", "OPERATION_UNKNOWN"),
    (event(code="cost", tokens="1"), "properties.cost", "EXPRESSION_FAILED"),
    (with_amount("1,5"), "amount", "DECIMAL_MALFORMED"),
    (with_more(64), "properties", "PROPERTIES_TOO_MANY"),
    (event(tokens="1", note="x" * 8192), "properties", "PROPERTIES_TOO_LARGE"),
    (event(tokens="1", note="é" * 4096), "properties", "PROPERTIES_TOO_LARGE"),
    (event(tokens="1", note="a\0b"), "properties.note", "TEXT_MALFORMED"),
]

GOOD = [
    event(transaction_id="x" * 255, tokens="1"),
    event(transaction_id="é" * 255, subscription_id="日" * 255, tokens="1"),
    event(at=NOW + timedelta(minutes=5), tokens="1"),
    event(at=datetime(2000, 1, 1, tzinfo=UTC), tokens="1"),
    with_nanos(999_999_999),
    *(event(tokens=value) for value in ("0", "-0", "-1.5", "007", "1" * 26 + "." + "1" * 12)),
    with_more(63),
    event(tokens="1", note="x" * (8192 - len("tokens1note"))),
    event(tokens="1", note="\\u0000"),
]


@pytest.fixture
async def acme(metering: Client) -> Client:
    """A tenant that counts events "llm" and sums their tokens."""
    await make_meters(metering)
    return metering


async def test_every_bad_event_is_refused_by_index_field_and_reason(acme: Client) -> None:
    cost = sum_meter("cost", "cost", "cost")
    cost.expression = "event.properties.tokens * event.properties.rate"
    seat = Meter(code="seat", aggregation=Meter.AGGREGATION_UNIQUE_COUNT, value_property="user")
    await make_meters(acme, cost, seat)
    answer = await ingest(acme, [sent for sent, _, _ in BAD])
    assert [(failure.index, failure.field, failure.reason) for failure in answer.failures] == [
        (index, field, reason) for index, (_, field, reason) in enumerate(BAD)
    ]
    assert all(failure.message for failure in answer.failures)
    assert answer.accepted_count == 0
    assert await used(acme, "requests") == {"requests": "0"}


async def test_events_at_the_edge_of_every_rule_are_accepted(acme: Client) -> None:
    for number, sent in enumerate(GOOD):
        if sent.transaction_id == "t-0":
            sent.transaction_id = f"t-{number}"
    answer = await ingest(acme, GOOD)
    assert list(answer.failures) == []
    assert answer.accepted_count == len(GOOD)


async def test_three_bad_events_do_not_touch_the_other_997(acme: Client) -> None:
    events = [event(f"t-{number}", tokens="2") for number in range(1000)]
    events[17].code = "gpu"
    events[500].properties["tokens"] = "many"
    events[999].transaction_id = ""
    answer = await ingest(acme, events)
    assert answer.accepted_count == 997
    assert [(failure.index, failure.reason) for failure in answer.failures] == [
        (17, "METER_UNKNOWN"),
        (500, "DECIMAL_MALFORMED"),
        (999, "FIELD_MISSING"),
    ]
    assert await used(acme, "requests", "tokens") == {"requests": "997", "tokens": "1994"}


async def test_of_an_event_that_stands_twice_in_a_request_the_first_counts(acme: Client) -> None:
    events = [event("a", tokens="1"), event("b", tokens="2"), event("a", tokens="1"), event("a", tokens="9")]
    answer = await ingest(acme, events)
    assert answer.accepted_count == 2
    assert list(answer.duplicate_indexes) == [2]
    assert [(failure.index, failure.reason) for failure in answer.failures] == [(3, "TRANSACTION_ID_REUSED")]
    assert await used(acme, "tokens") == {"tokens": "3"}


async def test_an_event_sent_again_is_a_duplicate(acme: Client, other_server: Client) -> None:
    events = [event(f"t-{number}", tokens="1") for number in range(10)]
    await ingest(acme, events[:6])
    again = await ingest(other_server, events)
    assert again.accepted_count == 4
    assert list(again.duplicate_indexes) == [0, 1, 2, 3, 4, 5]
    assert await used(acme, "requests") == {"requests": "10"}


async def test_an_identity_with_other_contents_is_refused_and_the_first_stands(acme: Client) -> None:
    await make_meters(acme, count_meter("other"))
    await ingest(acme, [event(tokens="1", model="small")])
    others = [
        event(tokens="2", model="small"),
        event(tokens="1", model="large"),
        event(tokens="1", model="small", region="eu"),
        event(tokens="1"),
        event(tokens="1", model="small", at=NOW - timedelta(hours=1, microseconds=1)),
        event(tokens="1", model="small", at=NOW - timedelta(days=90)),
        event(tokens="1", model="small", code="other"),
    ]
    answer = await ingest(acme, [*others, event(model="small", tokens="1")])
    assert [(failure.index, failure.field, failure.reason) for failure in answer.failures] == [
        (index, "transaction_id", "TRANSACTION_ID_REUSED") for index in range(len(others))
    ]
    assert list(answer.duplicate_indexes) == [len(others)]
    assert await used(acme, "tokens", "other") == {"tokens": "1", "other": "0"}


async def test_what_is_below_a_microsecond_is_not_part_of_an_event(acme: Client) -> None:
    await ingest(acme, [with_nanos(123_456_000)])
    assert list((await ingest(acme, [with_nanos(123_456_999)])).duplicate_indexes) == [0]


async def test_one_transaction_id_is_an_event_of_each_subscription_and_tenant(acme: Client, connect: Connect) -> None:
    globex = connect("globex")
    await make_meters(globex)
    await ingest(acme, [event("t", "sub-0", tokens="1"), event("t", "sub-1", tokens="2")])
    assert (await ingest(globex, [event("t", "sub-0", tokens="40")])).accepted_count == 1
    assert await used(acme, "tokens") == {"tokens": "1"}
    assert await used(acme, "tokens", subscription_id="sub-1") == {"tokens": "2"}
    assert await used(globex, "tokens") == {"tokens": "40"}


async def test_another_tenants_meters_and_usage_are_not_there(acme: Client, connect: Connect) -> None:
    globex = connect("globex")
    await make_meters(globex, count_meter("theirs", event_code="llm"))
    await ingest(acme, [event(tokens="1")])
    assert await used(globex, "theirs") == {"theirs": "0"}
    answer = await ingest(connect("initech"), [event(tokens="1")])
    assert [failure.reason for failure in answer.failures] == ["METER_UNKNOWN"]


async def test_many_callers_with_the_same_events_record_them_once(acme: Client, other_server: Client) -> None:
    """Two servers race on the same identities, in orders that would deadlock writers who lock as they come."""
    events = [event(f"t-{number}", f"sub-{number % 7}", tokens="1") for number in range(400)]
    orders = [events, events[::-1], events[200:] + events[:200], events[::2] + events[1::2]]
    answers = await asyncio.gather(
        *(ingest(client, order) for _ in range(4) for order in orders for client in (acme, other_server))
    )
    assert sum(answer.accepted_count for answer in answers) == 400
    assert sum(len(answer.duplicate_indexes) for answer in answers) == 31 * 400
    assert not any(answer.failures for answer in answers)
    total = sum([int((await used(acme, "tokens", subscription_id=f"sub-{n}"))["tokens"]) for n in range(7)])
    assert total == 400


async def test_servers_that_expect_nothing_but_new_events_find_those_that_are_not(
    acme: Client, other_server: Client
) -> None:
    """After a while without a repeat, writers don't look for one until they come upon it."""
    for number in range(LOOKING_GROUPS + 1):
        await ingest(acme, [event(f"a-{number}", tokens="1")])
        await ingest(other_server, [event(f"b-{number}", tokens="1")])
    events = [event(f"t-{number}", f"sub-{number % 7}", tokens="1") for number in range(300)]
    orders = [events, events[::-1], events[200:] + events[:200]]
    answers = await asyncio.gather(*(ingest(client, order) for order in orders for client in (acme, other_server)))
    assert sum(answer.accepted_count for answer in answers) == 300
    assert sum(len(answer.duplicate_indexes) for answer in answers) == 5 * 300
    for number in range(LOOKING_GROUPS + 1):
        await ingest(acme, [event(f"c-{number}", tokens="1")])
    mixed = await ingest(acme, [event("d", tokens="1"), event("t-7", tokens="1"), event("t-14", tokens="9")])
    assert (mixed.accepted_count, list(mixed.duplicate_indexes)) == (1, [1])
    assert [(failure.index, failure.reason) for failure in mixed.failures] == [(2, "TRANSACTION_ID_REUSED")]
    totals = [await used(acme, "tokens", "requests", subscription_id=f"sub-{number}") for number in range(7)]
    assert sum(int(each["tokens"]) for each in totals) == 300 + 3 * (LOOKING_GROUPS + 1) + 1
    assert [each["tokens"] for each in totals] == [each["requests"] for each in totals]


async def test_of_callers_who_race_with_different_contents_one_wins(acme: Client, other_server: Client) -> None:
    clients = [acme, other_server] * 4
    answers = await asyncio.gather(
        *(ingest(client, [event(tokens=str(number + 1))]) for number, client in enumerate(clients))
    )
    [winner] = [number for number, answer in enumerate(answers) if answer.accepted_count]
    assert [failure.reason for answer in answers for failure in answer.failures] == ["TRANSACTION_ID_REUSED"] * 7
    assert await used(acme, "tokens") == {"tokens": str(winner + 1)}


async def test_a_caller_who_gives_up_and_sends_again_counts_once(acme: Client) -> None:
    events = [event(f"t-{number}", tokens="1") for number in range(2000)]
    for timeout_s in (0.02, 0.03, 0.05):
        try:
            async with asyncio.timeout(timeout_s):
                await ingest(acme, events)
        except TimeoutError:
            pass
    answer = await ingest(acme, events)
    assert answer.accepted_count + len(answer.duplicate_indexes) == 2000
    assert await used(acme, "tokens") == {"tokens": "2000"}


async def test_a_meter_made_through_another_server_counts_at_once(acme: Client, other_server: Client) -> None:
    assert (await ingest(other_server, [event("a", code="gpu")])).failures[0].reason == "METER_UNKNOWN"
    await make_meters(acme, count_meter("gpu"))
    assert (await ingest(other_server, [event("a", code="gpu")])).accepted_count == 1


async def test_a_meter_added_to_a_known_code_is_asked_for_at_once(acme: Client, other_server: Client) -> None:
    await ingest(other_server, [event("a", tokens="1")])
    await make_meters(acme, sum_meter("cost", value_property="cost"))
    answer = await ingest(other_server, [event("b", tokens="1")])
    assert [(failure.field, failure.reason) for failure in answer.failures] == [("properties.cost", "PROPERTY_MISSING")]


async def test_a_value_is_required_only_of_events_that_the_filters_admit(metering: Client) -> None:
    await make_meters(metering, sum_meter(model=["small", "large"], region=["eu"]))
    answer = await ingest(
        metering,
        [
            event("a", model="small", region="eu", tokens="1"),
            event("b", model="huge", region="eu"),
            event("c", model="small"),
            event("d", model="large", region="eu"),
            event("e", model="large", region="eu", tokens="x"),
            event("f", model="huge", region="eu", tokens="x"),
        ],
    )
    assert [(failure.index, failure.reason) for failure in answer.failures] == [
        (3, "PROPERTY_MISSING"),
        (4, "DECIMAL_MALFORMED"),
    ]
    assert answer.accepted_count == 4


@pytest.mark.parametrize(("count", "reason"), [(0, "EVENTS_EMPTY"), (10_001, "EVENTS_TOO_MANY")])
async def test_a_request_has_one_to_ten_thousand_events(acme: Client, count: int, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await ingest(acme, [event(f"t-{number}", tokens="1") for number in range(count)])
    assert (refused.value.field, refused.value.reason) == ("events", reason)
    assert await used(acme, "requests") == {"requests": "0"}


async def test_events_of_any_months_go_into_one_request(acme: Client, database: Database) -> None:
    firsts = [datetime(2000, 2, 1, tzinfo=UTC), datetime(2000, 3, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)]
    times = [at for first in firsts for at in (first - timedelta(microseconds=1), first)]
    answer = await ingest(acme, [event(f"t-{at}", tokens="1", at=at) for at in times])
    assert answer.accepted_count == 6
    for at in times:
        used_then = await acme.GetUsage(usage_of("requests", start=at, end=at + timedelta(microseconds=1)))
        assert used_then.usages[0].quantity == "1"
    conn = await asyncpg.connect(database.dsns["metering"])
    partitions = await conn.fetch("SELECT relid::text AS name FROM pg_partition_tree('event') WHERE isleaf")
    assert {row["name"] for row in partitions} == {f"event_{at:%Y_%m}" for at in times}
    await conn.close()


async def test_servers_that_need_a_partition_at_once_make_it_once(acme: Client, other_server: Client) -> None:
    months = [datetime(2010 + number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in range(24)]
    answers = await asyncio.gather(
        *(
            ingest(client, [event(f"{name}-{at}", tokens="1", at=at)])
            for at in months
            for name, client in (("a", acme), ("b", other_server))
        )
    )
    assert sum(answer.accepted_count for answer in answers) == 48


async def test_properties_are_kept_as_they_were_sent(acme: Client, database: Database) -> None:
    properties = {"tokens": "1.50", "": "empty name", 'quote"\\/': "\n\t\x01\x7f\u2028", "emoji": "🙂é", "n": "null"}
    sent = event(at=NOW.replace(microsecond=654_321) - timedelta(hours=1))
    sent.properties.update(properties)
    await ingest(acme, [sent])
    conn = await asyncpg.connect(database.dsns["metering"])
    row = await conn.fetchrow("SELECT transaction_id, event_time, properties FROM event")
    await conn.close()
    assert row is not None
    assert json.loads(row["properties"]) == properties
    assert row["event_time"] == sent.timestamp.ToDatetime(UTC)
    assert row["transaction_id"] == "t-0"


async def test_more_series_than_memory_keeps_are_numbered_right(acme: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.metering.catalog.MAX_NUMBERS", 10)
    for round_number in range(3):
        await ingest(acme, [event(f"t-{round_number}", f"sub-{n}", tokens=str(n)) for n in range(25)])
    for n in (0, 9, 24):
        assert await used(acme, "tokens", subscription_id=f"sub-{n}") == {"tokens": str(3 * n)}


async def test_a_full_queue_refuses_with_nothing_recorded(acme: Client, database: Database) -> None:
    conn = await asyncpg.connect(database.dsns["metering"])
    blocked = conn.transaction()
    await blocked.start()
    await conn.execute("LOCK TABLE event_key IN ACCESS EXCLUSIVE MODE")
    batches = [[event(f"t-{batch}-{n}", tokens="1") for n in range(10_000)] for batch in range(9)]
    calls = [asyncio.create_task(ingest(acme, batch)) for batch in batches]
    done, waiting = await asyncio.wait(calls, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(ResourceExhausted) as refused:
        done.pop().result()
    assert refused.value.reason == "INGEST_QUEUE_FULL"
    assert refused.value.retry_after_ms > 0
    await blocked.rollback()
    await conn.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    accepted = sum(answer.accepted_count for answer in answers if not isinstance(answer, BaseException))
    assert QUEUE_EVENTS <= accepted < 90_000
    assert await used(acme, "requests") == {"requests": str(accepted)}
    again = [await ingest(acme, batch) for batch in batches]
    assert accepted + sum(answer.accepted_count for answer in again) == 90_000


def test_every_reason_of_the_contract_is_tried_here() -> None:
    comment = sources().partition("message EventFailure {")[2].partition("string field = 2;")[2]
    reasons = re.findall(r"[A-Z]+_[A-Z_]+", comment.partition("string reason = 3;")[0])
    elsewhere = {"TRANSACTION_ID_REUSED", "BACKFILL_REQUIRED"}
    assert {reason for _, _, reason in BAD} | elsewhere == set(reasons)
