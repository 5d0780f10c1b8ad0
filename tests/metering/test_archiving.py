"""Archiving changes where events are, never what was used: not by a cent, not silently, whoever is killed."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import pytest
from pyarrow.parquet import read_table

from libs.common.errors import FailedPrecondition, NotFound, Unavailable
from libs.common.postgres import Pool, create_pool
from libs.common.rpc.client import channel
from libs.common.settings import SettingsError
from libs.common.wire import timestamp_out
from libs.embedded.valkey import Valkey
from services.metering import archiving
from services.metering.alerting import Alerter
from services.metering.archive_files import storage
from services.metering.archiving import Archivist, FileDiffers
from services.metering.main import Settings, running
from services.metering.store import archiving as store
from services.metering.store.snapshot import snapshot
from services.metering.worker import Folder, Releaser
from tests.conftest import Database, Keys
from tests.metering.alerts import alert, create_alert, triggered, triggers
from tests.metering.conftest import Client, Connect, Corrections
from tests.metering.connectors.feeds import AWS, aws_client
from tests.metering.processes import worker_process
from tests.metering.requests import (
    NOW,
    amend,
    change,
    close_backfill,
    count_meter,
    event,
    ingest,
    make_meters,
    open_backfill,
    revert_backfill,
    sum_meter,
    usage_of,
)
from tests.metering.test_reconciliation import Reports, report, weir
from tests.metering.test_rollups import fold_all, until
from weir.metering.v1.alerts_pb2 import Alert, CreateAlertRequest, DeleteAlertRequest
from weir.metering.v1.alerts_pb2_grpc import AlertServiceStub
from weir.metering.v1.archive_pb2 import (
    ArchivedMonth,
    ListArchivedMonthsRequest,
    RestoreMonthRequest,
    SetBilledUntilRequest,
)
from weir.metering.v1.archive_pb2_grpc import ArchiveServiceStub
from weir.metering.v1.metering_pb2 import Event, GetUsageRequest, ListEventsRequest, Meter
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.metering.v1.reconciliation_pb2_grpc import ReconciliationServiceStub

if TYPE_CHECKING:
    from weir.metering.v1.archive_pb2_grpc import ArchiveServiceAsyncStub

Archive: TypeAlias = "ArchiveServiceAsyncStub"

JUNE, JULY, AUGUST = (datetime(2023, month, 1, tzinfo=UTC) for month in (6, 7, 8))
NOVEMBER = datetime(2023, 11, 1, tzinfo=UTC)
WORKER_TIME = datetime(2023, 11, 20, 13, tzinfo=UTC)
"""What the worker's clock shows at first: with a retention of three months, July is due."""

EVENTS: list[Event] = [
    *(
        event(f"j-{n}", "dense", at=JULY + timedelta(minutes=53 * n), tokens=str(n), model='aé\\"'[n % 4])
        for n in range(800)
    ),
    *(event(f"s-{n}", "sparse", at=JULY + timedelta(days=3 * n, microseconds=n), tokens="-2.500") for n in range(4)),
    *(event(f"a-{n}", "dense", at=AUGUST + timedelta(hours=n), tokens="1") for n in range(200)),
    event("n-1", "sparse", tokens="7"),
]
EVENTS[3].amount = "0.10"


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with await create_pool(database.dsns["metering"]) as opened:
        yield opened


@pytest.fixture
def archive(connect: Connect) -> Archive:
    return connect("acme", stub=ArchiveServiceStub)


@pytest.fixture
def reports(connect: Connect) -> Reports:
    return connect("acme", stub=ReconciliationServiceStub)


class Worker:
    """Archives to a folder whenever it is told to, by a clock of its own."""

    def __init__(self, pool: Pool, url: str, retention_months: int = 3) -> None:
        self._pool = pool
        self._url = url
        self._retention_months = retention_months
        self.now = WORKER_TIME

    async def run(self) -> None:
        """What a worker does that has just been started, until nothing is left."""
        archivist = Archivist(self._pool, lambda: self.now, storage(self._url), self._retention_months)
        while await archivist.archive():
            pass


@pytest.fixture
def worker(pool: Pool, tmp_path: Path) -> Worker:
    return Worker(pool, tmp_path.as_uri())


async def settle(pool: Pool) -> None:
    """All is folded and looked through for alerts."""
    await fold_all(Folder(pool))
    alerter = Alerter(pool, lambda: WORKER_TIME)
    while await alerter.alert():
        pass


