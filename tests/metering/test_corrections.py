"""Whatever is backfilled, taken back, replaced and deprecated, in whatever order, and folded when: usage at every
watermark is what a naive count of the facts comes to.
"""

import asyncio
import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.money import plain
from libs.common.postgres import Pool
from libs.common.wire import timestamp_out
from libs.embedded.valkey import Valkey
from services.metering.worker import Folder, Releaser
from tests.conftest import Database
from tests.metering.conftest import Client, Connect, ConnectCorrections, Corrections
from tests.metering.processes import worker_process
from tests.metering.requests import (
    END,
    NOW,
    START,
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
from weir.metering.v1.late_usage_pb2 import BatchFindLateUsageRequest, LateUsageQuestion
from weir.metering.v1.late_usage_pb2_grpc import LateUsageServiceStub
from weir.metering.v1.metering_pb2 import BatchGetUsageRequest, Event, GetUsageResponse, ListEventsRequest, Meter

if TYPE_CHECKING:
    from weir.metering.v1.late_usage_pb2_grpc import LateUsageServiceAsyncStub

METERS = (
    count_meter("calls", event_code="llm"),
    sum_meter("tokens"),
    Meter(code="most", event_code="llm", aggregation=Meter.AGGREGATION_MAX, value_property="tokens"),
    Meter(code="last", event_code="llm", aggregation=Meter.AGGREGATION_LATEST, value_property="tokens"),
    Meter(code="who", event_code="llm", aggregation=Meter.AGGREGATION_UNIQUE_COUNT, value_property="user"),
)
WRONG_BUCKETS = """
    WITH closed AS (SELECT -backfill_no AS sequence FROM backfill, rollup_progress
        WHERE close_sequence <= folded AND coalesce(revert_sequence > folded, true)
    ), folded AS (
        SELECT event.*, depth, rollup_no, value_property
        FROM event JOIN series USING (series_no) JOIN (
            SELECT tenant_id, event_code, rollup_no, value_property, built_series_no FROM rollup
            UNION ALL SELECT DISTINCT tenant_id, event_code, 0, '', 2147483647 FROM series
        ) AS rollups USING (tenant_id, event_code)
        WHERE series_no <= built_series_no AND ($1 = '' OR tenant_id = $1) AND (
            sequence BETWEEN 0 AND (SELECT folded FROM rollup_progress) OR sequence IN (SELECT sequence FROM closed)
        )
    ), added_up AS (
        SELECT tenant_no, series_no, rollup_no, width,
            date_trunc((ARRAY['month', 'day', 'hour', 'minute'])[width + 1], event_time, 'UTC') AS start_time,
            count(*) AS event_count, trim_scale(sum(value)) AS total,
            trim_scale(min(value)) AS smallest, trim_scale(max(value)) AS largest,
            CASE WHEN rollup_no = 0 THEN max(sequence) END AS last_sequence
        FROM folded CROSS JOIN generate_series(0, depth) AS width CROSS JOIN LATERAL (
            SELECT CASE WHEN value_property = '' THEN 1 ELSE (properties ->> value_property)::numeric END AS value
        ) AS seen
        GROUP BY 1, 2, 3, 4, 5
    ), kept AS (
        SELECT tenant_no, series_no, rollup_no, width::int, start_time, sum(event_count)::bigint,
            trim_scale(sum(total)), trim_scale(min(smallest)), trim_scale(max(largest)), max(last_sequence)
        FROM bucket WHERE $1 = '' OR tenant_no = (SELECT tenant_no FROM tenant WHERE tenant_id = $1)
        GROUP BY 1, 2, 3, 4, 5
    )
    SELECT * FROM ((TABLE kept EXCEPT TABLE added_up) UNION ALL (TABLE added_up EXCEPT TABLE kept)) AS difference
    WHERE series_no NOT IN (SELECT series_no FROM corrected_series WHERE NOT is_rebuilt)
"""

UNFINISHED = """
    SELECT EXISTS (SELECT FROM corrected_series WHERE NOT is_rebuilt)
        OR EXISTS (SELECT FROM backfill WHERE release_time IS NULL)
"""
NEWEST = datetime(2023, 11, 20, tzinfo=UTC)
INSTANTS = st.one_of(
    st.integers(0, 19 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.tuples(st.integers(-40, 18), st.sampled_from([0, 1, 13]), st.sampled_from([-1, 0, 60_000_000])).map(
        lambda t: START + timedelta(days=t[0], hours=t[1], microseconds=t[2])
    ),
).map(lambda instant: min(instant, NEWEST))
SOURCES = st.sampled_from(["live", "backfill"])
PICK = st.integers(0, 10**6)
LONE = st.lists(st.tuples(st.sampled_from("ab"), INSTANTS, st.integers(-50, 1_000)), min_size=1, max_size=8)
BURST = st.tuples(st.sampled_from("ab"), INSTANTS, st.sampled_from([120, 700]), st.sampled_from([50, 3_000, 90_000]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), SOURCES, LONE, PICK),
        st.tuples(st.just("burst"), SOURCES, BURST, PICK),
        st.tuples(st.just("send"), st.just("backfill"), LONE, PICK),
        st.tuples(st.just("close"), PICK),
        st.tuples(st.just("revert"), PICK),
        st.tuples(st.just("deprecate"), st.lists(PICK, min_size=1, max_size=4)),
        st.tuples(st.just("replace"), st.lists(st.tuples(PICK, INSTANTS), min_size=1, max_size=4)),
        st.tuples(st.just("resend"), PICK),
        st.just(("fold",)),
        st.just(("fold all",)),
        st.just(("release",)),
    ),
    min_size=10,
    max_size=30,
)
_examples = itertools.count()
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Fact:
    """An event, as it counts at watermarks in [since, until); None is not yet."""

    event: Event
    at: datetime
    value: int
    backfill_id: str = ""
    amendment_id: str = ""
    since: int | None = None
    until: int | None = None

    def counts(self, watermark: int) -> bool:
        return self.since is not None and self.since <= watermark and (self.until is None or watermark < self.until)


