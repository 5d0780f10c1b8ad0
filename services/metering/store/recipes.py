"""Rollups: what is added up in buckets, for which series; and recipes, the lanes in which that is done."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from libs.common.postgres import Conn
from services.metering.domain.lanes import EVENTS, Kept, Lane, Measure, lanes, measure_of
from services.metering.domain.meters import DimensionFilter, Meter
from services.metering.store.adding_up import Shape, filters_out, lanes_out, shape

BUILT = 2**31 - 1

_ROLLUPS = """
    SELECT tenant_id, event_code, rollup_no, built_series_no, value_property, filters, dimensions, kept
    FROM rollup
"""


@dataclass(frozen=True, slots=True)
class Rollup:
    """Has the buckets of series up to `built_series_no`."""

    number: int
    measure: Measure
    built_series_no: int


@dataclass(frozen=True, slots=True)
class Recipes:
    """By series' tenant_id and event_code; as JSON for a statement, and what it needs room for."""

    numbers: Mapping[tuple[str, str], int]
    lanes: str
    slots: str
    shape: Shape


async def register(conn: Conn, tenant_id: str, meter: Meter) -> None:
    """Have the meter's events added up, by the rollup of an equal meter if there is one."""
    measure = measure_of(meter)
    if measure and measure != EVENTS:
        await conn.execute(
            """
            INSERT INTO rollup (tenant_id, event_code, value_property, filters, dimensions, kept)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT DO NOTHING
            """,
            tenant_id, meter.event_code, measure.value_property, json.dumps(filters_out(measure.filters)),
            json.dumps(measure.dimensions), measure.kept,
        )  # fmt: skip


async def read_rollups(conn: Conn, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[Rollup]]:
    """Of each (tenant_id, event_code); the first one is number 0, which counts all events of every series."""
    found = {name: [Rollup(0, EVENTS, BUILT)] for name in names}
    rows = await conn.fetch(
        f"{_ROLLUPS} WHERE (tenant_id, event_code) IN (SELECT * FROM unnest($1::text[], $2::text[]))",  # noqa: S608
        [name[0] for name in found],
        [name[1] for name in found],
    )
    for row in rows:
        found[row["tenant_id"], row["event_code"]].append(_rollup(row))
    return found


async def read_recipes(conn: Conn, series: Collection[asyncpg.Record]) -> Recipes:
    """For all rollups of the series, of which there is at least one."""
    return _recipes(await read_rollups(conn, {(each["tenant_id"], each["event_code"]) for each in series}))


async def read_recipe(conn: Conn, rollup_no: int) -> Recipes:
    """For one rollup, as if it had all series."""
    row = await conn.fetchrow(_ROLLUPS + " WHERE rollup_no = $1", rollup_no)
    assert row is not None
    rollup = Rollup(rollup_no, _rollup(row).measure, BUILT)
    return _recipes({(row["tenant_id"], row["event_code"]): [rollup]})


def _recipes(rollups: Mapping[tuple[str, str], Sequence[Rollup]]) -> Recipes:
    recipes: list[tuple[int, list[tuple[int, Lane]]]] = []
    slots: list[dict[str, object]] = []
    every: list[Lane] = []
    for recipe_no, mine in enumerate(rollups.values()):
        by_measure = {rollup.measure: rollup for rollup in mine}
        numbered = list(enumerate(lanes(by_measure), len(every)))
        recipes.append((recipe_no, numbered))
        slots += [
            _slot(lane_no, slot, by_measure[measure]) for lane_no, lane in numbered for slot, measure in lane.slots
        ]
        every += [lane for _, lane in numbered]
    numbers = {name: recipe_no for recipe_no, name in enumerate(rollups)}
    return Recipes(numbers, lanes_out(recipes), json.dumps(slots), shape(every))


def _slot(lane_no: int, slot: int, rollup: Rollup) -> dict[str, object]:
    return {
        "lane_no": lane_no,
        "slot": slot,
        "rollup_no": rollup.number,
        "built_series_no": rollup.built_series_no,
        "is_divided": bool(rollup.measure.dimensions),
    }


def _rollup(row: asyncpg.Record) -> Rollup:
    filters = tuple(DimensionFilter(each["property"], tuple(each["values"])) for each in json.loads(row["filters"]))
    dimensions = tuple(json.loads(row["dimensions"]))
    return Rollup(
        row["rollup_no"], Measure(row["value_property"], filters, dimensions, Kept(row["kept"])), row["built_series_no"]
    )
