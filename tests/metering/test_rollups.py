"""Usage read from buckets is what the events come to: whatever is folded, when, by whom, and whoever is killed."""

import asyncio
import itertools
import random
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.money import plain
from libs.common.postgres import Pool
from libs.embedded.valkey import Valkey
from services.metering.worker import Folder
from tests.conftest import Database
from tests.metering.conftest import Client, Connect
from tests.metering.naive import Figure, Log, Sent
from tests.metering.processes import in_batches, worker_process
from tests.metering.requests import END, START, count_meter, event, ingest, make_meters, sum_meter, usage_of, used
from weir.metering.v1.metering_pb2 import BatchGetUsageRequest, Event, GetUsageRequest, GetUsageResponse, Meter

DIFFERENCES = """
    WITH folded AS (
        SELECT event.*, depth, rollup_no, value_property, filters, kept, CASE
            WHEN dimensions <> '[]' AND NOT EXISTS (
                SELECT FROM undivided WHERE (series_no, rollup_no) = (event.series_no, rollups.rollup_no)
            ) THEN (
                SELECT coalesce(jsonb_object_agg(name, properties ->> name), '{}')
                FROM jsonb_array_elements_text(dimensions) AS name WHERE properties ? name
            ) END AS cell
        FROM event JOIN series USING (series_no) JOIN (
            SELECT tenant_id, event_code, rollup_no, value_property, filters, built_series_no, dimensions, kept
            FROM rollup
            UNION ALL SELECT DISTINCT tenant_id, event_code, 0, '', '[]'::jsonb, 2147483647, '[]'::jsonb, 'sums'
            FROM series
        ) AS rollups USING (tenant_id, event_code)
        WHERE sequence <= (SELECT folded FROM rollup_progress) AND series_no <= built_series_no
            AND event.tenant_no = ANY(ARRAY(SELECT tenant_no FROM tenant WHERE $1 IN ('', tenant_id)))
    ), counted AS MATERIALIZED (
        SELECT folded.*, value FROM folded CROSS JOIN LATERAL (
            SELECT CASE WHEN value_property = '' THEN 1
                WHEN properties ->> value_property ~ '^-?[0-9]{1,26}(\\.[0-9]{1,12})?$'
                THEN (properties ->> value_property)::numeric END AS value
        ) AS seen
        WHERE value IS NOT NULL AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(filters) AS filter
            WHERE NOT coalesce(filter -> 'values' ? (properties ->> (filter ->> 'property')), false)
        )
    ), added_up AS (
        SELECT tenant_no, series_no, rollup_no, width,
            date_trunc((ARRAY['month', 'day', 'hour', 'minute'])[width + 1], event_time, 'UTC') AS start_time, cell,
            count(*) AS event_count, trim_scale(sum(value)) AS total,
            trim_scale(min(value)) AS smallest, trim_scale(max(value)) AS largest,
            CASE WHEN rollup_no = 0 THEN max(sequence) END AS last_sequence,
            trim_scale(sum(value * extract(epoch FROM event_time)) FILTER (WHERE kept = 'moments')) AS moment,
            (max(ARRAY[to_char(event_time, 'YYYYMMDDHH24MISSUS'), transaction_id] COLLATE "C")
                FILTER (WHERE kept = 'latest'))[2] AS latest
        FROM counted CROSS JOIN generate_series(0, depth) AS width
        GROUP BY 1, 2, 3, 4, 5, 6
    ), kept AS (
        SELECT bucket.tenant_no, series_no, rollup_no, width::int, start_time, properties, event_count,
            trim_scale(total), trim_scale(smallest), trim_scale(largest), last_sequence, trim_scale(moment), latest[2]
        FROM bucket LEFT JOIN cell USING (cell_no)
        WHERE bucket.tenant_no = ANY(ARRAY(SELECT tenant_no FROM tenant WHERE $1 IN ('', tenant_id)))
    )
    (TABLE kept EXCEPT TABLE added_up) UNION ALL (TABLE added_up EXCEPT TABLE kept)
"""


IS_FOLDED = """
    SELECT folded = coalesce((SELECT max(sequence) FROM event_batch), 1)
        AND NOT EXISTS (SELECT FROM rollup WHERE built_series_no < 2147483647)
    FROM rollup_progress
"""
IS_HELD_UP = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'bucket'::regclass"


async def fold_all(*folders: Folder) -> None:
    """Until none of them finds anything left."""
    while any(await asyncio.gather(*(folder.fold() for folder in folders))):
        pass