@dataclass(slots=True)
class World:
    """A tenant, and what has been done to it."""

    metering: Client
    corrections: Corrections
    late: "LateUsageServiceAsyncStub"
    facts: list[Fact] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    watermarks: list[int] = field(default_factory=list)

    async def head(self) -> int:
        return (await self.metering.GetUsage(usage_of("calls"))).watermark

    async def send(self, source: str, events: Sequence[tuple[str, datetime, int]], pick: int) -> None:
        if source == "backfill" and pick % 3 >= len(self.open):
            self.open.append(await open_backfill(self.corrections))
        backfill_id = self.open[pick % len(self.open)] if source == "backfill" else ""
        fresh = [
            Fact(
                event(f"t-{next(_numbers)}", who, at=at, tokens=str(value), user=str(value % 7)),
                at,
                value,
                backfill_id,
            )
            for who, at, value in ((who, min(at, NEWEST), value) for who, at, value in events)
        ]
        answer = await ingest(self.metering, [fact.event for fact in fresh], backfill_id)
        assert answer.accepted_count == len(fresh)
        since = None if backfill_id else await self.head()
        self.facts += [replace(fact, since=since) for fact in fresh]

    async def resend(self, pick: int) -> None:
        """What was first sent is a duplicate, while it is anything at all."""
        originals = [fact for fact in self.facts if not fact.amendment_id and not self._released(fact)]
        if originals:
            fact = originals[pick % len(originals)]
            assert (await ingest(self.metering, [fact.event])).duplicate_indexes == [0]

    def _released(self, fact: Fact) -> bool:
        return bool(fact.backfill_id) and fact.backfill_id not in (*self.open, *self.closed)

    async def close(self, pick: int) -> None:
        if self.open:
            backfill_id = self.open.pop(pick % len(self.open))
            sequence = (await close_backfill(self.corrections, backfill_id)).close_watermark
            self.closed.append(backfill_id)
            self._change(lambda fact: fact.backfill_id == backfill_id, since=sequence)

    async def revert(self, pick: int) -> None:
        """One whose events have no replacements that stand."""
        amended = {fact.backfill_id for fact in self.facts if fact.amendment_id and fact.until is None}
        candidates = [each for each in (*self.open, *self.closed) if each not in amended]
        if not candidates:
            return
        backfill_id = candidates[pick % len(candidates)]
        sequence = (await revert_backfill(self.corrections, backfill_id)).revert_watermark
        if backfill_id in self.open:
            self.open.remove(backfill_id)
            self.facts = [fact for fact in self.facts if fact.backfill_id != backfill_id]
        else:
            self.closed.remove(backfill_id)
            self._change(lambda fact: fact.backfill_id == backfill_id and fact.until is None, until=sequence)

    async def amend(self, picks: Sequence[tuple[int, datetime | None]]) -> None:
        standing = [fact for fact in self.facts if fact.since is not None and fact.until is None]
        chosen = {pick % len(standing): at for pick, at in picks} if standing else {}
        if not chosen:
            return
        pairs = [(standing[index], _amended(standing[index], at)) for index, at in chosen.items()]
        changes = [change(old.event, new and new.event, old.amendment_id) for old, new in pairs]
        answer = await amend(self.corrections, *changes)
        for (old, new), made in zip(pairs, answer.amendments, strict=True):
            self.facts[self.facts.index(old)] = replace(old, until=made.watermark)
            if new is not None:
                self.facts.append(replace(new, since=made.watermark, amendment_id=made.id))

    def _change(self, which: Callable[[Fact], bool], **values: int) -> None:
        self.facts = [replace(fact, **values) if which(fact) else fact for fact in self.facts]

    def expected(self, who: str, start: datetime, end: datetime, watermark: int) -> list[tuple[str, str, int]]:
        mine = [
            fact
            for fact in self.facts
            if fact.event.subscription_id == who and start <= fact.at < end and fact.counts(watermark)
        ]
        values = [fact.value for fact in mine]
        last = max(mine, key=lambda fact: (fact.at, fact.event.transaction_id), default=None)
        quantities = {
            "calls": len(mine),
            "tokens": sum(values),
            "most": max(values, default=0),
            "last": max(0, last.value) if last else 0,
            "who": len({value % 7 for value in values}),
        }
        return [(code, plain(Decimal(quantity)), len(mine)) for code, quantity in quantities.items()]

    async def require_usage(self, periods: Sequence[tuple[datetime, datetime]], watermark: int = 0) -> None:
        queries = [
            usage_of(*(meter.code for meter in METERS), subscription_id=who, start=start, end=end)
            for who in "ab"
            for start, end in periods
        ]
        answer = await self.metering.BatchGetUsage(BatchGetUsageRequest(queries=queries, watermark=watermark))
        if watermark not in self.watermarks:
            self.watermarks.append(answer.watermark)
        for query, each in zip(queries, answer.answers, strict=True):
            period = query.period.start_time.ToDatetime(UTC), query.period.end_time.ToDatetime(UTC)
            assert usages(each) == self.expected(query.subscription_id, *period, answer.watermark), (query, watermark)

    async def require_late(self, instants: Sequence[datetime], since: Sequence[int], watermark: int = 0) -> None:
        """What counts at one watermark and not at the other, of events before each of `instants`."""
        asked = [(who, first, before) for who in "ab" for first in since for before in instants]
        questions = [
            LateUsageQuestion(subscription_id=who, since_watermark=first, before_time=timestamp_out(before))
            for who, first, before in asked
        ]
        answer = await self.late.BatchFindLateUsage(BatchFindLateUsageRequest(questions=questions, watermark=watermark))
        changed = {
            (who, first): sorted(
                fact.at
                for fact in self.facts
                if fact.event.subscription_id == who and fact.counts(first) != fact.counts(answer.watermark)
            )
            for who in "ab"
            for first in since
        }
        for (who, first, before), each in zip(asked, answer.answers, strict=True):
            times = changed[who, first][: bisect_left(changed[who, first], before)]
            assert [
                (late.meter_code, late.first_time.ToDatetime(UTC), late.last_time.ToDatetime(UTC), late.event_count)
                for late in each.usages
            ] == sorted((meter.code, times[0], times[-1], len(times)) for meter in METERS if times), (
                who,
                first,
                before,
            )

    async def require_listing(self, who: str, watermark: int) -> None:
        listed: list[tuple[str, str]] = []
        request = ListEventsRequest(subscription_id=who, page_size=500, watermark=watermark)
        while True:
            page = await self.metering.ListEvents(request)
            listed += [(each.event.transaction_id, each.amendment_id) for each in page.events]
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        facts = [fact for fact in self.facts if fact.event.subscription_id == who and fact.counts(watermark)]
        facts.sort(key=lambda fact: (fact.at, fact.event.transaction_id))
        assert listed == [(fact.event.transaction_id, fact.amendment_id) for fact in facts]


