"""Usage across versions is what a naive recomputation says, whatever is folded, and stays it at its watermark."""

import itertools
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.money import plain
from libs.common.postgres import Pool, create_pool
from libs.common.wire import timestamp_out
from services.metering.domain.percentile import percentile
from services.metering.domain.rounding import ceil_to, nearest
from services.metering.worker import Folder
from tests.conftest import Database
from tests.metering.conftest import Hands, Open
from tests.metering.requests import END, NOW, START, count_meter, event, ingest, make_meters, usage_of
from weir.metering.v1.metering_pb2 import (
    BatchGetUsageRequest,
    DimensionFilter,
    Event,
    GetUsageRequest,
    GetUsageResponse,
    Meter,
    MeterDefinition,
)
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub
from weir.metering.v1.meters_pb2 import CreateMeterVersionRequest
from weir.metering.v1.meters_pb2_grpc import MeterServiceStub

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
EXPRESSIONS = {
    "": None,
    "event.properties.a + event.properties.b": lambda a, b: a + b,
    "event.properties.a * 3": lambda a, b: a * 3,
}
COUNT, SUM, UNIQUE, WEIGHTED = (
    Meter.AGGREGATION_COUNT, Meter.AGGREGATION_SUM, Meter.AGGREGATION_UNIQUE_COUNT, Meter.AGGREGATION_WEIGHTED_SUM,
)  # fmt: skip
AGGREGATIONS = {
    name.removeprefix("AGGREGATION_").lower(): number for name, number in Meter.Aggregation.items() if number
}
METERS = {
    **{name: Meter(code=name, aggregation=number) for name, number in AGGREGATIONS.items()},
    "sum_ever": Meter(code="sum_ever", aggregation=SUM, recurring=True),
    "unique_ever": Meter(code="unique_ever", aggregation=UNIQUE, recurring=True),
    "weighted_ever": Meter(code="weighted_ever", aggregation=WEIGHTED, recurring=True),
}
METERS["percentile"].percentile = "50"


@dataclass(frozen=True, slots=True)
class Definition:
    event_code: str
    property: str
    model: str
    expression: str

    def sent(self, code: str) -> MeterDefinition:
        """A property that is computed is the meter's own."""
        filters = [DimensionFilter(property="model", values=[self.model])] if self.model else []
        if METERS[code].aggregation == COUNT:
            return MeterDefinition(event_code=self.event_code, filters=filters, dimensions=["model"])
        name = f"computed-{code}" if self.expression else self.property
        return MeterDefinition(
            event_code=self.event_code,
            value_property=name,
            filters=filters,
            expression=self.expression,
            dimensions=["model"],
        )


@dataclass(frozen=True, slots=True)
class Sent:
    transaction_id: str
    code: str
    at: datetime
    a: Decimal
    b: Decimal
    model: str

    def event(self) -> Event:
        return event(
            self.transaction_id, code=self.code, at=self.at, a=plain(self.a), b=plain(self.b), model=self.model
        )

    def value(self, by: Definition) -> Decimal | None:
        if self.code != by.event_code or (by.model and self.model != by.model):
            return None
        computed = EXPRESSIONS[by.expression]
        return computed(self.a, self.b) if computed else {"a": self.a, "b": self.b}[by.property]


@dataclass(slots=True)
class Log:
    sent: list[Sent] = field(default_factory=list)
    versions: dict[str, list[tuple[datetime, Definition]]] = field(default_factory=dict)
    answers: list[tuple[Sequence[GetUsageRequest], Sequence[GetUsageResponse]]] = field(default_factory=list)

    def counted(self, code: str) -> Iterable[tuple[Sent, Decimal]]:
        """The events that count, by time and transaction_id, and their values."""
        for each in sorted(self.sent, key=lambda sent: (sent.at, sent.transaction_id)):
            by = [definition for since, definition in self.versions[code] if since <= each.at][-1]
            value = each.value(by)
            if value is not None:
                yield each, value


