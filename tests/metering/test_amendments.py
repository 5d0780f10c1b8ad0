"""Amendments: an event is replaced or deprecated, and what it was is still answered where it counted."""

import asyncio
import uuid
from datetime import UTC, timedelta

import pytest

from libs.common.errors import Conflict, InvalidArgument
from libs.common.postgres import Pool
from services.metering.worker import Folder
from tests.metering.conftest import Client, ConnectCorrections, Corrections
from tests.metering.requests import (
    NOW,
    START,
    amend,
    change,
    count_meter,
    event,
    ingest,
    make_meters,
    sum_meter,
    usage_of,
    used,
)
from weir.metering.v1.corrections_pb2 import EventChange, ListAmendmentsRequest
from weir.metering.v1.metering_pb2 import GetEventUsageRequest, ListEventsRequest


async def fold(pool: Pool) -> None:
    while await Folder(pool).fold():
        pass


async def reasons(corrections: Corrections, *changes: EventChange) -> list[tuple[int, str, str]]:
    answer = await amend(corrections, *changes)
    assert not answer.amendments
    return [(each.index, each.field, each.reason) for each in answer.failures]


async def test_usage_follows_and_an_old_watermark_answers_as_it_did(
    metering: Client, corrections: Corrections, pool: Pool
) -> None:
    """At three widths of bucket, before and after they are rebuilt."""
    await make_meters(metering)
    for subscription_id, spacing, count in (("sub-0", 3_000, 50), ("sub-1", 200, 1_200), ("sub-2", 1, 4_000)):
        sent = [
            event(f"t-{n}", subscription_id, at=START + timedelta(seconds=n * spacing), tokens="2")
            for n in range(count)
        ]
        await ingest(metering, sent)
        await fold(pool)
        before = (await metering.GetUsage(usage_of("tokens"))).watermark
        better = event("t-7", subscription_id, at=START + timedelta(days=9), tokens="90")
        answer = await amend(corrections, change(sent[3]), change(sent[7], better))
        assert [each.watermark for each in answer.amendments] == [before + 1] * 2
        [_, replaced] = answer.amendments
        for _ in range(2):
            expected = {"requests": str(count - 1), "tokens": str(2 * (count - 2) + 90)}
            assert await used(metering, "requests", "tokens", subscription_id=subscription_id) == expected
            was = await used(metering, "requests", "tokens", subscription_id=subscription_id, watermark=before)
            assert was == {"requests": str(count), "tokens": str(2 * count)}
            await fold(pool)
        assert (await amend(corrections, change(better, expected=replaced.id))).amendments
        await fold(pool)
        assert await used(metering, "requests", subscription_id=subscription_id) == {"requests": str(count - 2)}
    assert await pool.fetchval("SELECT count(*) FROM corrected_series WHERE NOT is_rebuilt") == 0


async def test_what_an_event_was_is_listed_with_the_reason(metering: Client, corrections: Corrections) -> None:
    await make_meters(metering)
    sent, better = event(tokens="1", model="a"), event(at=NOW - timedelta(hours=2), tokens="2")
    better.amount = "0.250"
    await ingest(metering, [sent, event("other", tokens="5")])
    before = (await metering.GetUsage(usage_of("tokens"))).watermark
    [first] = (await amend(corrections, change(sent, better))).amendments
    assert (first.replaced, first.replacement.properties["tokens"]) == (sent, "2")
    assert (first.replacement.amount, first.reason) == ("0.25", "it was wrong")
    listing = ListEventsRequest(subscription_id="sub-0")
    now, other = (await metering.ListEvents(listing)).events
    assert (now.amendment_id, now.event.timestamp, other.amendment_id) == (first.id, better.timestamp, "")
    listing.watermark = before
    assert [each.event for each in (await metering.ListEvents(listing)).events if not each.amendment_id][1] == sent
    [second] = (await amend(corrections, change(better, expected=first.id))).amendments
    assert not second.HasField("replacement")
    page = await corrections.ListAmendments(ListAmendmentsRequest(subscription_id="sub-0", page_size=1))
    assert list(page.amendments) == [first]
    asked = ListAmendmentsRequest(subscription_id="sub-0", transaction_id="t-0", page_token=page.next_page_token)
    rest = await corrections.ListAmendments(asked)
    assert (list(rest.amendments), rest.next_page_token) == ([second], "")
    assert not (await corrections.ListAmendments(ListAmendmentsRequest(subscription_id="sub-1"))).amendments