def _amended(fact: Fact, at: datetime | None) -> Fact | None:
    if at is None:
        return None
    value = fact.value + 1
    better = event(fact.event.transaction_id, fact.event.subscription_id, at=at, tokens=str(value), user=str(value % 7))
    return Fact(better, at, value, fact.backfill_id)


def usages(answer: GetUsageResponse) -> list[tuple[str, str, int]]:
    return [(usage.meter_code, usage.quantity, usage.event_count) for usage in answer.usages]


def spread(who: str, at: datetime, size: int, spacing: int) -> Iterator[tuple[str, datetime, int]]:
    for n in range(size):
        yield who, at + timedelta(milliseconds=n * spacing), n


IS_HELD_UP = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = $1::text::regclass"


async def held_up(pool: Pool, table: str) -> None:
    """Return once somebody waits for a lock on the table."""
    async with asyncio.timeout(20):
        while not await pool.fetchval(IS_HELD_UP, table):  # noqa: ASYNC110 what another process does to the database
            await asyncio.sleep(0.02)


async def test_a_worker_killed_while_it_releases_and_rebuilds_leaves_nothing_half_done(
    metering: Client, corrections: Corrections, pool: Pool, database: Database, valkey: Valkey
) -> None:
    """Locks hold up the worker in the middle of its transactions: while it withdraws events, while it makes buckets."""
    await make_meters(metering, *METERS)
    sent = [
        event(f"t-{n}", f"sub-{n % 3}", at=START + timedelta(seconds=n), tokens="2", user="u") for n in range(12_000)
    ]
    backfill_id = await open_backfill(corrections)
    await ingest(metering, sent[:6_000])
    for part in (sent[6_000:9_000], sent[9_000:]):
        await ingest(metering, part, backfill_id)
    dsn = database.dsns["metering"]

    async def require(*counts: int) -> None:
        for number in range(3):
            found = await metering.GetUsage(usage_of("calls", "tokens", subscription_id=f"sub-{number}"))
            assert [usage.event_count for usage in found.usages] == [sum(counts) // 3] * 2

    for verb, table, counts in (
        (close_backfill, "bucket", 12_000),
        (revert_backfill, "withdrawn_event", 6_000),
    ):
        blocker = await asyncpg.connect(dsn)
        holding = blocker.transaction()
        await holding.start()
        done = await verb(corrections, backfill_id)
        await blocker.execute(f"LOCK TABLE {table} IN SHARE MODE")
        async with worker_process(dsn, valkey.url) as worker:
            await held_up(pool, table)
            await require(counts)
            worker.kill()
            await worker.wait()
        await holding.rollback()
        await blocker.close()
        await require(counts)
        keys = await pool.fetchval("SELECT count(*) FROM event_key")
        assert keys == 12_000
    async with worker_process(dsn, valkey.url):
        async with asyncio.timeout(30):
            while await pool.fetchval(UNFINISHED):  # noqa: ASYNC110 what another process does to the database
                await asyncio.sleep(0.05)
    assert [tuple(row) for row in await pool.fetch(WRONG_BUCKETS, "")] == []
    assert await pool.fetchval("SELECT count(*) FROM event_key") == 6_000
    assert done.revert_watermark
    await require(6_000)
    assert (await ingest(metering, sent[5_000:])).accepted_count == 6_000
    await require(12_000)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, periods=st.lists(st.tuples(INSTANTS, INSTANTS), min_size=1, max_size=4))
