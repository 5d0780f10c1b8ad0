"""Statements that add events up, lane by lane: written to measure, so that an event costs no more than it has to."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libs.common.wire import DECIMAL
from services.metering.domain.lanes import Kept, Lane
from services.metering.domain.meters import DimensionFilter

PATTERN = f"^{DECIMAL.pattern}$"

SUMS = ("event_count", "total", "smallest", "largest", "amount", "moment", "latest")
"""What a bucket holds, and what `added_up` gives for each slot n, from 0 on, as event_count_n and so on."""

LANE = """
    lane AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset($1::jsonb) AS lane (
            recipe_no integer, lane_no integer, filters jsonb, kept text, measured text[], dimensions text[]
        )
    )
"""
"""Parameter 1 is `lanes_out`."""

ADMITTED = """
    (filters = '[]' OR NOT EXISTS (
        SELECT FROM jsonb_array_elements(filters) AS filter
        WHERE (filter -> 'values' ? (properties ->> (filter ->> 'property'))) IS NOT TRUE
    ))
"""

_TEXT = ", properties ->> measured[%(n)s] AS text_%(n)s"

# A whole number is plainly one without the regular expression, which takes longer than all the rest.
_VALUE = f"""
    , CASE
        WHEN translate(text_%(n)s, '0123456789', '') = '' AND length(text_%(n)s) BETWEEN 1 AND 26
            OR text_%(n)s ~ '{PATTERN}'
        THEN text_%(n)s::numeric
    END AS value_%(n)s
"""
_SLOT = """
    , count(value_%(n)s) AS event_count_%(n)s, sum(value_%(n)s) AS total_%(n)s, min(value_%(n)s) AS smallest_%(n)s,
    max(value_%(n)s) AS largest_%(n)s, sum(amount) FILTER (WHERE value_%(n)s IS NOT NULL) AS amount_%(n)s,
    %(moment)s AS moment_%(n)s, %(latest)s AS latest_%(n)s
"""
_EVENTS = """
    count(*) AS event_count_0, count(*)::numeric AS total_0, 1::numeric AS smallest_0, 1::numeric AS largest_0,
    sum(amount) AS amount_0, NULL::numeric AS moment_0, NULL::text[] AS latest_0
"""
_MOMENT = f"sum(value_%(n)s * extract(epoch FROM event_time)) FILTER (WHERE kept = '{Kept.MOMENTS}')"
_LATEST = f"""
    max(CASE WHEN kept = '{Kept.LATEST}' AND value_%(n)s IS NOT NULL THEN ARRAY[
        to_char(event_time AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS'), transaction_id, value_%(n)s::text
    ] END COLLATE "C")
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a statement has to have room for: what no lane needs costs nothing."""

    slots: int
    dimensions: int
    kept: frozenset[Kept]
    is_filtered: bool


def shape(lanes: Sequence[Lane]) -> Shape:
    return Shape(
        max(len(each.measures) for each in lanes),
        max(len(each.dimensions) for each in lanes),
        frozenset(each.kept for each in lanes),
        any(each.filters for each in lanes),
    )


def lanes_out(recipes: Iterable[tuple[int, Sequence[tuple[int, Lane]]]]) -> str:
    """JSON of numbered recipes of numbered lanes."""
    return json.dumps(
        [
            {
                "recipe_no": recipe_no,
                "lane_no": lane_no,
                "filters": filters_out(lane.filters),
                "kept": lane.kept,
                "measured": [each.value_property for each in lane.measures],
                "dimensions": lane.dimensions,
            }
            for recipe_no, numbered in recipes
            for lane_no, lane in numbered
        ]
    )


def filters_out(filters: Iterable[DimensionFilter]) -> list[dict[str, object]]:
    return [{"property": each.property, "values": each.values} for each in filters]


def added_up(shape: Shape, source: str, condition: str, /, *, with_sequence: bool = False, **keys: str) -> str:
    """SELECT keys, lane_no, d_1 … (values of the lane's dimensions), and SUMS of each slot; `with_sequence`, also
    last_sequence.

    `source` joins `event` with `lane`; each key is an expression over it. OFFSET 0 keeps what is computed once from
    being computed for everything that is kept of it.
    """
    slots = [{"n": n} for n in range(1, shape.slots + 1)]
    divided = "".join(f", d_{n}" for n in range(1, shape.dimensions + 1))
    texts = "".join(_TEXT % n for n in slots)
    values = "".join(_VALUE % n for n in slots)
    sums = _EVENTS + "".join(
        _SLOT
        % {
            **n,
            "moment": _MOMENT % n if Kept.MOMENTS in shape.kept else "NULL::numeric",
            "latest": _LATEST % n if Kept.LATEST in shape.kept else "NULL::text[]",
        }
        for n in slots
    )
    named = ", ".join([*keys, "lane_no"]) + divided
    seen = "kept, amount, event_time, transaction_id"
    if with_sequence:
        seen += ", sequence"
        sums += ", max(sequence) AS last_sequence"
    computed = ", ".join(f"{expression} AS {key}" for key, expression in keys.items())
    looked_up = "".join(f", properties ->> dimensions[{n}] AS d_{n}" for n in range(1, shape.dimensions + 1))
    return f"""
        SELECT {named}, {sums} FROM (
            SELECT {named}, {seen}{values} FROM (
                SELECT {computed}, lane_no{looked_up}, {seen}{texts}
                FROM {source} WHERE {condition} AND {ADMITTED if shape.is_filtered else "true"}
                OFFSET 0
            ) AS looked_up OFFSET 0
        ) AS valued
        GROUP BY {named}
    """  # noqa: S608 constants only
