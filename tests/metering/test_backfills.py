"""Backfills: events that count together or not at all."""

import asyncio
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

from libs.common.errors import Conflict, FailedPrecondition, NotFound
from libs.common.postgres import Pool
from libs.common.rpc.client import channel
from services.metering.main import Settings, running
from services.metering.worker import Folder, Releaser
from tests.conftest import Database, Keys
from tests.metering.conftest import Client, ConnectCorrections, Corrections
from tests.metering.requests import (
    END,
    NOW,
    START,
    amend,
    change,
    close_backfill,
    event,
    ingest,
    make_meters,
    open_backfill,
    revert_backfill,
    sum_meter,
    usage_of,
    used,
)
from weir.metering.v1.corrections_pb2 import (
    Backfill,
    CloseBackfillRequest,
    GetBackfillRequest,
    ListBackfillsRequest,
    OpenBackfillRequest,
    RevertBackfillRequest,
)
from weir.metering.v1.metering_pb2 import GetEventUsageRequest, IngestEventStreamRequest, ListEventsRequest
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

OLD = START + timedelta(days=2)


async def fold(pool: Pool) -> None:
    while await Folder(pool).fold():
        pass


async def release(pool: Pool) -> None:
    while await Releaser(pool, lambda: NOW).release():
        pass


async def test_events_of_a_backfill_count_once_it_is_closed(
    metering: Client, other_server: Client, corrections: Corrections, pool: Pool
) -> None:
    await make_meters(metering)
    await ingest(metering, [event("live", tokens="1")])
    backfill_id = await open_backfill(corrections)
    answer = await ingest(metering, [event(f"t-{n}", at=OLD, tokens="2") for n in range(300)], backfill_id)
    assert answer.accepted_count == 300
    before = (await metering.GetUsage(usage_of("tokens"))).watermark
    assert await used(other_server, "requests", "tokens") == {"requests": "1", "tokens": "1"}
    closed = await close_backfill(corrections, backfill_id)
    assert (closed.state, closed.event_count) == (Backfill.STATE_CLOSED, 300)
    assert closed.close_watermark == before + 1
    for _ in range(2):
        assert await used(other_server, "requests", "tokens") == {"requests": "301", "tokens": "601"}
        assert await used(metering, "requests", watermark=before) == {"requests": "1"}
        assert await used(metering, "requests", watermark=closed.close_watermark) == {"requests": "301"}
        await fold(pool)


async def test_a_folder_that_is_behind_rebuilds_nothing_before_its_time(
    metering: Client, corrections: Corrections, pool: Pool
) -> None:
    await make_meters(metering)
    backfill_id = await open_backfill(corrections)
    await ingest(metering, [event("old", at=OLD, tokens="2")], backfill_id)
    for n in range(3):
        await ingest(metering, [event(f"t-{n}", at=OLD, tokens="1")])
    await close_backfill(corrections, backfill_id)
    for tokens in ("5", "3"):
        for _ in range(5):
            folder = Folder(pool)
            folder._batches = 1
            await folder.fold()
            assert await used(metering, "tokens") == {"tokens": tokens}
        if tokens == "5":
            await ingest(metering, [event("late", at=OLD, tokens="0")])
            await revert_backfill(corrections, backfill_id)


async def test_a_backfill_taken_back_counts_no_more_but_where_it_counted(
    metering: Client, corrections: Corrections, pool: Pool
) -> None:
    await make_meters(metering)
    backfill_id = await open_backfill(corrections)
    sent = [event(f"t-{n}", f"sub-{n % 2}", at=OLD + timedelta(seconds=n), tokens="2") for n in range(300)]
    await ingest(metering, [*sent[:10], event("live", tokens="5")])
    await ingest(metering, sent, backfill_id)
    closed = await close_backfill(corrections, backfill_id)
    await fold(pool)
    reverted = await revert_backfill(corrections, backfill_id)
    assert (reverted.state, reverted.event_count) == (Backfill.STATE_REVERTED, 290)
    assert reverted.revert_watermark > closed.close_watermark
    for _ in range(3):
        assert await used(metering, "requests", "tokens") == {"requests": "6", "tokens": "15"}
        assert await used(metering, "tokens", watermark=closed.close_watermark) == {"tokens": "305"}
        await release(pool)
        await fold(pool)
    found = (await corrections.GetBackfill(GetBackfillRequest(backfill_id=backfill_id))).backfill
    assert found.HasField("release_time")
    assert found.event_count == 290
    assert await pool.fetchval("SELECT count(*) FROM event_key") == 11
    assert (await ingest(metering, [event("t-20", "sub-0", tokens="7")])).accepted_count == 1
    assert await used(metering, "tokens") == {"tokens": "22"}