async def billed(archive: Archive, until: datetime = AUGUST) -> datetime:
    request = SetBilledUntilRequest(billed_end_time=timestamp_out(until))
    return (await archive.SetBilledUntil(request)).billed_end_time.ToDatetime(UTC)


async def months(archive: Archive) -> Mapping[str, tuple[str, list[str]]]:
    """State and obstacles by month."""
    found = (await archive.ListArchivedMonths(ListArchivedMonthsRequest())).months
    return {
        each.month: (
            ArchivedMonth.State.Name(each.state).removeprefix("STATE_"),
            [ArchivedMonth.Obstacle.Name(o).removeprefix("OBSTACLE_") for o in each.obstacles],
        )
        for each in found
    }


async def restore(archive: Archive, month: str = "2023-07", hold_days: int = 0) -> ArchivedMonth:
    return (await archive.RestoreMonth(RestoreMonthRequest(month=month, hold_days=hold_days))).month


async def record(metering: Client, pool: Pool) -> None:
    """Meters, events in three batches, all folded."""
    await make_meters(metering, *METERS)
    for start in range(0, len(EVENTS), 400):
        await ingest(metering, EVENTS[start : start + 400])
    await settle(pool)


METERS = (
    count_meter(event_code="llm"),
    sum_meter(),
    Meter(
        code="median",
        event_code="llm",
        value_property="tokens",
        aggregation=Meter.AGGREGATION_PERCENTILE,
        percentile="50",
    ),
    sum_meter("of_a", model=["a"]),
)

WHOLE: list[GetUsageRequest] = [
    usage_of("requests", "tokens", "of_a", subscription_id=who, start=start, end=end)
    for who in ("dense", "sparse")
    for start, end in (
        (JULY, AUGUST),
        (JUNE, NOVEMBER),
        (JULY - timedelta(days=3), AUGUST + timedelta(days=12)),
    )
] + [
    usage_of("requests", "tokens", "of_a", subscription_id="dense", start=JULY + timedelta(days=5), end=AUGUST),
    usage_of("requests", "tokens", "of_a", subscription_id="dense", start=AUGUST + timedelta(hours=5.5), end=NOVEMBER),
    usage_of("median", subscription_id="dense", start=AUGUST, end=NOVEMBER),
    usage_of("requests", "median", subscription_id="nobody", start=JUNE, end=NOVEMBER),
]
"""Questions that whole buckets, or events of other months, answer."""

RAGGED: list[GetUsageRequest] = [
    usage_of("median", subscription_id="dense", start=JULY, end=AUGUST),
    usage_of("tokens", "median", subscription_id="sparse", start=JUNE, end=NOVEMBER),
    usage_of("tokens", subscription_id="dense", start=JULY + timedelta(minutes=7), end=AUGUST),
    usage_of("requests", subscription_id="sparse", start=JULY, end=AUGUST - timedelta(days=1)),
]
"""Questions that need single events of July."""


async def answers(metering: Client, requests: list[GetUsageRequest]) -> list[list[tuple[str, str, int]]]:
    return [
        [(each.meter_code, each.quantity, each.event_count) for each in (await metering.GetUsage(request)).usages]
        for request in requests
    ]


async def require_archived_usage(metering: Client) -> None:
    """That each question of RAGGED is refused, and the listing too."""
    for request in RAGGED:
        with pytest.raises(FailedPrecondition) as refused:
            await metering.GetUsage(request)
        assert refused.value.reason == "USAGE_ARCHIVED"
        assert refused.value.metadata["month"] == "2023-07"
    with pytest.raises(FailedPrecondition) as refused:
        await listed(metering)
    assert refused.value.reason == "USAGE_ARCHIVED"


async def listed(metering: Client, watermark: int = 0) -> list[tuple[str, bytes]]:
    request = ListEventsRequest(
        subscription_id="dense",
        start_time=timestamp_out(JUNE),
        end_time=timestamp_out(NOVEMBER),
        page_size=500,
        watermark=watermark,
    )
    found = []
    while True:
        page = await metering.ListEvents(request)
        found += [(each.event.transaction_id, each.SerializeToString(deterministic=True)) for each in page.events]
        if not (token := page.next_page_token):
            return found
        request.page_token = token


