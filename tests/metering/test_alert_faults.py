"""Alerts under races and kills, and held against a naive recomputation."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.postgres import Pool
from libs.embedded.valkey import Valkey
from services.metering.alerting import Alerter
from services.metering.domain.alerts import AlertWindow, window_at
from tests.conftest import Database
from tests.metering.alerts import alert, create_alert, triggered, triggers
from tests.metering.conftest import Alerts, Client, Connect
from tests.metering.processes import in_batches, worker_process
from tests.metering.requests import NOW, event, ingest, make_meters
from weir.metering.v1.alerts_pb2 import Alert

if TYPE_CHECKING:
    from weir.metering.v1.alerts_pb2_grpc import AlertServiceAsyncStub

IS_HELD_UP = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'outbox'::regclass"
IS_DONE = """
    SELECT sought = (SELECT max(sequence) FROM event_batch) AND NOT EXISTS (SELECT FROM alert_due) FROM alert_progress
"""
STEPS = [str(each) for each in range(100, 2_001, 100)]
EVENTS = [event(f"t-{n}", f"sub-{n % 4}", tokens="1") for n in range(8_000)]


async def until(pool: Pool, condition: str) -> None:
    """Return once the statement answers true."""
    async with asyncio.timeout(30):
        while not await pool.fetchval(condition):  # noqa: ASYNC110 what another process does to the database
            await asyncio.sleep(0.02)


async def make_alerts(metering: Client, alerts: Alerts) -> None:
    await make_meters(metering)
    for number in range(4):
        whose = f"sub-{number}"
        await alerts.CreateAlert(create_alert(alert(f"q-{number}", step="100", subscription_id=whose)))
        falls = alert(f"f-{number}", step="1", subscription_id=whose, direction=Alert.DIRECTION_DECREASING)
        falls.thresholds.add(value="2000")
        await alerts.CreateAlert(create_alert(falls))


async def require_each_step_once(alerts: Alerts, pool: Pool) -> None:
    """And that nobody saw usage fall, which it never did."""
    for number in range(4):
        assert await triggers(alerts, f"f-{number}") == []
        found = await triggers(alerts, f"q-{number}")
        assert [each.threshold.value for each in found] == STEPS
        for each in found:
            assert Decimal(each.previous_quantity) < Decimal(each.threshold.value) <= Decimal(each.quantity)
    assert await pool.fetchval("SELECT count(*) FROM outbox") == 4 * len(STEPS)


async def test_an_event_triggers_while_a_worker_runs(
    metering: Client, alerts: Alerts, pool: Pool, database: Database, valkey: Valkey
) -> None:
    await make_meters(metering)
    await alerts.CreateAlert(create_alert(alert("quota", "5")))
    async with worker_process(database.dsns["metering"], valkey.url):
        await ingest(metering, [event("t", tokens="5")])
        await until(pool, "SELECT EXISTS (SELECT FROM alert_trigger)")
    assert await triggered(alerts) == ["5"]


async def test_workers_that_race_trigger_each_step_once(metering: Client, alerts: Alerts, pool: Pool) -> None:
    await make_alerts(metering, alerts)
    workers = [Alerter(pool, lambda: NOW) for _ in range(4)]

    async def write(part: int) -> None:
        for events in in_batches(EVENTS[part::3], 40):
            await ingest(metering, events)

    async def keep_alerting(worker: Alerter) -> None:
        while not writing.done():
            await worker.alert()
            await asyncio.sleep(0)

    writing = asyncio.gather(*map(write, range(3)))
    await asyncio.gather(writing, *map(keep_alerting, workers))
    while any(await asyncio.gather(*(each.alert() for each in workers))):
        pass
    await require_each_step_once(alerts, pool)


async def test_a_worker_killed_while_it_evaluates_triggers_each_step_once(
    metering: Client, alerts: Alerts, pool: Pool, database: Database, valkey: Valkey
) -> None:
    """A lock on the outbox holds up the worker when it has written its triggers."""
    await make_alerts(metering, alerts)
    dsn = database.dsns["metering"]
    for sent in (2_000, 4_000, 6_000, 8_000):
        blocker = await asyncpg.connect(dsn)
        holding = blocker.transaction()
        await holding.start()
        await blocker.execute("LOCK TABLE outbox IN SHARE MODE")
        before = len(await triggers(alerts))
        async with worker_process(dsn, valkey.url) as worker:
            await ingest(metering, EVENTS[sent - 2_000 : sent])
            await until(pool, IS_HELD_UP)
            worker.kill()
            await worker.wait()
        await holding.rollback()
        await blocker.close()
        assert len(await triggers(alerts)) == before
    async with worker_process(dsn, valkey.url), worker_process(dsn, valkey.url):
        await until(pool, IS_DONE)
    await require_each_step_once(alerts, pool)


async def test_an_alert_is_made_only_when_nobody_looks_for_alerts(metering: Client, alerts: Alerts, pool: Pool) -> None:
    """Or events would be taken for looked through, though nobody knew of the alert."""
    await make_meters(metering)
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT FROM alert_progress FOR UPDATE")
        making = asyncio.ensure_future(alerts.CreateAlert(create_alert(alert("quota", "1"))))
        await until(pool, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        assert not making.done()
    await making


async def test_alerts_made_while_events_arrive_miss_none(metering: Client, alerts: Alerts, pool: Pool) -> None:
    """Of a month that is over, so that nothing but the events themselves leads to them."""
    await make_meters(metering)
    worker = Alerter(pool, lambda: NOW)
    october = datetime(2023, 10, 10, tzinfo=UTC)

    async def write() -> None:
        for n in range(200):
            await ingest(metering, [event(f"o-{n}", at=october, tokens="1")])

    async def keep_alerting() -> None:
        while not writing.done():
            await worker.alert()

    writing = asyncio.ensure_future(write())
    alerting = asyncio.ensure_future(keep_alerting())
    for n in range(30):
        await alerts.CreateAlert(create_alert(alert(f"late-{n}", "200")))
    await asyncio.gather(writing, alerting)
    while await worker.alert():
        pass
    assert len(await triggers(alerts)) == 30


ZONES = ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
KINDS: dict[int, AlertWindow] = {
    Alert.WINDOW_LIFETIME: AlertWindow.LIFETIME,
    Alert.WINDOW_HOUR: AlertWindow.HOUR,
    Alert.WINDOW_DAY: AlertWindow.DAY,
    Alert.WINDOW_WEEK: AlertWindow.WEEK,
    Alert.WINDOW_MONTH: AlertWindow.MONTH,
}
INSTANTS = st.one_of(
    st.integers(0, 40 * 24 * 60).map(lambda minutes: NOW - timedelta(minutes=minutes)),
    st.integers(0, 70).map(lambda minutes: NOW - timedelta(minutes=minutes)),
)
EVENT = st.tuples(st.sampled_from("ab"), INSTANTS, st.integers(-60, 90))
PLAN = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from([Alert.DIRECTION_INCREASING, Alert.DIRECTION_DECREASING]),
    st.lists(st.integers(-120, 200), max_size=4, unique=True),
    st.sampled_from(["", "7", "33.5"]),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(ZONES),
).filter(lambda plan: plan[2] or plan[3])
MOVES = st.lists(
    st.one_of(
        st.lists(EVENT, min_size=1, max_size=8).map(lambda events: ("send", events)),
        st.just(("evaluate", None)),
        PLAN.map(lambda plan: ("make", plan)),
    ),
    min_size=4,
    max_size=24,
)
_examples = itertools.count()


@dataclass(slots=True)
class Naive:
    """One alert, recomputed from all events each time."""

    code: str
    plan: tuple[str, int, list[int], str, int, str]
    made_after: int
    seen: dict[datetime, Decimal] = field(default_factory=dict)
    fired: list[tuple[str, datetime, Decimal, Decimal, Decimal]] = field(default_factory=list)

    def evaluate(self, sent: Sequence[tuple[str, datetime, int]]) -> None:
        who, direction, thresholds, step, kind, zone = self.plan
        now = self._totals(sent, who, kind, zone)
        then = self._totals(sent[: self.made_after], who, kind, zone)
        for (start, end), usage in now.items():
            begin = Decimal(0) if end > NOW else then.get((start, end), Decimal(0))
            before = self.seen.get(start, begin)
            self.seen[start] = usage
            sign = 1 if direction == Alert.DIRECTION_INCREASING else -1
            last = max((each * sign for each in thresholds), default=0)
            steps = [last + Decimal(step) * n for n in range(1, 2000)] if step else []
            once = [Decimal(each * sign) for each in thresholds]
            for each in [*sorted(once), *steps]:
                known = any(f[1] == start and f[2] == each * sign for f in self.fired)
                if before * sign < each <= usage * sign and not (each in once and known):
                    self.fired.append((self.code, start, each * sign, before, usage))

    def _totals(
        self, sent: Sequence[tuple[str, datetime, int]], who: str, kind: int, zone: str
    ) -> dict[tuple[datetime, datetime], Decimal]:
        totals: dict[tuple[datetime, datetime], Decimal] = {}
        for name, at, value in sent:
            if name == who:
                window = window_at(at, KINDS[kind], ZoneInfo(zone))
                totals[window] = totals.get(window, Decimal(0)) + value
        return totals


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(moves=MOVES)
async def test_triggers_are_those_of_a_naive_recomputation(
    connect: Connect,
    connect_alerts: "Callable[..., AlertServiceAsyncStub]",
    pool: Pool,
    moves: list[tuple[str, object]],
) -> None:
    """Each example is a tenant of its own."""
    tenant = f"tenant-{next(_examples)}"
    metering, alerts = connect(tenant), connect_alerts(tenant)
    workers = [Alerter(pool, lambda: NOW), Alerter(pool, lambda: NOW)]
    await make_meters(metering)
    sent: list[tuple[str, datetime, int]] = []
    naive: list[Naive] = []
    for kind, what in [*moves, ("evaluate", None)]:
        match kind, what:
            case "send", list():
                events = [event(f"t-{len(sent) + n}", who, at=at, tokens=str(v)) for n, (who, at, v) in enumerate(what)]
                await ingest(metering, events)
                sent += what
            case "make", tuple():
                who, direction, thresholds, step, window, zone = what
                made = alert(
                    f"alert-{len(naive)}", *map(str, thresholds), step=step, subscription_id=who,
                    direction=direction, window=window, time_zone=zone,
                )  # fmt: skip
                await alerts.CreateAlert(create_alert(made))
                naive.append(Naive(made.code, what, len(sent)))
            case _:
                while any(await asyncio.gather(*(each.alert() for each in workers))):
                    pass
                for each in naive:
                    each.evaluate(sent)
    found = [
        (
            each.alert_code,
            each.period.start_time.ToDatetime(UTC),
            Decimal(each.threshold.value),
            Decimal(each.previous_quantity),
            Decimal(each.quantity),
        )
        for each in await triggers(alerts)
    ]
    assert sorted(found) == sorted(fired for each in naive for fired in each.fired)


@given(seconds=st.integers(0, 199 * 365 * 24 * 3600), zone=st.timezone_keys())
def test_windows_contain_their_instant_and_begin_at_quarters_of_hours(seconds: int, zone: str) -> None:
    at = datetime(2000, 1, 2, tzinfo=UTC) + timedelta(seconds=seconds)
    for kind in AlertWindow:
        start, end = window_at(at, kind, ZoneInfo(zone))
        assert start <= at < end
        assert start.timestamp() % 900 == 0
        assert window_at(start, kind, ZoneInfo(zone)) == (start, end)
        assert window_at(end - timedelta(microseconds=1), kind, ZoneInfo(zone)) == (start, end)
