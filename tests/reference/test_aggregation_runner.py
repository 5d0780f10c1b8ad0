"""The runner of aggregations: what it must not let pass."""

import pytest

from tests.reference import aggregation
from tests.reference.cases import DEFAULT_FILE, Case, Json, Unsupported, World, read_cases
from tests.reference.comparison import differences
from tests.reference.test_runner import broken

CASES = {case.id: case for case in read_cases(DEFAULT_FILE) if case.kind == "aggregation"}
SUM, STATE = "agg-sum-04", "agg-prouniq-14"


@pytest.mark.parametrize(
    "id_", ["agg-sum-03", "agg-sum-10", "agg-sum-13", "agg-prosum-09", "agg-weighted-08", "agg-weighted-09"]
)
async def test_every_figure_of_a_case_is_compared(id_: str, world: World) -> None:
    case = CASES[id_]
    observed = await aggregation.observe(case, world)
    assert differences(case.expect, observed) == []
    wrong = list(broken(case.expect))
    assert wrong
    for expected in wrong:
        assert differences(expected, observed) != []


@pytest.mark.parametrize(
    ("id_", "part", "change", "missing"),
    [
        (SUM, "given", {"aggregation_type": "custom_agg"}, "the aggregation 'custom_agg'"),
        (SUM, "given", {"weighted_interval": "hours"}, "given.weighted_interval 'hours'"),
        (SUM, "given", {"colour": "red"}, "given.colour"),
        (SUM, "when", {"weather": "rain"}, "when.weather"),
        (SUM, "when", {"events": [{"value": "1", "mood": "good"}]}, "when.events.mood"),
        (SUM, "when", {"distinct_active": "2"}, "when.distinct_active without when.cached"),
        (SUM, "expect", {"refund": "1"}, "expect.refund"),
        (
            STATE,
            "when",
            {
                "cached": {
                    "current_aggregation": "1",
                    "max_aggregation": "1",
                    "max_aggregation_with_proration": "0.123",
                }
            },
            "when.cached with 0.123 prorated of 1: no day comes to that",
        ),
    ],
)
async def test_words_that_the_runner_does_not_know_are_named(
    world: World, id_: str, part: str, change: Json, missing: str
) -> None:
    case = CASES[id_]
    parts = {"given": case.given, "when": case.when, "expect": case.expect}
    parts[part] = parts[part] | change
    with pytest.raises(Unsupported) as unsupported:
        await aggregation.run(Case("changed", "aggregation", **parts), world)
    assert str(unsupported.value) == missing