def usage(
    code: str, counted: Iterable[tuple[Sent, Decimal]], start: datetime, end: datetime, model: str | None
) -> tuple[str, int]:
    """Of what `Log.counted` says."""
    meter = METERS[code]
    past = [(each.at, value) for each, value in counted if each.at < end and model in (None, each.model)]
    within = [(at, value) for at, value in past if at >= start]
    mine = [(max(at, start), value) for at, value in past] if meter.recurring else within
    count = len(within if code == "weighted_ever" else mine)
    return plain(_quantity(code, mine, [value for _, value in mine], start, end)), count


def _quantity(
    code: str, held: Sequence[tuple[datetime, Decimal]], values: Sequence[Decimal], start: datetime, end: datetime
) -> Decimal:
    match code.removesuffix("_ever"):
        case "count":
            return Decimal(len(values))
        case "sum":
            return sum(values, Decimal(0))
        case "max":
            return max(values, default=Decimal(0))
        case "min":
            return min(values, default=Decimal(0))
        case "average":
            return nearest(Fraction(sum(values)) / (len(values) or 1), 12)
        case "latest":
            return values[-1] if values else Decimal(0)
        case "unique_count" | "unique":
            return Decimal(len({plain(value) for value in values}))
        case "percentile":
            return percentile([(value, 1) for value in values], Decimal(50)) if values else Decimal(0)
        case _:
            area = sum((Fraction(value) * ((end - at) // timedelta(microseconds=1)) for at, value in held), Fraction(0))
            return ceil_to(area / ((end - start) // timedelta(microseconds=1)), 20)


DEFINITIONS = st.builds(
    Definition,
    st.sampled_from(["llm", "llm", "chat"]),
    st.sampled_from("ab"),
    st.sampled_from(["", "", "small"]),
    st.sampled_from(sorted(EXPRESSIONS)),
)
OFFSETS = st.one_of(
    st.sampled_from([timedelta(0), -timedelta(microseconds=1), timedelta(microseconds=1)]),
    st.integers(-600, 600).map(lambda minutes: minutes * MINUTE),
)
AMOUNTS = st.decimals(min_value=0, max_value=1000, places=2)
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 9),
        OFFSETS,
        st.sampled_from(["llm", "chat"]),
        AMOUNTS,
        AMOUNTS,
        st.sampled_from(["small", "large"]),
    ),
    min_size=1,
    max_size=10,
)
STEPS = st.lists(
    st.one_of(
        EVENTS.map(lambda events: ("send", events)),
        st.tuples(st.just("version"), st.tuples(st.sampled_from(sorted(METERS)), DEFINITIONS, st.integers(10, 600))),
        st.tuples(st.just("all"), st.tuples(DEFINITIONS, st.integers(10, 600))),
        st.integers(10, 2_000).map(lambda minutes: ("wait", minutes)),
        st.just(("burst", 250)),
        st.just(("fold", None)),
    ),
    min_size=4,
    max_size=14,
)
FIRST = st.fixed_dictionaries(dict.fromkeys(METERS, DEFINITIONS))
_examples = itertools.count()


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with await create_pool(database.dsns["metering"]) as opened:
        yield opened


class Tenant:
    """A tenant of its own for each example, and what is known of it."""

    def __init__(self, open_channel: Open, clock: Hands, first: dict[str, Definition]) -> None:
        opened = open_channel(f"tenant-{next(_examples)}")
        self.metering, self.meters = MeteringServiceStub(opened), MeterServiceStub(opened)
        self.clock, self.first, self.log = clock, first, Log()
        self.instants = [START, START + 10 * 24 * HOUR]

    async def begin(self) -> None:
        for code, by in self.first.items():
            sent = by.sent(code)
            meter = Meter(
                event_code=sent.event_code,
                value_property=sent.value_property,
                filters=sent.filters,
                expression=sent.expression,
                dimensions=sent.dimensions,
            )
            meter.MergeFrom(METERS[code])
            await make_meters(self.metering, meter)
            self.log.versions[code] = [(datetime.min.replace(tzinfo=UTC), by)]
        await make_meters(self.metering, count_meter("every-llm", "llm"), count_meter("every-chat", "chat"))

    async def make_version(self, code: str, by: Definition, minutes: int) -> None:
        at = (
            max(self.clock.now + minutes * MINUTE, self.log.versions[code][-1][0] + MINUTE * 7)
            if len(self.log.versions[code]) > 1
            else self.clock.now + minutes * MINUTE
        )
        request = CreateMeterVersionRequest(
            request_id=str(uuid.uuid4()), code=code, definition=by.sent(code), effective_time=timestamp_out(at)
        )
        await self.meters.CreateMeterVersion(request)
        self.log.versions[code].append((at, by))
        self.instants.append(at)

    async def send(self, events: Iterable[tuple[int, timedelta, str, Decimal, Decimal, str]]) -> None:
        """Each near one of the instants that matter, and not later than now."""
        fresh = [
            Sent(
                f"t-{len(self.log.sent) + number}",
                code,
                min(self.instants[near % len(self.instants)] + offset, self.clock.now + 5 * MINUTE),
                a, b, model,
            )
            for number, (near, offset, code, a, b, model) in enumerate(events)
        ]  # fmt: skip
        answer = await ingest(self.metering, [each.event() for each in fresh])
        assert answer.accepted_count == len(fresh), answer
        self.log.sent += fresh

    async def require_usage(self) -> None:
        """Of every meter, in periods that end and begin where versions do, and elsewhere; whole and by model."""
        codes = sorted(METERS)
        ends = sorted({*self.instants[-4:], START, START + 15 * 24 * HOUR, END, self.clock.now})
        periods = [(start, end) for start, end in itertools.combinations(ends, 2)][-8:]
        queries = [usage_of(*codes, start=start, end=end) for start, end in periods]
        grouped = usage_of(*codes, start=START, end=END)
        grouped.group_by.append("model")
        answers = (await self.metering.BatchGetUsage(BatchGetUsageRequest(queries=[*queries, grouped]))).answers
        counted = {code: [*self.log.counted(code)] for code in codes}
        for (start, end), answer in zip(periods, answers, strict=False):
            assert [(each.meter_code, each.quantity, each.event_count) for each in answer.usages] == [
                (code, *usage(code, counted[code], start, end, None)) for code in codes
            ], (start, end)
        found = {
            (each.meter_code, each.group["model"]): (each.quantity, each.event_count) for each in answers[-1].usages
        }
        for code, model in itertools.product(codes, ["small", "large"]):
            expected = usage(code, counted[code], START, END, model)
            assert found.get((code, model), ("0", 0)) == expected
        self.log.answers.append(([*queries, grouped], answers))

    async def require_that_answers_stay(self) -> None:
        for queries, answers in self.log.answers:
            request = BatchGetUsageRequest(queries=queries, watermark=answers[0].watermark)
            assert (await self.metering.BatchGetUsage(request)).answers == answers


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=FIRST, steps=STEPS)
async def test_usage_across_versions_is_exact(
    open_channel: Open, clock: Hands, pool: Pool, first: dict[str, Definition], steps: list[tuple[str, object]]
) -> None:
    clock.now = NOW
    folder = Folder(pool)
    tenant = Tenant(open_channel, clock, first)
    await tenant.begin()
    for kind, what in steps:
        match kind, what:
            case "send", list():
                await tenant.send(what)
            case "burst", int(size):
                await tenant.send(
                    (n, n * timedelta(seconds=97), "llm", Decimal(n), Decimal(1), "small") for n in range(size)
                )
            case "version", (str(code), Definition() as by, int(minutes)):
                await tenant.make_version(code, by, minutes)
            case "all", (Definition() as by, int(minutes)):
                for code in METERS:
                    await tenant.make_version(code, by, minutes)
            case "wait", int(minutes):
                clock.now = min(clock.now + minutes * MINUTE, END)
            case "fold", _:
                while await folder.fold():
                    pass
        await tenant.require_usage()
    await tenant.require_that_answers_stay()
