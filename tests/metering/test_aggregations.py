"""Every aggregation through the service, against a recomputation from the raw list that knows no tricks."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.money import plain
from libs.common.postgres import Pool
from libs.common.wire import period_out
from services.metering.store import folding
from services.metering.worker import Folder
from tests.metering.conftest import Client
from tests.metering.requests import event, ingest, make_meters
from weir.metering.v1.metering_pb2 import GetUsageRequest, Meter, Rounding

START, END = datetime(2023, 10, 15, 22, tzinfo=UTC), datetime(2023, 11, 10, 23, tzinfo=UTC)
FULL = datetime(2023, 10, 1, tzinfo=UTC) - timedelta(hours=2), datetime(2023, 11, 10, 23, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")
"""Summer time ends within the period."""

KINDS = {
    "count": Meter.AGGREGATION_COUNT,
    "sum": Meter.AGGREGATION_SUM,
    "max": Meter.AGGREGATION_MAX,
    "min": Meter.AGGREGATION_MIN,
    "average": Meter.AGGREGATION_AVERAGE,
    "latest": Meter.AGGREGATION_LATEST,
    "percentile": Meter.AGGREGATION_PERCENTILE,
    "weighted_sum": Meter.AGGREGATION_WEIGHTED_SUM,
    "unique_count": Meter.AGGREGATION_UNIQUE_COUNT,
}
RECURRING = ("sum", "weighted_sum", "unique_count")


@dataclass(frozen=True, slots=True)
class Thing:
    transaction_id: str
    at: datetime
    value: Decimal
    seat: str
    operation: str
    region: str | None


def meter(kind: str, *, recurring: bool = False) -> Meter:
    made = Meter(
        code=f"{kind}_recurring" if recurring else kind,
        event_code="thing",
        aggregation=KINDS[kind],
        value_property={"count": "", "unique_count": "seat"}.get(kind, "value"),
        recurring=recurring,
        dimensions=["region"],
    )
    if kind == "percentile":
        made.percentile = "90"
    return made


METERS = [*(meter(kind) for kind in KINDS), *(meter(kind, recurring=True) for kind in RECURRING)]


def naive(code: str, things: Sequence[Thing]) -> str:
    """The quantity of a meter, as a person would work it out."""
    kind, _, recurring = code.partition("_recurring")[0], "", code.endswith("_recurring")
    known = sorted((each for each in things if each.at < END), key=lambda each: (each.at, each.transaction_id))
    inside = [each for each in known if each.at >= START]
    counted = known if recurring else inside
    values = [Fraction(each.value) for each in counted]
    match kind:
        case "count":
            return str(len(values))
        case "sum":
            return shown(sum(values), 12)
        case "max" | "min":
            return shown({"max": max, "min": min}[kind](values, default=Fraction(0)), 12)
        case "average":
            mean = sum(values) / len(values) if values else Fraction(0)
            half = Fraction(1, 2 * 10**12)
            return shown(Fraction(int((abs(mean) + half) * 10**12), 10**12) * (1 if mean >= 0 else -1), 12)
        case "latest":
            return shown(max(values[-1] if values else Fraction(0), Fraction(0)), 12)
        case "percentile":
            ordered = sorted(values)
            return shown(ordered[ceil(Fraction(9, 10) * len(ordered)) - 1] if ordered else Fraction(0), 12)
        case "weighted_sum":
            return shown(level_over_time(counted) / seconds(FULL[1] - FULL[0]), 20)
        case _:
            return str(len(active(counted)))


def level_over_time(things: Sequence[Thing]) -> Fraction:
    moments = [START, *(max(each.at, START) for each in things), END]
    levels = itertools.accumulate((Fraction(each.value) for each in things), initial=Fraction(0))
    held = zip(levels, itertools.pairwise(moments), strict=True)
    return sum((level * seconds(until - since) for level, (since, until) in held), start=Fraction(0))


def active(things: Sequence[Thing]) -> set[str]:
    seats: set[str] = set()
    for each in things:
        (seats.add if each.operation == "add" else seats.discard)(each.seat)
    return seats


def days_of_seats(things: Sequence[Thing]) -> int:
    """By asking of each seat and each local day whether the seat was there at some time of it."""
    found = set()
    for day in local_days():
        begin, end = (datetime.combine(each, datetime.min.time(), ZONE) for each in (day, day + timedelta(days=1)))
        before = [each for each in things if each.at < max(begin.astimezone(UTC), START)]
        during = [each for each in things if max(begin.astimezone(UTC), START) <= each.at < min(end, END)]
        seats = active(before)
        found |= {(day, seat) for seat in seats} | {(day, each.seat) for each in during if each.operation == "add"}
    return len(found)


def local_days() -> list[date]:
    first, last = START.astimezone(ZONE).date(), (END - timedelta(microseconds=1)).astimezone(ZONE).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def seconds(duration: timedelta) -> Fraction:
    return Fraction(duration // timedelta(microseconds=1), 10**6)


def shown(value: Fraction | int, digits: int) -> str:
    """Rounded up to `digits`."""
    return plain(Decimal(ceil(Fraction(value) * 10**digits)).scaleb(-digits))


def sent(thing: Thing) -> dict[str, str]:
    dimensions = {"region": thing.region} if thing.region is not None else {}
    return {"value": plain(thing.value), "seat": thing.seat, "operation_type": thing.operation, **dimensions}


def things() -> st.SearchStrategy[list[Thing]]:
    grid = st.integers(0, 45 * 24 * 4).map(lambda quarter: FULL[0] + timedelta(minutes=15 * quarter))
    return st.lists(
        st.builds(
            Thing,
            transaction_id=st.uuids().map(str),
            at=grid,
            value=st.decimals("-1000", "1000", places=3),
            seat=st.sampled_from("abc"),
            operation=st.sampled_from(["add", "remove"]),
            region=st.sampled_from(["eu", "us", None]),
        ),
        max_size=25,
        unique_by=lambda each: each.transaction_id,
    )


async def fold(pool: Pool, subscription_id: str, depth: int) -> None:
    """All there is; the subscription into buckets down to those of width `depth`, however few its events are."""
    folder = Folder(pool)
    while await folder.fold():
        pass
    async with pool.acquire() as conn, conn.transaction():
        found = await conn.fetchrow(
            "SELECT tenant_no, series_no FROM series JOIN tenant USING (tenant_id) WHERE subscription_id = $1",
            subscription_id,
        )
        claimed = await folding.claim(conn)
        assert claimed
        if found:
            for width in range(1, depth + 1):
                await folding.deepen(conn, found["tenant_no"], [found["series_no"]], width, claimed[0])


async def send(metering: Client, subscription_id: str, things: Sequence[Thing]) -> None:
    if things:
        events = [event(each.transaction_id, subscription_id, "thing", each.at, **sent(each)) for each in things]
        assert not (await ingest(metering, events)).failures


_examples = itertools.count()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(things=things(), folded=st.none() | st.integers(0, 25), depth=st.integers(0, 3))
async def test_every_aggregation_is_what_a_naive_recomputation_gives(
    metering: Client, pool: Pool, things: list[Thing], folded: int | None, depth: int
) -> None:
    """Whether none, some or all events are `folded`."""
    example = next(_examples)
    subscription_id = f"sub-{example}"
    if example == 0:
        await make_meters(metering, *METERS)
    first = len(things) if folded is None else folded
    await send(metering, subscription_id, things[:first])
    if folded is not None:
        await fold(pool, subscription_id, depth)
    await send(metering, subscription_id, things[first:])
    query = GetUsageRequest(
        subscription_id=subscription_id,
        meter_codes=[each.code for each in METERS],
        period=period_out(START, END),
        full_period=period_out(*FULL),
        time_zone=ZONE.key,
    )
    usages = (await metering.GetUsage(query)).usages
    assert {usage.meter_code: usage.quantity for usage in usages} == {
        each.code: naive(each.code, things) for each in METERS
    }
    query.group_by.append("region")
    grouped = (await metering.GetUsage(query)).usages
    for usage in grouped:
        mine = [each for each in things if each.region == usage.group.get("region")]
        assert usage.quantity == naive(usage.meter_code, mine)
    assert sum(usage.event_count for usage in grouped) == sum(usage.event_count for usage in usages)
    await prorated_usage_is_naive(metering, query, things)


async def prorated_usage_is_naive(metering: Client, query: GetUsageRequest, things: list[Thing]) -> None:
    query = GetUsageRequest(
        subscription_id=query.subscription_id,
        meter_codes=["sum_recurring", "unique_count_recurring"],
        period=query.period,
        full_period=query.full_period,
        time_zone=query.time_zone,
        prorated=True,
        first_events=1000,
    )
    known = sorted((each for each in things if each.at < END), key=lambda each: (each.at, each.transaction_id))
    full_days = (FULL[1].astimezone(ZONE).date() - FULL[0].astimezone(ZONE).date()).days
    days = local_days()
    held = sum(
        Fraction(each.value) * sum(day >= max(each.at, START).astimezone(ZONE).date() for day in days) for each in known
    )
    summed, seats = (await metering.GetUsage(query)).usages
    query.first_events = 0
    assert [usage.quantity for usage in (await metering.GetUsage(query)).usages] == [summed.quantity, seats.quantity]
    assert summed.quantity == shown(max(held / full_days, Fraction(0)), 5)
    assert summed.full_quantity == naive("sum_recurring", things)
    assert seats.quantity == shown(Fraction(days_of_seats(known), full_days), 5)
    assert seats.full_quantity == naive("unique_count_recurring", things)
    for usage in (summed, seats):
        parts = sum((Decimal(each.prorated_value) for each in usage.events), start=Decimal(0))
        assert abs(Decimal(usage.quantity) - max(parts, Decimal(0))) < Decimal("0.00002")


@pytest.mark.parametrize(
    ("function", "precision", "quantity"),
    [
        (Rounding.FUNCTION_ROUND, 0, "-124"),
        (Rounding.FUNCTION_CEIL, 0, "-123"),
        (Rounding.FUNCTION_FLOOR, 0, "-124"),
        (Rounding.FUNCTION_ROUND, -2, "-100"),
        (Rounding.FUNCTION_FLOOR, -2, "-200"),
        (Rounding.FUNCTION_ROUND, 20, "-123.5"),
    ],
)
async def test_a_quantity_is_rounded_as_its_meter_says(
    metering: Client, function: "Rounding.Function", precision: int, quantity: str
) -> None:
    rounded = meter("sum")
    rounded.rounding.CopyFrom(Rounding(function=function, precision=precision))
    await make_meters(metering, rounded)
    await ingest(metering, [event("a", "sub", "thing", START, value="-123.5")])
    query = GetUsageRequest(subscription_id="sub", meter_codes=["sum"], period=period_out(START, END))
    assert (await metering.GetUsage(query)).usages[0].quantity == quantity