async def test_an_open_backfill_taken_back_leaves_nothing(
    metering: Client, corrections: Corrections, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.metering.worker.RELEASE_EVENTS", 7)
    monkeypatch.setattr("services.metering.store.releasing.SERIES", 3)
    await make_meters(metering)
    backfill_id = await open_backfill(corrections)
    sent = [event(f"t-{n}", f"sub-{n % 10}", at=OLD, tokens="2") for n in range(200)]
    await ingest(metering, sent, backfill_id)
    assert (await ingest(metering, sent[:5])).duplicate_indexes == [0, 1, 2, 3, 4]
    head = (await metering.GetUsage(usage_of("tokens"))).watermark
    reverted = await revert_backfill(corrections, backfill_id)
    assert (reverted.event_count, reverted.revert_watermark) == (200, 0)
    await release(pool)
    for table in ("event", "event_key", "backfill_series", "withdrawn_event", "corrected_series"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert (await metering.GetUsage(usage_of("tokens"))).watermark == head
    assert (await ingest(metering, sent)).accepted_count == 200


async def test_what_is_sent_twice_counts_once_in_and_out_of_backfills(
    metering: Client, corrections: Corrections
) -> None:
    await make_meters(metering)
    first, second = await open_backfill(corrections), await open_backfill(corrections)
    sent = [event(f"t-{n}", at=OLD, tokens="2") for n in range(4)]
    await ingest(metering, sent[:1])
    assert (await ingest(metering, [*sent, sent[2]], first)).duplicate_indexes == [0, 4]
    other = await ingest(metering, [sent[1], event("t-2", at=OLD, tokens="9"), event("t-9", at=OLD)], second)
    assert (other.accepted_count, other.duplicate_indexes) == (0, [0])
    assert [failure.reason for failure in other.failures] == ["TRANSACTION_ID_REUSED", "PROPERTY_MISSING"]
    for each in (first, second):
        await close_backfill(corrections, each)
    assert await used(metering, "requests", "tokens") == {"requests": "4", "tokens": "8"}


async def test_what_is_acknowledged_while_a_backfill_closes_is_in_it(
    metering: Client, other_server: Client, corrections: Corrections
) -> None:
    await make_meters(metering)
    for round_number in range(5):
        backfill_id = await open_backfill(corrections)

        async def send(client: Client, name: str, backfill_id: str = backfill_id) -> int:
            accepted = 0
            for batch in range(50):
                events = [event(f"{name}-{batch}-{n}", at=OLD, tokens="1") for n in range(50)]
                try:
                    accepted += (await ingest(client, events, backfill_id)).accepted_count
                except FailedPrecondition:
                    break
            return accepted

        sending = asyncio.gather(
            *(send(client, f"{round_number}-{n}") for n, client in enumerate((metering, other_server) * 2))
        )
        await asyncio.sleep(0.05 * round_number)
        before = await used(metering, "requests")
        closed = await close_backfill(corrections, backfill_id)
        accepted = sum(await sending)
        assert closed.event_count == accepted
        assert await used(other_server, "requests") == {"requests": str(int(before["requests"]) + accepted)}


async def test_a_stream_sends_to_a_backfill(metering: Client, corrections: Corrections) -> None:
    await make_meters(metering)
    backfill_id = await open_backfill(corrections)

    def requests() -> Iterator[IngestEventStreamRequest]:
        for number in range(3):
            events = [event(f"t-{number}-{n}", at=OLD, tokens="2") for n in range(5)]
            yield IngestEventStreamRequest(batch_id=number, events=events, backfill_id=backfill_id)

    answers = [answer async for answer in metering.IngestEventStream(requests())]
    assert sum(answer.result.accepted_count for answer in answers) == 15
    assert await used(metering, "requests") == {"requests": "0"}
    await close_backfill(corrections, backfill_id)
    assert await used(metering, "requests") == {"requests": "15"}


async def test_only_an_open_backfill_takes_events_and_is_closed(metering: Client, corrections: Corrections) -> None:
    await make_meters(metering)
    with pytest.raises(NotFound) as unknown:
        await ingest(metering, [event(tokens="1")], "bkf_none")
    assert unknown.value.reason == "BACKFILL_NOT_FOUND"
    for verb in (close_backfill, revert_backfill):
        with pytest.raises(NotFound):
            await verb(corrections, "bkf_none")
    backfill_id = await open_backfill(corrections)
    await close_backfill(corrections, backfill_id)
    with pytest.raises(FailedPrecondition) as refused:
        await ingest(metering, [event(tokens="1")], backfill_id)
    assert refused.value.reason == "BACKFILL_NOT_OPEN"
    with pytest.raises(FailedPrecondition) as refused:
        await close_backfill(corrections, backfill_id)
    assert refused.value.reason == "BACKFILL_NOT_OPEN"
    await revert_backfill(corrections, backfill_id)
    with pytest.raises(FailedPrecondition) as refused:
        await revert_backfill(corrections, backfill_id)
    assert refused.value.reason == "BACKFILL_REVERTED"


async def test_a_retry_is_answered_and_other_contents_are_refused(corrections: Corrections) -> None:
    opening = OpenBackfillRequest(request_id=str(uuid.uuid4()), reason="late")
    opened = await corrections.OpenBackfill(opening)
    assert await corrections.OpenBackfill(opening) == opened
    backfill_id = opened.backfill.id
    closing = CloseBackfillRequest(request_id=str(uuid.uuid4()), backfill_id=backfill_id)
    closed = await corrections.CloseBackfill(closing)
    assert await corrections.CloseBackfill(closing) == closed
    reverting = RevertBackfillRequest(request_id=closing.request_id, backfill_id=backfill_id)
    with pytest.raises(Conflict) as refused:
        await corrections.RevertBackfill(reverting)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    opening.reason = "later"
    with pytest.raises(Conflict):
        await corrections.OpenBackfill(opening)
    reverting.request_id = str(uuid.uuid4())
    reverted = await corrections.RevertBackfill(reverting)
    assert await corrections.RevertBackfill(reverting) == reverted


async def test_backfills_are_listed_and_stay_among_their_tenant(
    corrections: Corrections, connect_corrections: ConnectCorrections
) -> None:
    made = [await open_backfill(corrections) for _ in range(3)]
    await close_backfill(corrections, made[1])
    page = await corrections.ListBackfills(ListBackfillsRequest(page_size=2))
    rest = await corrections.ListBackfills(ListBackfillsRequest(page_token=page.next_page_token))
    assert sorted(made) == [each.id for each in (*page.backfills, *rest.backfills)]
    closed = await corrections.ListBackfills(ListBackfillsRequest(state=Backfill.STATE_CLOSED))
    assert [each.id for each in closed.backfills] == [made[1]]
    stranger = connect_corrections("other")
    assert not (await stranger.ListBackfills(ListBackfillsRequest())).backfills
    with pytest.raises(NotFound):
        await stranger.GetBackfill(GetBackfillRequest(backfill_id=made[0]))
    with pytest.raises(NotFound):
        await close_backfill(stranger, made[0])


async def test_backfilled_events_are_recorded_when_the_backfill_closes(
    metering: Client, corrections: Corrections
) -> None:
    """What is charged in advance goes by the order of recording."""
    await make_meters(metering)
    backfill_id = await open_backfill(corrections)
    await ingest(metering, [event("old", at=OLD, tokens="5")], backfill_id)
    await ingest(metering, [event("live", tokens="-3")])
    await close_backfill(corrections, backfill_id)
    request = GetEventUsageRequest(transaction_id="old", query=usage_of("tokens"))
    assert (await metering.GetEventUsage(request)).usages[0].units == "2"
    listed = (await metering.ListEvents(ListEventsRequest(subscription_id="sub-0"))).events
    assert [each.event.transaction_id for each in listed] == ["old", "live"]


async def test_a_backfill_whose_events_were_replaced_is_not_taken_back_before_they_are_deprecated(
    metering: Client, corrections: Corrections, pool: Pool
) -> None:
    await make_meters(metering)
    backfill_id = await open_backfill(corrections)
    sent, better = event(at=OLD, tokens="5"), event(at=OLD, tokens="6")
    await ingest(metering, [sent, event("t-1", at=OLD, tokens="1")], backfill_id)
    assert [each.reason for each in (await amend(corrections, change(sent, better))).failures] == ["EVENT_NOT_FOUND"]
    await close_backfill(corrections, backfill_id)
    [made] = (await amend(corrections, change(sent, better))).amendments
    with pytest.raises(FailedPrecondition) as refused:
        await revert_backfill(corrections, backfill_id)
    assert refused.value.reason == "BACKFILL_AMENDED"
    assert (await amend(corrections, change(sent, expected=made.id))).amendments
    assert (await ingest(metering, [sent])).duplicate_indexes == [0]
    await revert_backfill(corrections, backfill_id)
    await release(pool)
    assert await used(metering, "tokens") == {"tokens": "0"}
    assert await used(metering, "tokens", watermark=made.watermark) == {"tokens": "7"}
    assert (await ingest(metering, [better])).accepted_count == 1
    assert (await amend(corrections, change(better))).amendments
    assert await used(metering, "tokens") == {"tokens": "0"}


async def test_older_events_than_the_operator_allows_need_a_backfill(database: Database, keys: Keys) -> None:
    settings = Settings(database.dsns["metering"], keys.public_pem, "127.0.0.1:0", late_days=10)
    async with running(settings, lambda: NOW) as port, channel(f"127.0.0.1:{port}", keys.api_key()) as opened:
        metering = MeteringServiceStub(opened)
        await make_meters(metering, sum_meter())
        limit = NOW - timedelta(days=10)
        answer = await ingest(
            metering, [event("a", at=limit, tokens="1"), event("b", at=limit - timedelta(seconds=1), tokens="1")]
        )
    assert answer.accepted_count == 1
    assert [(each.index, each.field, each.reason) for each in answer.failures] == [
        (1, "timestamp", "BACKFILL_REQUIRED")
    ]
    assert START < limit < END