async def test_all_changes_are_made_or_none_and_why(metering: Client, corrections: Corrections) -> None:
    await make_meters(metering)
    sent = [event(f"t-{n}", tokens="1") for n in range(4)]
    await ingest(metering, sent)
    elsewhere = event("t-1", at=NOW - timedelta(hours=3), tokens="1")
    found = await reasons(
        corrections,
        change(sent[0]),
        change(elsewhere),
        change(sent[1], event("t-1", tokens="many")),
        change(sent[2], event("t-9", tokens="1")),
    )
    assert found == [(3, "replacement.transaction_id", "IDENTITY_FIXED")]
    found = await reasons(
        corrections,
        change(sent[0]),
        change(elsewhere),
        change(sent[2], event("t-2", tokens="many")),
        change(sent[3], sent[3], expected="amd_other"),
        change(sent[0]),
    )
    assert found == [
        (1, "transaction_id", "EVENT_NOT_FOUND"),
        (2, "properties.tokens", "DECIMAL_MALFORMED"),
        (3, "expected_amendment_id", "EVENT_AMENDED"),
        (4, "transaction_id", "EVENT_REPEATED"),
    ]
    assert await used(metering, "requests", "tokens") == {"requests": "4", "tokens": "4"}
    for changes, reason in (([], "AMENDMENTS_EMPTY"), ([change(sent[0])] * 1001, "AMENDMENTS_TOO_MANY")):
        with pytest.raises(InvalidArgument) as refused:
            await amend(corrections, *changes)
        assert refused.value.reason == reason


async def test_a_retry_of_what_was_first_sent_is_a_duplicate_whatever_became_of_it(
    metering: Client, corrections: Corrections
) -> None:
    await make_meters(metering)
    sent, better = event(tokens="1"), event(tokens="2")
    await ingest(metering, [sent])
    [made] = (await amend(corrections, change(sent, better))).amendments
    assert (await ingest(metering, [sent])).duplicate_indexes == [0]
    assert [each.reason for each in (await ingest(metering, [better])).failures] == ["TRANSACTION_ID_REUSED"]
    assert await reasons(corrections, change(better)) == [(0, "expected_amendment_id", "EVENT_AMENDED")]
    await amend(corrections, change(better, expected=made.id))
    assert (await ingest(metering, [sent])).duplicate_indexes == [0]
    assert await reasons(corrections, change(better)) == [(0, "transaction_id", "EVENT_DEPRECATED")]
    assert await used(metering, "tokens") == {"tokens": "0"}


async def test_a_retried_request_amends_once_and_a_failed_one_can_be_put_right(
    metering: Client, corrections: Corrections
) -> None:
    await make_meters(metering)
    sent = [event(f"t-{n}", tokens="1") for n in range(3)]
    await ingest(metering, sent)
    request_id = str(uuid.uuid4())
    wrong = await amend(corrections, change(sent[0]), change(event("none")), request_id=request_id)
    assert wrong.failures
    right = [change(sent[0]), change(sent[1], event("t-1", tokens="5"))]
    made = await amend(corrections, *right, request_id=request_id)
    assert len(made.amendments) == 2
    assert await amend(corrections, *right, request_id=request_id) == made
    with pytest.raises(Conflict) as refused:
        await amend(corrections, change(sent[2]), request_id=request_id)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await used(metering, "tokens") == {"tokens": "6"}


