"""Single events beside the buckets: at the edges of a period, and those that are not folded yet.

What several meters ask about the same events of a series is found by looking at each event once.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from libs.common.postgres import Conn
from services.metering.domain.lanes import Lane, Measure, lanes
from services.metering.domain.tally import ZERO, Latest, Tally
from services.metering.store.adding_up import LANE, SUMS, added_up, lanes_out, shape
from services.metering.store.visibility import counts_at

# A group looks at the same events of a series, in spans of time; its recipe says what for.
_GROUP = """
    unnest($2::int[], $3::int[], $4::int[], $5::timestamptz[], $6::timestamptz[])
        AS span (group_no, series_no, recipe_no, since, until)
    JOIN lane USING (recipe_no)
"""
_FOLDED = f"""
    {_GROUP} CROSS JOIN LATERAL (
        SELECT event_time, transaction_id, properties, amount FROM event
        WHERE event.tenant_no = $7 AND event.series_no = span.series_no
            AND event_time >= since AND event_time < until AND {counts_at("$8", "backfill.tenant_no = $7")}
        OFFSET 0
    ) AS event
"""  # noqa: S608 constants only

# The unfolded events of all tenants are found by sequence and looked through once; `+ 0` and the settings below keep
# Postgres from going through all events of a series instead.
_UNFOLDED = f"{_GROUP} JOIN event USING (series_no)"
_SINCE = "tenant_no + 0 = $7 AND sequence > $8 AND sequence <= $9 AND event_time >= since AND event_time < until"

Values = tuple[str | None, ...]
Tallies = dict[int, dict[Values, Tally]]
"""By number of a look, and by the values of its measure's dimensions. `held` is the sum of value × time."""

Spans = Mapping[int, Sequence[tuple[datetime, datetime]]]


class Look(NamedTuple):
    """At the events of a series, in the spans of time that have the number."""

    series_no: int
    measure: Measure
    spans_no: int


async def read_folded(
    conn: Conn, tenant_no: int, looks: Sequence[Look], spans: Spans, folded: int, found: Tallies
) -> None:
    """Add to `found` the events up to the sequence `folded`."""
    plan = _Plan(looks, spans)
    if plan.spans:
        statement = added_up(shape(plan.lanes), _FOLDED, "true", group_no="group_no")
        plan.add(await conn.fetch(f"WITH {LANE} {statement}", *plan.arguments(), tenant_no, folded), found)


async def read_unfolded(
    conn: Conn, tenant_no: int, looks: Sequence[Look], spans: Spans, sequences: tuple[int, int], found: Tallies
) -> None:
    """Add to `found` the events after the first of `sequences`, up to the second."""
    plan = _Plan(looks, spans)
    if plan.spans:
        statement = added_up(shape(plan.lanes), _UNFOLDED, _SINCE, group_no="group_no")
        await conn.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off")
        plan.add(await conn.fetch(f"WITH {LANE} {statement}", *plan.arguments(), tenant_no, *sequences), found)
        await conn.execute("SET LOCAL enable_seqscan = on; SET LOCAL enable_nestloop = on")


def tally_of(sums: Sequence[Any]) -> Tally:
    """SUMS of one row."""
    event_count, total, smallest, largest, amount, moment, latest = sums
    return Tally(
        event_count,
        total,
        held=moment or ZERO,
        largest=largest,
        smallest=smallest,
        latest=Latest(latest[0], latest[1], Decimal(latest[2])) if latest else None,
        amount=amount,
    )


def add(tallies: dict[Values, Tally], values: Values, tally: Tally) -> None:
    known = tallies.get(values)
    tallies[values] = known.merged(tally) if known else tally


class _Plan:
    """Looks in groups, and the recipes by which a group's events are added up."""

    def __init__(self, looks: Sequence[Look], spans: Spans) -> None:
        groups: dict[tuple[int, int], dict[Measure, list[int]]] = defaultdict(dict)
        for number, (series_no, measure, spans_no) in enumerate(looks):
            if spans_no in spans:
                groups[series_no, spans_no].setdefault(measure, []).append(number)
        self.lanes: list[Lane] = []
        self._recipes: list[tuple[int, list[tuple[int, Lane]]]] = []
        self._numbers: dict[tuple[Measure, ...], int] = {}
        self._asked = list(groups.values())
        self.spans = [
            (group_no, series_no, self._recipe(tuple(measures)), *span)
            for group_no, ((series_no, spans_no), measures) in enumerate(groups.items())
            for span in spans[spans_no]
        ]

    def arguments(self) -> list[Any]:
        return [lanes_out(self._recipes), *map(list, zip(*self.spans, strict=True))]

    def add(self, rows: Sequence[Any], found: Tallies) -> None:
        width = max(len(lane.dimensions) for lane in self.lanes)
        for row in rows:
            lane, asked = self.lanes[row[1]], self._asked[row[0]]
            properties = dict(zip(lane.dimensions, row[2:], strict=False))
            for slot, measure in lane.slots:
                first = 2 + width + slot * len(SUMS)
                if row[first]:
                    values = tuple(properties[name] for name in measure.dimensions)
                    tally = tally_of(row[first : first + len(SUMS)])
                    for number in asked[measure]:
                        add(found[number], values, tally)

    def _recipe(self, measures: tuple[Measure, ...]) -> int:
        number = self._numbers.get(measures)
        if number is None:
            number = self._numbers[measures] = len(self._recipes)
            numbered = list(enumerate(lanes(measures), len(self.lanes)))
            self._recipes.append((number, numbered))
            self.lanes += [lane for _, lane in numbered]
        return number