async def test_an_archived_month_answers_as_before_or_says_that_it_is_archived(
    connect: Connect, pool: Pool, archive: Archive, reports: Reports, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is as it was, at any watermark, once it is restored; and archived again when the hold is over."""
    monkeypatch.setattr(archiving, "FILE_EVENTS", 300)
    metering = connect("acme")
    await record(metering, pool)
    later = [usage_of("median", "tokens", subscription_id="dense", start=JULY, end=AUGUST, watermark=w) for w in (2, 3)]
    before = await answers(metering, WHOLE), await answers(metering, RAGGED + later), await listed(metering)
    assert await billed(archive) == AUGUST
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    assert await pool.fetchval("SELECT to_regclass('event_2023_07')") is None
    assert await answers(metering, WHOLE) == before[0]
    await require_archived_usage(metering)
    found = await report(reports)
    assert (found.archived_count, found.recorded_count, found.difference_count) == (804, 1005, 0)

    assert (await restore(archive, hold_days=2)).state == ArchivedMonth.STATE_RESTORING
    await require_archived_usage(metering)
    await worker.run()
    assert await months(archive) == {"2023-07": ("RESTORED", [])}
    after = await answers(metering, WHOLE), await answers(metering, RAGGED + later), await listed(metering)
    assert after == before
    found = await report(reports)
    assert (found.archived_count, found.recorded_count, found.difference_count) == (0, 1005, 0)

    files = list(Path(worker._url.removeprefix("file://")).rglob("*.parquet"))
    worker.now += timedelta(days=3)
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    assert list(Path(worker._url.removeprefix("file://")).rglob("*.parquet")) == files
    assert await answers(metering, WHOLE) == before[0]
    await require_archived_usage(metering)


async def test_files_hold_everything_an_event_is_by_names_that_anyone_can_read(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    metering = connect("acme")
    await record(metering, pool)
    await make_meters(connect("globex"))
    await ingest(connect("globex"), [event("g", at=JULY, tokens="1")])
    await settle(pool)
    await billed(archive)
    await billed(connect("globex", stub=ArchiveServiceStub))
    await worker.run()
    [month] = (await archive.ListArchivedMonths(ListArchivedMonthsRequest())).months
    [location] = month.locations
    assert month.event_count == 804
    assert location.endswith("/acme/000001.parquet")
    table = read_table(location.removeprefix("file://")).to_pylist()
    assert {row["tenant_id"] for row in table} == {"acme"}
    by_id = {row["transaction_id"]: row for row in table}
    assert str(by_id["j-3"].pop("amount")) == "0.100000000000"
    assert by_id["j-3"] == {
        "tenant_id": "acme",
        "subscription_id": "dense",
        "code": "llm",
        "timestamp": JULY + timedelta(minutes=159),
        "transaction_id": "j-3",
        "properties": '{"model": "\\"", "tokens": "3"}',
        "sequence": 2,
        "record_time": datetime(2023, 11, 20, 12, 30, 0, 123456, tzinfo=UTC),
    }
    order = [(row["subscription_id"], row["timestamp"]) for row in table]
    assert order == sorted(order)
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'event'::regclass AND attnum > 0 AND NOT attisdropped"
    assert {row[0] for row in await pool.fetch(columns)} == {
        "event_time", "sequence", "tenant_no", "series_no", "transaction_id", "properties", "amount"
    }, "a column that the files do not hold"  # fmt: skip


async def test_a_month_is_archived_once_nothing_needs_it(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    metering, globex = connect("acme"), connect("globex")
    await make_meters(metering)
    await make_meters(globex, Meter(
        code="seats", event_code="seat", value_property="id", aggregation=Meter.AGGREGATION_UNIQUE_COUNT, recurring=True
    ), count_meter(event_code="llm"))  # fmt: skip
    await ingest(metering, [event("t", at=JULY, tokens="1")])
    await worker.run()
    assert await months(archive) == {"2023-07": ("DUE", ["NOT_FOLDED", "NOT_BILLED"])}
    await settle(pool)
    await billed(archive, AUGUST - timedelta(seconds=1))
    await worker.run()
    assert await months(archive) == {"2023-07": ("DUE", ["NOT_BILLED"])}
    await ingest(globex, [event("s", code="seat", at=JULY, id="me")])
    await settle(pool)
    assert await billed(archive, AUGUST) == AUGUST
    assert await billed(archive, JULY) == AUGUST
    await worker.run()
    assert await months(archive) == {"2023-07": ("DUE", ["NOT_BILLED", "NEEDED"])}
    await billed(connect("globex", stub=ArchiveServiceStub), NOVEMBER)
    await worker.run()
    assert await months(archive) == {"2023-07": ("DUE", ["NEEDED"])}
    await pool.execute("UPDATE meter SET recurring = false")
    worker.now = datetime(2023, 10, 31, 23, tzinfo=UTC)
    await pool.execute("DELETE FROM archived_month")
    await worker.run()
    assert await months(archive) == {}, "not three months old"
    worker.now = NOVEMBER
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}


async def test_an_archived_month_takes_no_events_but_knows_those_it_has(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    """Also at a server that has recorded events of the month before; a restored month takes them, and keeps them."""
    metering = connect("acme")
    await record(metering, pool)
    await billed(archive)
    await worker.run()
    late = event("late", "dense", at=JULY + timedelta(days=9), tokens="5")
    other = event("j-1", "dense", at=JULY, tokens="9")
    sent = [EVENTS[0], late, event("new", "dense", tokens="1"), late, other]
    for server in (0, 1):
        answer = await ingest(connect("acme", server=server), sent)
        assert answer.accepted_count == 1 - server
        assert answer.duplicate_indexes == ([0] if server == 0 else [0, 2])
        assert [(each.index, each.reason) for each in answer.failures] == [
            (1, "MONTH_ARCHIVED"), (3, "MONTH_ARCHIVED"), (4, "TRANSACTION_ID_REUSED")
        ]  # fmt: skip
    only_late = await ingest(metering, [late])
    assert [each.reason for each in only_late.failures] == ["MONTH_ARCHIVED"]
    await restore(archive)
    await worker.run()
    assert (await ingest(metering, [late])).accepted_count == 1
    await settle(pool)
    whole = usage_of("requests", "tokens", subscription_id="dense", start=JULY, end=AUGUST)
    ragged = usage_of("median", "requests", subscription_id="dense", start=JULY + timedelta(days=8), end=AUGUST)
    before = await answers(metering, [whole, ragged])
    assert before[0] == [("requests", "801", 801), ("tokens", str(sum(range(800)) + 5), 801)]
    worker.now += timedelta(days=8)
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    assert await answers(metering, [whole]) == before[:1]
    await restore(archive, hold_days=60)
    await worker.run()
    assert await answers(metering, [whole, ragged]) == before


async def test_corrections_are_refused_an_archived_month(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker, corrections: Corrections
) -> None:
    """At a server that has recorded a backfill of the month before; and where it is archived at that moment."""
    metering = connect("acme")
    await record(metering, pool)
    early = event("early", "dense", at=JULY, tokens="1")
    await ingest(metering, [early], first := await open_backfill(corrections))
    await revert_backfill(corrections, first)
    assert await Releaser(pool, lambda: WORKER_TIME).release()
    await settle(pool)
    await billed(archive)
    second = await open_backfill(corrections)
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT FROM backfill FOR UPDATE")
        recording = asyncio.ensure_future(ingest(metering, [early], second))
        await until(pool, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
        await worker.run()
    with pytest.raises(Unavailable) as conflict:
        await recording
    assert conflict.value.reason == "TRANSACTION_CONFLICT"
    with pytest.raises(FailedPrecondition) as refused:
        await ingest(metering, [early], second)
    assert refused.value.reason == "MONTH_ARCHIVED"
    with pytest.raises(FailedPrecondition) as refused:
        await amend(corrections, change(EVENTS[-1], event("n-1", "sparse", at=JULY, tokens="7")))
    assert refused.value.reason == "MONTH_ARCHIVED"


async def test_what_is_made_while_a_month_is_away_is_never_silently_short(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    """A younger meter, and finer buckets for a series that has become dense: both are built without the month."""
    metering = connect("acme")
    await record(metering, pool)
    await billed(archive)
    await worker.run()
    await make_meters(metering, Meter(
        code="most", event_code="llm", value_property="size", aggregation=Meter.AGGREGATION_MAX
    ))  # fmt: skip
    more = [event(f"m-{n}", "sparse", at=NOVEMBER + timedelta(minutes=n), tokens="1", size="3") for n in range(700)]
    await ingest(metering, more)
    await settle(pool)
    assert await pool.fetchval("SELECT depth FROM series WHERE subscription_id = 'sparse'") >= 2
    most = usage_of("most", subscription_id="sparse", start=JUNE, end=NOVEMBER)
    days = usage_of("tokens", subscription_id="sparse", start=JULY + timedelta(days=2), end=AUGUST)
    for request in (most, days):
        with pytest.raises(FailedPrecondition) as refused:
            await metering.GetUsage(request)
        assert refused.value.reason == "USAGE_ARCHIVED"
    assert await answers(metering, [usage_of("tokens", subscription_id="sparse", start=JULY, end=NOVEMBER)]) == [
        [("tokens", "-10", 4)]
    ]
    await restore(archive)
    await worker.run()
    for _ in range(2):
        assert await answers(metering, [most, days]) == [[("most", "0", 0)], [("tokens", "-7.5", 3)]]
        more = [
            event(f"o-{n}", "sparse", at=NOVEMBER + timedelta(seconds=n), tokens="1", size="1") for n in range(2_000)
        ]
        await ingest(metering, more)
        await settle(pool)


Said: TypeAlias = "tuple[list[list[tuple[str, str, int]]], list[tuple[str, bytes]]]"


async def said(metering: Client, watermark: int) -> Said:
    """Everything that is asked here, at a watermark."""
    requests = []
    for request in (*WHOLE, *RAGGED):
        at = GetUsageRequest(watermark=watermark)
        at.MergeFrom(request)
        requests.append(at)
    return await answers(metering, requests), await listed(metering, watermark)


async def backfill(metering: Client, corrections: Corrections, *events: Event) -> str:
    """An open one with these events."""
    backfill_id = await open_backfill(corrections)
    assert (await ingest(metering, list(events), backfill_id)).accepted_count == len(events)
    return backfill_id


def in_july(name: str, day: int, tokens: str, who: str = "dense") -> Event:
    return event(name, who, at=JULY + timedelta(days=day, minutes=7), tokens=tokens, model="a")


async def test_a_month_with_corrections_answers_the_same_at_every_watermark_once_it_was_away(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker, corrections: Corrections, reports: Reports
) -> None:
    metering, known = connect("acme"), dict[int, Said]()

    async def keep() -> None:
        await settle(pool)
        watermark = (await metering.GetUsage(WHOLE[0])).watermark
        known[watermark] = await said(metering, watermark)

    async def require_the_same() -> None:
        for watermark, before in known.items():
            assert await said(metering, watermark) == before, watermark
        assert list((await report(reports)).differences) == []

    await record(metering, pool)
    await keep()
    stays = await backfill(metering, corrections, in_july("b-1", 5, "11"), in_july("b-2", 6, "5", "sparse"))
    goes = await backfill(metering, corrections, in_july("g-1", 5, "100"), event("g-2", "dense", at=AUGUST, tokens="3"))
    for each in (stays, goes):
        await close_backfill(corrections, each)
        await keep()
    await amend(corrections, change(EVENTS[5], in_july("j-5", 20, "77")), change(EVENTS[6]))
    await keep()
    await amend(corrections, change(in_july("b-1", 5, "11"), in_july("b-1", 9, "12")))
    await keep()
    await revert_backfill(corrections, goes)
    await billed(archive)
    await worker.run()
    assert await months(archive) == {"2023-07": ("DUE", ["CORRECTED"])}
    while await Releaser(pool, lambda: WORKER_TIME).release():
        pass
    await keep()
    is_open = await backfill(metering, corrections, in_july("o-1", 5, "1"))
    worker.now += timedelta(minutes=2)
    await worker.run()
    assert await months(archive) == {"2023-07": ("DUE", ["CORRECTED"])}
    await close_backfill(corrections, is_open)
    await keep()
    whole = await answers(metering, WHOLE)

    worker.now += timedelta(minutes=2)
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    assert await answers(metering, WHOLE) == whole
    await require_archived_usage(metering)
    assert list((await report(reports)).differences) == []
    with pytest.raises(FailedPrecondition) as refused:
        await revert_backfill(corrections, is_open)
    assert (refused.value.reason, refused.value.metadata["month"]) == ("MONTH_ARCHIVED", "2023-07")

    await restore(archive)
    await worker.run()
    await require_the_same()
    await revert_backfill(corrections, is_open)
    await settle(pool)
    while await Releaser(pool, lambda: WORKER_TIME).release():
        pass
    await keep()
    worker.now += timedelta(days=8)
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    await restore(archive, hold_days=60)
    await worker.run()
    await require_the_same()


@pytest.mark.parametrize("by", ["a backfill", "an amendment", "an amendment that deprecates"])
async def test_a_correction_that_comes_before_the_drop_has_the_month_written_again(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker, corrections: Corrections, by: str
) -> None:
    """Also where as many events are there as were written."""
    metering = connect("acme")
    await record(metering, pool)
    await billed(archive)
    archivist = Archivist(pool, lambda: WORKER_TIME, storage(worker._url), 3)
    assert await archivist.archive()
    assert await archivist.archive()
    async with pool.acquire() as conn:
        month = JULY.date()
        watermark = await conn.fetchval("SELECT watermark FROM archived_month")
        assert await store.count_written(conn, month)
        if by == "a backfill":
            await close_backfill(corrections, await backfill(metering, corrections, in_july("b-1", 5, "11")))
        elif by == "an amendment":
            await amend(corrections, change(EVENTS[5], in_july("j-5", 20, "77")))
        else:
            await amend(corrections, change(EVENTS[5]))
        await settle(pool)
        assert await store.drop(conn, month, watermark, WORKER_TIME) is False
    await worker.run()
    worker.now += timedelta(minutes=2)
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    written = {"a backfill": 805, "an amendment": 804, "an amendment that deprecates": 803}
    assert await pool.fetchval("SELECT sum(event_count)::int FROM archive_file") == written[by]


async def test_a_month_that_changes_while_it_is_written_is_written_again(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    metering = connect("acme")
    await record(metering, pool)
    await billed(archive)
    archivist = Archivist(pool, lambda: WORKER_TIME, storage(worker._url), 3)
    assert await archivist.archive()
    assert await archivist.archive()
    assert await pool.fetchval("SELECT count(*) FROM archive_file") == 1
    await ingest(metering, [event("late", "dense", at=JULY + timedelta(days=9), tokens="5")])
    await settle(pool)
    assert not await archivist.archive()
    assert await months(archive) == {"2023-07": ("DUE", [])}
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    assert await pool.fetchval("SELECT sum(event_count)::int FROM archive_file") == 805


async def test_an_event_that_is_withdrawn_while_its_month_is_written_is_not_in_the_files(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    await record(connect("acme"), pool)
    await billed(archive)
    archivist = Archivist(pool, lambda: WORKER_TIME, storage(worker._url), 3)
    assert await archivist.archive()
    assert await archivist.archive()
    await pool.execute("DELETE FROM event WHERE transaction_id = 'j-7'")
    await worker.run()
    assert await months(archive) == {"2023-07": ("DUE", [])}
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    assert await pool.fetchval("SELECT sum(event_count)::int FROM archive_file") == 803


async def test_an_event_that_comes_before_the_drop_stops_it(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    metering, july = connect("acme"), JULY.date()
    await record(metering, pool)
    await billed(archive)
    archivist = Archivist(pool, lambda: WORKER_TIME, storage(worker._url), 3)
    assert await archivist.archive()
    assert await archivist.archive()
    async with pool.acquire() as conn:
        assert await store.count_written(conn, july)
        await ingest(metering, [event("late", "dense", at=JULY + timedelta(days=9), tokens="5")])
        await settle(pool)
        assert await store.drop(conn, july, 4, WORKER_TIME) is False
    assert await pool.fetchval("SELECT count(*) FROM event_2023_07") == 805


async def test_a_file_that_was_tampered_with_is_not_loaded(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    metering = connect("acme")
    await record(metering, pool)
    await billed(archive)
    await worker.run()
    await pool.execute("UPDATE archive_file SET digest = sha256(digest)")
    await restore(archive)
    with pytest.raises(FileDiffers):
        await worker.run()
    assert await pool.fetchval("SELECT count(*) FROM event") == 201
    assert await pool.fetchval("SELECT to_regclass('restored_2023_07')") is None
    await require_archived_usage(metering)


async def test_two_workers_do_not_get_in_each_others_way(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    metering = connect("acme")
    await record(metering, pool)
    await billed(archive)
    before = await answers(metering, WHOLE + RAGGED)
    await asyncio.gather(*(worker.run() for _ in range(4)))
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    await restore(archive)
    await asyncio.gather(*(worker.run() for _ in range(4)))
    assert await answers(metering, WHOLE + RAGGED) == before


async def test_a_question_that_races_with_archiving_is_right_or_refused(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    metering = connect("acme")
    await record(metering, pool)
    await billed(archive)
    expected = (await answers(metering, RAGGED[:1]))[0]
    seen = set()

    async def keep_asking() -> None:
        while not working.done():
            try:
                assert (await answers(metering, RAGGED[:1]))[0] == expected
                seen.add("right")
            except FailedPrecondition:
                seen.add("refused")

    async def work() -> None:
        for _ in range(3):
            while await months(archive) != {"2023-07": ("ARCHIVED", [])}:
                await worker.run()
            await restore(archive, hold_days=(worker.now - WORKER_TIME).days + 1)
            await worker.run()
            worker.now += timedelta(days=2)

    working = asyncio.create_task(work())
    await asyncio.gather(working, *(keep_asking() for _ in range(3)))
    assert seen == {"right", "refused"}


async def test_a_snapshot_keeps_the_month_it_has_seen(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    await record(connect("acme"), pool)
    await billed(archive)
    async with pool.acquire() as conn, snapshot(conn):
        await conn.fetchval("SELECT max(sequence) FROM event_batch")
        await worker.run()
        assert await months(archive) == {"2023-07": ("WRITING", [])}
        assert await conn.fetchval("SELECT count(*) FROM event") == len(EVENTS)
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}


WAITS = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = '{}'::regclass"
KILLS = {
    "writing": ("archive_file", "SHARE", WAITS.format("archive_file")),
    "dropping": ("event", "ACCESS SHARE", "SELECT count(*) = 1 FROM archive_file"),
    "loading": ("archive_file", "SHARE", WAITS.format("archive_file")),
    "attaching": ("event", "SHARE UPDATE EXCLUSIVE", WAITS.format("event")),
}
"""By what the worker is doing: the lock that holds it up there, and what tells that it does."""


async def test_a_worker_killed_at_any_step_loses_nothing(
    connect: Connect, pool: Pool, archive: Archive, database: Database, valkey: Valkey, tmp_path: Path
) -> None:
    metering, dsn = connect("acme"), database.dsns["metering"]
    await record(metering, pool)
    await billed(archive)
    before = await answers(metering, WHOLE), await answers(metering, RAGGED), await listed(metering)
    start = partial(
        worker_process,
        dsn, valkey.url, WEIR_METERING_ARCHIVE=tmp_path.as_uri(), WEIR_METERING_RETENTION_MONTHS="3",
    )  # fmt: skip

    async def kill(step: str) -> None:
        table, mode, reached = KILLS[step]
        blocker = await asyncpg.connect(dsn)
        try:
            async with blocker.transaction():
                await blocker.execute(f"LOCK TABLE ONLY {table} IN {mode} MODE")
                async with start() as process:
                    await until(pool, reached)
                    process.kill()
                    await process.wait()
        finally:
            await blocker.close()
        await until(pool, "SELECT count(*) = 0 FROM pg_locks WHERE NOT granted")

    for step in ("writing", "dropping"):
        await kill(step)
        assert (await answers(metering, WHOLE), await answers(metering, RAGGED)) == before[:2]
    async with start():
        await until(pool, "SELECT state = 'ARCHIVED' FROM archived_month WHERE month = '2023-07-01'")
    assert await answers(metering, WHOLE) == before[0]
    await require_archived_usage(metering)
    await restore(archive)
    await pool.execute("UPDATE archived_month SET hold_end_time = '2100-01-01'")
    for step in ("loading", "attaching"):
        await kill(step)
        assert await answers(metering, WHOLE) == before[0]
        await require_archived_usage(metering)
    async with start():
        await until(pool, "SELECT state = 'RESTORED' FROM archived_month WHERE month = '2023-07-01'")
    assert (await answers(metering, WHOLE), await answers(metering, RAGGED), await listed(metering)) == before
    assert await pool.fetchval("SELECT count(*) FROM event") == len(EVENTS)


async def test_a_bucket_keeps_months_as_a_folder_does(
    connect: Connect, pool: Pool, archive: Archive, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    metering = connect("acme")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, AWS[name])
    region = AWS["AWS_DEFAULT_REGION"]
    place = {"LocationConstraint": region}
    aws_client("s3", aws).create_bucket(Bucket="weir-archive", CreateBucketConfiguration=place)
    await record(metering, pool)
    await billed(archive)
    before = await answers(metering, WHOLE + RAGGED)
    worker = Worker(pool, f"s3://weir-archive/events?region={region}&endpoint_url={aws}")
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    [month] = (await archive.ListArchivedMonths(ListArchivedMonthsRequest())).months
    assert [each.rpartition("/2023-07/")[0] for each in month.locations] == ["s3://weir-archive/events"]
    await require_archived_usage(metering)
    await restore(archive)
    await worker.run()
    assert await answers(metering, WHOLE + RAGGED) == before


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("/var/archive", "must be file:///folder or s3://bucket/prefix"),
        ("file://host/folder", "must be file:///folder or s3://bucket/prefix"),
        ("s3://bucket/prefix?colour=red", "there is no option colour"),
        ("s3://bucket/prefix?endpoint_url=nowhere", "Invalid endpoint"),
    ],
)
def test_a_wrong_place_for_the_archive_is_told_at_the_start(url: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=f"^WEIR_METERING_ARCHIVE.*{problem}"):
        storage(url)


async def test_an_alert_keeps_what_it_needs_and_one_that_lacks_it_does_not_keep_others_from_theirs(
    connect: Connect, pool: Pool, archive: Archive, worker: Worker
) -> None:
    metering, alerts = connect("acme"), connect("acme", stub=AlertServiceStub)
    await record(metering, pool)
    await billed(archive)

    def lifetime(code: str, meter_code: str) -> CreateAlertRequest:
        made = alert(code, "1", subscription_id="sparse", meter_code=meter_code, window=Alert.WINDOW_LIFETIME)
        return create_alert(made)

    await alerts.CreateAlert(lifetime("kept", "median"))
    await worker.run()
    assert await months(archive) == {"2023-07": ("DUE", ["NEEDED"])}
    await alerts.DeleteAlert(DeleteAlertRequest(code="kept"))
    await alerts.CreateAlert(lifetime("calls", "requests"))
    await worker.run()
    assert await months(archive) == {"2023-07": ("ARCHIVED", [])}
    await alerts.CreateAlert(lifetime("late", "median"))
    await ingest(metering, [event("n-2", "sparse", tokens="9")])
    await settle(pool)
    assert await triggered(alerts) == ["1"]
    assert [each.alert_code for each in await triggers(alerts)] == ["calls"]
    assert await pool.fetchval("SELECT count(*) FROM alert_due") == 0


async def test_months_that_are_not_archived_are_not_restored(archive: Archive) -> None:
    with pytest.raises(NotFound) as refused:
        await restore(archive)
    assert refused.value.reason == "MONTH_NOT_ARCHIVED"


async def test_the_worker_makes_the_next_months_partition(pool: Pool) -> None:
    archivist = Archivist(pool, lambda: datetime(2023, 12, 31, 23, 59, tzinfo=UTC), None, 0)
    await archivist.make_partitions()
    await archivist.make_partitions()
    found = await pool.fetch("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'")
    assert sorted(row[0] for row in found) == ["event_2023_12", "event_2024_01"]


async def test_the_command_lists_and_restores_months(
    pool: Pool, archive: Archive, worker: Worker, database: Database, keys: Keys
) -> None:
    settings = Settings(dsn=database.dsns["metering"], public_keys=keys.public_pem, listen="127.0.0.1:0")
    async with running(settings, lambda: NOW) as port:
        async with channel(f"127.0.0.1:{port}", keys.api_key()) as opened:
            await record(MeteringServiceStub(opened), pool)
        await worker.run()
        code, out = await weir(port, keys.api_key(), "archive", "list")
        assert code == 0
        assert out.splitlines()[1].split()[:4] == ["2023-07", "due", "not", "billed"]
        await billed(archive)
        await worker.run()
        restoring = asyncio.create_task(weir(port, keys.api_key(), "archive", "restore", "2023-07", "--wait", "--json"))
        await until(pool, "SELECT state = 'RESTORING' FROM archived_month")
        await worker.run()
        code, out = await restoring
        assert (code, json.loads(out)["state"], json.loads(out)["event_count"]) == (0, "STATE_RESTORED", "804")
        assert (await weir(port, keys.api_key(), "archive", "restore", "2023-10"))[0] == 1