async def require_exact_buckets(pool: Pool, tenant_id: str = "", *, folded: bool = True) -> None:
    """That buckets, of one tenant or all, are what the folded events come to; and that all are folded and built."""
    assert [tuple(row) for row in await pool.fetch(DIFFERENCES, tenant_id)] == []
    if folded:
        assert await pool.fetchval(IS_FOLDED)


METERS = {
    "calls": count_meter("calls", event_code="llm"),
    "small_calls": Meter(
        code="small_calls",
        event_code="llm",
        aggregation=Meter.AGGREGATION_COUNT,
        filters=sum_meter(model=["small"]).filters,
    ),
    "tokens": sum_meter(),
    "small": sum_meter("small", model=["small"]),
    "most": Meter(code="most", event_code="llm", value_property="tokens", aggregation=Meter.AGGREGATION_MAX),
    "least": Meter(
        code="least",
        event_code="llm",
        value_property="tokens",
        aggregation=Meter.AGGREGATION_MIN,
        filters=sum_meter(model=["small", "large"]).filters,
    ),
    "ever": Meter(
        code="ever",
        event_code="llm",
        aggregation=Meter.AGGREGATION_SUM,
        value_property="tokens",
        recurring=True,
    ),
    "by_model": Meter(
        code="by_model",
        event_code="llm",
        aggregation=Meter.AGGREGATION_SUM,
        value_property="tokens",
        dimensions=["model", "of"],
    ),
    "calls_by_model": Meter(
        code="calls_by_model", event_code="llm", aggregation=Meter.AGGREGATION_COUNT, dimensions=["model"]
    ),
    "last": Meter(
        code="last",
        event_code="llm",
        aggregation=Meter.AGGREGATION_LATEST,
        value_property="tokens",
        dimensions=["model"],
    ),
    "level": Meter(
        code="level",
        event_code="llm",
        aggregation=Meter.AGGREGATION_WEIGHTED_SUM,
        value_property="tokens",
        dimensions=["model"],
        recurring=True,
    ),
    "spells": Meter(
        code="spells", event_code="llm", aggregation=Meter.AGGREGATION_WEIGHTED_SUM, value_property="tokens"
    ),
}
BOUNDARIES = st.tuples(
    st.integers(-33, 33), st.integers(0, 25), st.sampled_from([0, 1, 59, 60]), st.sampled_from([-1, 0, 1])
)
INSTANTS = st.one_of(
    st.integers(-40 * 24 * 3600, 40 * 24 * 3600).map(lambda seconds: START + timedelta(seconds=seconds)),
    BOUNDARIES.map(lambda t: START + timedelta(days=t[0], hours=t[1], minutes=t[2], microseconds=t[3])),
).map(lambda instant: min(instant, datetime(2023, 11, 20, tzinfo=UTC)))
VALUES = st.decimals(min_value=-1000, max_value=10**6, places=4)
LONE = st.tuples(st.sampled_from("ab"), INSTANTS, VALUES, st.sampled_from(["small", "large", "", None]))
BURST = st.tuples(
    st.sampled_from("ab"), INSTANTS, st.sampled_from([120, 700, 1_300]), st.sampled_from([1, 50, 3_000, 90_000])
)
STEPS = st.lists(
    st.one_of(
        st.lists(LONE, min_size=1, max_size=12).map(lambda lone: ("send", lone)),
        BURST.map(lambda burst: ("burst", burst)),
        st.just(("fold", 1)),
        st.just(("fold", 2)),
        st.just(("fold", 0)),
        st.sampled_from(sorted(METERS.keys() - {"calls"})).map(lambda code: ("make", code)),
    ),
    min_size=4,
    max_size=16,
)
DIVIDED = frozenset({"by_model", "calls_by_model", "last", "level"})
LATE = st.sets(st.sampled_from(sorted(METERS)), max_size=4)
_examples = itertools.count()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(late=LATE, steps=STEPS, periods=st.lists(st.tuples(INSTANTS, INSTANTS), min_size=1, max_size=6))
async def test_usage_is_exact_whatever_is_folded_when(
    connect: Connect,
    pool: Pool,
    late: set[str],
    steps: list[tuple[str, object]],
    periods: list[tuple[datetime, datetime]],
) -> None:
    """Each example is a tenant of its own; `late` meters are made after events were sent or folded, if at all."""
    tenant_id = f"tenant-{next(_examples)}"
    metering = connect(tenant_id)
    folders = [Folder(pool), Folder(pool)]
    folders[0]._batches = 1
    log = Log()
    made = METERS.keys() - late | {"calls"}
    await make_meters(metering, *(METERS[code] for code in made))
    asked = [(start, end) for start, end in ((min(pair), max(pair)) for pair in periods) if start < end]
    asked += [(START, END), (START - timedelta(days=45), END), (START + timedelta(hours=5.5), END)]
    for kind, what in steps:
        match kind, what:
            case "send", list():
                await send(metering, log, what)
            case "burst", (str(who), datetime() as at, int(size), int(spacing)):
                many = [(who, at + timedelta(milliseconds=n * spacing), Decimal(n), "small") for n in range(size)]
                await send(metering, log, [each for each in many if each[1] <= datetime(2023, 11, 20, tzinfo=UTC)])
            case "fold", 0:
                await fold_all(*folders)
            case "fold", int(workers):
                await asyncio.gather(*(folder.fold() for folder in folders[:workers]))
            case "make", str(code) if code not in made:
                made.add(code)
                await make_meters(metering, METERS[code])
        await require_usage(metering, log, made, asked)
    await fold_all(*folders)
    await require_exact_buckets(pool, tenant_id)
    await require_usage(metering, log, made, asked)
    for request, answer in log.answers:
        assert usages(await metering.GetUsage(request)) == answer


