"""What came late is found, whatever has been recorded, folded and archived since; `test_corrections` tries histories of
events and corrections.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest

from libs.common.errors import FailedPrecondition, InvalidArgument
from libs.common.postgres import Pool
from libs.common.wire import timestamp_out
from services.metering.worker import Folder
from tests.metering.conftest import Client, Connect, Hands
from tests.metering.requests import NOW, START, count_meter, event, ingest, make_meters, sum_meter, usage_of
from tests.metering.test_archiving import AUGUST, JULY, Archive, Worker, archive, billed, restore, settle, worker
from tests.metering.test_rollups import fold_all
from weir.metering.v1.late_usage_pb2 import BatchFindLateUsageRequest, LateUsageQuestion
from weir.metering.v1.late_usage_pb2_grpc import LateUsageServiceStub
from weir.metering.v1.metering_pb2 import Event, MeterDefinition
from weir.metering.v1.meters_pb2 import CreateMeterVersionRequest
from weir.metering.v1.meters_pb2_grpc import MeterServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.late_usage_pb2_grpc import LateUsageServiceAsyncStub

__all__ = ["archive", "worker"]

Late: TypeAlias = "LateUsageServiceAsyncStub"
Found: TypeAlias = list[tuple[str, datetime, datetime, int]]

MIDDLE = START + timedelta(days=14, hours=9, minutes=30, seconds=15)
"""Of the month, and of an hour."""


@pytest.fixture
def late(connect: Connect) -> Late:
    return connect("acme", stub=LateUsageServiceStub)


async def head(metering: Client) -> int:
    return (await metering.GetUsage(usage_of("requests"))).watermark


async def changes(
    late: Late, since: int, before: datetime, *subscription_ids: str, watermark: int = 0
) -> Sequence[Found]:
    """By subscription."""
    questions = [
        LateUsageQuestion(subscription_id=each, since_watermark=since, before_time=timestamp_out(before))
        for each in subscription_ids
    ]
    answer = await late.BatchFindLateUsage(BatchFindLateUsageRequest(questions=questions, watermark=watermark))
    return [
        [
            (usage.meter_code, usage.first_time.ToDatetime(UTC), usage.last_time.ToDatetime(UTC), usage.event_count)
            for usage in each.usages
        ]
        for each in answer.answers
    ]


SPACINGS = {"sparse": (40, 43_000), "daily": (300, 5_700), "hourly": (1_500, 100), "by the minute": (4_000, 2)}
"""Events, and seconds between two; each subscription has buckets of another width."""


def stream(subscription_id: str) -> list[Event]:
    count, spacing = SPACINGS[subscription_id]
    start = MIDDLE - timedelta(seconds=count * spacing // 2)
    return [
        event(f"t-{n}", subscription_id, at=min(start + timedelta(seconds=n * spacing), NOW), tokens="1")
        for n in range(count)
    ]


async def test_events_after_the_bill_are_late_only_where_their_time_is_before(
    metering: Client, late: Late, pool: Pool
) -> None:
    """The stream goes on across the end of the period after the bill, at four densities; unfolded and folded."""
    await make_meters(metering, count_meter(event_code="llm"), sum_meter("small", model=["small"]))
    before = {each: [e for e in stream(each) if e.timestamp.ToDatetime(UTC) < MIDDLE] for each in SPACINGS}
    after = {each: stream(each)[len(before[each]) :] for each in SPACINGS}
    for each in SPACINGS:
        await ingest(metering, before[each])
    await fold_all(Folder(pool))
    bill = await head(metering)
    for each in SPACINGS:
        await ingest(metering, after[each])
    assert await changes(late, bill, MIDDLE, *SPACINGS) == [[]] * 4
    await fold_all(Folder(pool))
    assert await changes(late, bill, MIDDLE, *SPACINGS) == [[]] * 4
    assert sorted({row[0] for row in await pool.fetch("SELECT depth FROM series")}) == [0, 1, 2, 3]
    instants = [MIDDLE - timedelta(days=3), MIDDLE - timedelta(microseconds=1), MIDDLE]
    between = 0
    for each in SPACINGS:
        sent = [event(f"late-{n}", each, at=at, tokens="1", model="small") for n, at in enumerate(instants)]
        await ingest(metering, [*sent, event("no", each, "other", at=instants[0])])
        between = between or await head(metering)
    first, last, _ = instants
    expected = [[("requests", first, last, 2), ("small", first, last, 2)]] * 4
    for _ in range(2):
        assert await changes(late, bill, MIDDLE, *SPACINGS) == expected
        assert await changes(late, bill, MIDDLE, *SPACINGS, watermark=between) == [expected[0], [], [], []]
        assert await changes(late, between, MIDDLE, *SPACINGS) == [[], *expected[1:]]
        assert await changes(late, bill, last, "sparse") == [[(code, first, first, 1) for code, *_ in expected[0]]]
        await fold_all(Folder(pool))


async def test_tenants_do_not_see_each_other(metering: Client, connect: Connect, late: Late, pool: Pool) -> None:
    other = connect("other")
    for each in (metering, other):
        await make_meters(each)
    bill = await head(metering)
    await ingest(metering, [event(tokens="1")])
    for _ in range(2):
        assert await changes(connect("other", stub=LateUsageServiceStub), bill, NOW, "sub-0") == [[]]
        assert len((await changes(late, bill, NOW, "sub-0"))[0]) == 2
        await fold_all(Folder(pool))


async def test_a_version_makes_nothing_late_and_late_events_belong_to_the_version_of_their_time(
    metering: Client, connect: Connect, late: Late, clock: Hands
) -> None:
    await make_meters(metering, sum_meter("small", model=["small"]))
    await ingest(metering, [event("t-0", tokens="1", model="small"), event("t-1", tokens="1", model="large")])
    bill = (await metering.GetUsage(usage_of("small"))).watermark
    since = NOW + timedelta(minutes=10)
    large = sum_meter(model=["large"])
    request = CreateMeterVersionRequest(
        request_id=str(uuid.uuid4()),
        code="small",
        definition=MeterDefinition(event_code="llm", value_property="tokens", filters=large.filters),
        effective_time=timestamp_out(since),
    )
    await connect("acme", stub=MeterServiceStub).CreateMeterVersion(request)
    end = since + timedelta(hours=2)
    assert await changes(late, bill, end, "sub-0") == [[]]
    clock.now = end
    early, later = since - timedelta(seconds=1), since + timedelta(seconds=1)
    await ingest(
        metering,
        [
            event(f"{model} {at}", at=at, tokens="1", model=model)
            for model in ("small", "large")
            for at in (early, later)
        ],
    )
    assert await changes(late, bill, end, "sub-0") == [[("small", early, later, 2)]]


async def test_what_is_asked_wrongly_is_refused(metering: Client, late: Late) -> None:
    await make_meters(metering)
    await ingest(metering, [event(tokens="1")])
    reached = await head(metering)
    for since, watermark in ((reached + 1, 0), (1, reached + 1), (reached, reached - 1)):
        with pytest.raises(FailedPrecondition) as ahead:
            await changes(late, since, NOW, "sub-0", watermark=watermark)
        assert ahead.value.reason == "WATERMARK_AHEAD"
    question = LateUsageQuestion(subscription_id="sub-0", since_watermark=1, before_time=timestamp_out(NOW))
    bad = [
        ([], "FIELD_MISSING", "questions"),
        ([LateUsageQuestion(since_watermark=1)], "FIELD_MISSING", "questions[0].subscription_id"),
        ([question, LateUsageQuestion(subscription_id="a")], "FIELD_MISSING", "questions[1].before_time"),
        (
            [LateUsageQuestion(subscription_id="a", since_watermark=-1)],
            "WATERMARK_NEGATIVE",
            "questions[0].since_watermark",
        ),
        (
            [LateUsageQuestion(subscription_id="a", since_watermark=1)],
            "FIELD_MISSING",
            "questions[0].before_time",
        ),
        ([question] * 10_001, "QUESTIONS_TOO_MANY", "questions"),
    ]
    for questions, reason, field in bad:
        with pytest.raises(InvalidArgument) as refused:
            await late.BatchFindLateUsage(BatchFindLateUsageRequest(questions=questions))
        assert (refused.value.reason, refused.value.field) == (reason, field)


async def test_late_usage_of_an_archived_month_is_never_overlooked(
    metering: Client, late: Late, pool: Pool, archive: Archive, worker: Worker
) -> None:
    """Finer buckets that were made while the month was away lack its events."""
    await make_meters(metering)
    await ingest(metering, [event(f"j-{who}", who, at=JULY + timedelta(days=3), tokens="1") for who in ("one", "two")])
    bill = await head(metering)
    at = JULY + timedelta(days=20)
    await ingest(metering, [event("late", "one", at=at, tokens="1"), event("on time", "two", at=AUGUST, tokens="1")])
    billed_again = await head(metering)
    await settle(pool)
    await billed(archive)
    await worker.run()
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as refused:
            await changes(late, bill, AUGUST, "two", "one")
        assert refused.value.reason == "USAGE_ARCHIVED"
        assert (refused.value.metadata["month"], refused.value.metadata["subscription_id"]) == ("2023-07", "one")
        assert await changes(late, bill, AUGUST, "two") == [[]]
        assert await changes(late, billed_again, AUGUST, "two", "one") == [[], []]
        await ingest(
            metering, [event(f"n-{n}", "one", at=START + timedelta(minutes=n), tokens="1") for n in range(700)]
        )
        await settle(pool)
    assert await pool.fetchval("SELECT max(depth) FROM series") > 0
    await restore(archive)
    await worker.run()
    assert await changes(late, bill, AUGUST, "two", "one") == [
        [],
        [(code, at, at, 1) for code in ("requests", "tokens")],
    ]
    assert await changes(late, bill, at, "one") == [[]]
    await ingest(metering, [event("later", "one", at=at, tokens="1")])
    for _ in range(2):
        assert await changes(late, bill, AUGUST, "one") == [[(code, at, at, 2) for code in ("requests", "tokens")]]
        await settle(pool)