async def test_usage_at_every_watermark_is_what_the_facts_come_to(
    connect: Connect,
    connect_corrections: ConnectCorrections,
    pool: Pool,
    steps: list[tuple[object, ...]],
    periods: list[tuple[datetime, datetime]],
) -> None:
    """Each example is a tenant of its own."""
    tenant_id = f"tenant-{next(_examples)}"
    world = World(
        connect(tenant_id),
        connect_corrections(tenant_id, server=1),
        connect(tenant_id, server=1, stub=LateUsageServiceStub),
    )
    folders = [Folder(pool), Folder(pool)]
    releaser = Releaser(pool, lambda: NOW)
    await make_meters(world.metering, *METERS)
    asked = [(start, end) for start, end in ((min(pair), max(pair)) for pair in periods) if start < end]
    asked += [(START, END), (START - timedelta(days=45), END), (START + timedelta(hours=5.5), END)]
    instants = [asked[0][0], asked[0][1], START + timedelta(hours=5.5), END]
    for step in steps:
        match step:
            case "send", str(source), list(events), int(pick):
                await world.send(source, events, pick)
            case "burst", str(source), (str(who), datetime() as at, int(size), int(spacing)), int(pick):
                await world.send(source, list(spread(who, at, size, spacing)), pick)
            case "close", int(pick):
                await world.close(pick)
            case "revert", int(pick):
                await world.revert(pick)
            case "deprecate", list(picks):
                await world.amend([(pick, None) for pick in picks])
            case "replace", list(picks):
                await world.amend(picks)
            case "resend", int(pick):
                await world.resend(pick)
            case ("fold",):
                folders[0]._batches = 1
                await folders[0].fold()
            case ("fold all",):
                while any(await asyncio.gather(*(folder.fold() for folder in folders))):
                    pass
            case ("release",):
                await releaser.release()
        await world.require_usage(asked)
        await world.require_late(instants, world.watermarks[-6::4])
        assert [tuple(row) for row in await pool.fetch(WRONG_BUCKETS, tenant_id)] == []
    while await folders[1].fold() or await releaser.release():
        pass
    assert [tuple(row) for row in await pool.fetch(WRONG_BUCKETS, tenant_id)] == []
    assert await pool.fetchval("SELECT count(*) FROM corrected_series WHERE NOT is_rebuilt") == 0
    await world.require_usage(asked)
    for watermark in sorted(set(world.watermarks)):
        await world.require_late(instants, [each for each in world.watermarks[::4] if each <= watermark], watermark)
        await world.require_usage(asked, watermark)
        for who in "ab":
            await world.require_listing(who, watermark)