async def send(metering: Client, log: Log, events: Iterable[Sent]) -> None:
    fresh = list(events)
    await ingest(
        metering,
        [
            event(
                f"t-{log.count + n:06d}",
                who,
                at=at,
                tokens=plain(value),
                **({"model": model} if model is not None else {}),
            )
            for n, (who, at, value, model) in enumerate(fresh)
        ]
        or [event("none", "nobody", tokens="0")],
    )
    log.add(fresh)


async def require_usage(
    metering: Client, log: Log, made: Collection[str], asked: Sequence[tuple[datetime, datetime]]
) -> None:
    """Every answer is right, and is kept to be asked for again at its watermark."""
    queries = [
        usage_of(*sorted(made), subscription_id=who, start=start, end=end) for who in "ab" for start, end in asked
    ]
    if DIVIDED.intersection(made):
        ragged, whole = (
            usage_of(*sorted(DIVIDED.intersection(made)), subscription_id="a", start=start, end=end)
            for start, end in (asked[0], (START, END))
        )
        queries += [split(ragged, parts=True, groups=True), split(whole, parts=True), split(whole, groups=True)]
        queries.append(split(ragged, parts=True, groups=True, filters=True))
    answers = (await metering.BatchGetUsage(BatchGetUsageRequest(queries=queries))).answers
    for query, answer in zip(queries, answers, strict=True):
        expected = [figure for code in query.meter_codes for figure in log.figures(code, query)]
        assert sorted(usages(answer)) == sorted(expected), (query, log.count)
        query.watermark = answer.watermark
    log.answers.append((queries[-1], usages(answers[-1])))


def split(
    query: GetUsageRequest, *, parts: bool = False, groups: bool = False, filters: bool = False
) -> GetUsageRequest:
    """By model."""
    result = GetUsageRequest()
    result.CopyFrom(query)
    if parts:
        result.parts.add(code="small").filters.add(property="model", values=["small"])
    if groups:
        result.group_by.append("model")
    if filters:
        result.filters.add(property="model", values=["small", ""])
    return result


def usages(answer: GetUsageResponse) -> list[Figure]:
    return [
        (usage.meter_code, usage.part, tuple(usage.group.items()), usage.quantity, usage.event_count)
        for usage in answer.usages
    ]


EVENTS = [event(f"t-{n}", f"sub-{n % 5}", at=START + timedelta(seconds=n * 7), tokens="2") for n in range(12_000)]


async def require_all_counted(metering: Client) -> None:
    for number in range(5):
        assert await used(metering, "tokens", "requests", subscription_id=f"sub-{number}") == {
            "tokens": "4800",
            "requests": "2400",
        }


async def test_folders_that_race_fold_each_event_once(metering: Client, pool: Pool) -> None:
    await make_meters(metering)
    folders = [Folder(pool) for _ in range(4)]

    async def write(batches: Iterable[Sequence[Event]]) -> None:
        for events in batches:
            await ingest(metering, events)

    async def keep_folding(folder: Folder) -> None:
        while not writing.done():
            await folder.fold()
            await asyncio.sleep(0)

    writing = asyncio.gather(*(write(in_batches(EVENTS[n::3], 50)) for n in range(3)))
    await asyncio.gather(writing, *(keep_folding(folder) for folder in folders))
    await require_all_counted(metering)
    await fold_all(*folders)
    await require_exact_buckets(pool)
    await require_all_counted(metering)