async def test_of_two_servers_that_amend_an_event_one_wins(
    metering: Client, connect_corrections: ConnectCorrections
) -> None:
    await make_meters(metering)
    sent = [event(f"t-{n}", tokens="1") for n in range(20)]
    await ingest(metering, sent)
    servers = [connect_corrections("acme", server=number % 2) for number in range(6)]
    for each in sent:
        answers = await asyncio.gather(
            *(
                amend(server, change(each, event(each.transaction_id, tokens=str(10 + number))))
                for number, server in enumerate(servers)
            )
        )
        assert sum(len(answer.amendments) for answer in answers) == 1
        lost = [answer.failures[0].reason for answer in answers if not answer.amendments]
        assert lost == ["EVENT_AMENDED"] * 5
    used_now = await used(metering, "requests", "tokens")
    listed = await servers[0].ListAmendments(ListAmendmentsRequest(page_size=500))
    stands = sum(int(each.replacement.properties["tokens"]) for each in listed.amendments)
    assert used_now == {"requests": "20", "tokens": str(stands)}


async def test_amending_goes_on_while_events_arrive(
    metering: Client, other_server: Client, corrections: Corrections, pool: Pool
) -> None:
    """Nobody waits in a circle, and folding meanwhile keeps every answer right."""
    await make_meters(metering)
    sent = [event(f"t-{n}", at=START + timedelta(seconds=n), tokens="1") for n in range(2_000)]
    await ingest(metering, sent)

    async def write() -> None:
        for batch in range(20):
            events = [event(f"live-{batch}-{n}", at=START + timedelta(minutes=n), tokens="1") for n in range(100)]
            await ingest((metering, other_server)[batch % 2], events)

    async def correct() -> None:
        for start in range(0, 2_000, 100):
            await amend(corrections, *map(change, sent[start : start + 50]))

    writing = asyncio.gather(write(), correct())
    while not writing.done():
        await Folder(pool).fold()
        await asyncio.sleep(0)
    await writing
    await fold(pool)
    assert await used(metering, "requests", "tokens") == {"requests": "3000", "tokens": "3000"}


async def test_a_replacement_may_have_another_code_and_be_of_any_age(
    metering: Client, corrections: Corrections, pool: Pool
) -> None:
    await make_meters(metering, sum_meter(), count_meter("calls", event_code="call"))
    sent = event(tokens="1")
    await ingest(metering, [sent])
    await fold(pool)
    better = event(code="call", at=START - timedelta(days=400))
    [made] = (await amend(corrections, change(sent, better))).amendments
    assert made.replacement.timestamp.ToDatetime(UTC) == START - timedelta(days=400)
    for _ in range(2):
        old = usage_of("calls", start=START - timedelta(days=500))
        assert (await metering.GetUsage(old)).usages[0].quantity == "1"
        assert await used(metering, "tokens") == {"tokens": "0"}
        await fold(pool)


async def test_charges_in_advance_take_a_replacement_when_it_was_made(
    metering: Client, corrections: Corrections
) -> None:
    await make_meters(metering)
    sent = event(tokens="5")
    await ingest(metering, [sent])
    await ingest(metering, [event("t-1", tokens="3")])
    await amend(corrections, change(sent, event(tokens="4")))
    for transaction_id, units in (("t-1", "3"), ("t-0", "4")):
        request = GetEventUsageRequest(transaction_id=transaction_id, query=usage_of("tokens"))
        assert (await metering.GetEventUsage(request)).usages[0].units == units


async def test_amendments_stay_among_their_tenant(
    metering: Client, connect_corrections: ConnectCorrections, corrections: Corrections
) -> None:
    await make_meters(metering)
    sent = event(tokens="1")
    await ingest(metering, [sent])
    stranger = connect_corrections("other")
    assert await reasons(stranger, change(sent)) == [(0, "transaction_id", "EVENT_NOT_FOUND")]
    await amend(corrections, change(sent))
    assert not (await stranger.ListAmendments(ListAmendmentsRequest())).amendments