async def test_a_worker_killed_while_it_folds_loses_and_doubles_nothing(
    metering: Client, pool: Pool, database: Database, valkey: Valkey
) -> None:
    """A lock on the buckets holds up the worker in the middle of its transaction."""
    await make_meters(metering)
    dsn = database.dsns["metering"]
    for sent in (4_000, 8_000, 12_000):
        blocker = await asyncpg.connect(dsn)
        holding = blocker.transaction()
        await holding.start()
        await blocker.execute("LOCK TABLE bucket IN SHARE MODE")
        async with worker_process(dsn, valkey.url) as worker:
            await ingest(metering, EVENTS[sent - 4_000 : sent])
            await until(pool, IS_HELD_UP)
            assert await used(metering, "requests") == {"requests": str(sent // 5)}
            worker.kill()
            await worker.wait()
        await holding.rollback()
        await blocker.close()
        await require_exact_buckets(pool, folded=False)
        assert await used(metering, "requests") == {"requests": str(sent // 5)}
    async with worker_process(dsn, valkey.url):
        await require_all_counted(metering)
        await until(pool, IS_FOLDED)
    await require_exact_buckets(pool)
    await require_all_counted(metering)


async def until(pool: Pool, condition: str) -> None:
    """Return once the statement answers true."""
    async with asyncio.timeout(20):
        while not await pool.fetchval(condition):  # noqa: ASYNC110 what another process does to the database
            await asyncio.sleep(0.02)


async def test_a_month_with_too_many_cells_is_not_divided_any_more(metering: Client, pool: Pool) -> None:
    """The other subscription's still is."""
    await make_meters(metering, METERS["by_model"], METERS["calls"])
    folder = Folder(pool)
    for first in range(0, 1_100, 550):
        await ingest(
            metering,
            [event(f"m-{n}", "many", tokens="1", model=f"model {n}") for n in range(first, first + 550)]
            + [event(f"f-{n}", "few", tokens="2", model=f"model {n % 3}") for n in range(first, first + 550)],
        )
        await fold_all(folder)
        await require_exact_buckets(pool)
    assert await pool.fetchval("SELECT count(*) FROM undivided") == 1
    for subscription_id, groups, total in (("many", 1_100, "1100"), ("few", 3, "2200")):
        assert await used(metering, "by_model", subscription_id=subscription_id) == {"by_model": total}
        divided = await metering.GetUsage(split(usage_of("by_model", subscription_id=subscription_id), groups=True))
        assert len(divided.usages) == groups
        assert sum(Decimal(usage.quantity) for usage in divided.usages) == Decimal(total)


async def test_a_batch_answers_questions_of_all_kinds_as_each_alone(metering: Client, pool: Pool) -> None:
    """Folded and not, divided and not, of several periods, by meters that share a rollup and by some that have none."""
    aggregations = {
        "longest": Meter.AGGREGATION_MAX, "last": Meter.AGGREGATION_LATEST, "level": Meter.AGGREGATION_WEIGHTED_SUM
    }  # fmt: skip
    meters = [
        Meter(code=code, event_code="llm", aggregation=each, value_property="tokens", recurring=code == "level")
        for code, each in aggregations.items()
    ]
    divided = sum_meter()
    divided.dimensions.append("model")
    await make_meters(metering, count_meter(event_code="llm"), divided, *meters)
    hour = timedelta(hours=1)
    events = [
        event(f"t-{n}", f"sub-{n % 3}", at=START + n * hour, tokens=str(n * 7 % 11), model="ab"[n % 2])
        for n in range(150)
    ]
    await ingest(metering, events[:120])
    await fold_all(Folder(pool))
    await ingest(metering, events[120:])
    queries = []
    for n, start in itertools.product(range(4), (START, START + 30 * hour)):
        for codes in (["requests"], ["longest", "tokens", "last"], ["level", "requests"], ["tokens", "longest"]):
            queries.append(usage_of(*codes, subscription_id=f"sub-{n}", start=start, end=START + 140 * hour))
        queries.append(usage_of("tokens", subscription_id=f"sub-{n}", start=start))
        queries[-1].group_by.append("model")
        queries.append(usage_of("tokens", subscription_id=f"sub-{n}", start=start))
        queries[-1].parts.add(code="a").filters.add(property="model", values=["a"])
    random.Random(1).shuffle(queries)
    answer = await metering.BatchGetUsage(BatchGetUsageRequest(queries=queries))
    assert list(answer.answers) == [await metering.GetUsage(query) for query in queries]
    assert len({each.SerializeToString(deterministic=True) for each in answer.answers}) > len(queries) // 3
