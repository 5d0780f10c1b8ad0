"""A meter with versions answers every question as one whose events always had the value in one property."""

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from libs.common.wire import period_out
from services.metering.domain.meters import IN_ADVANCE, PRORATED, Aggregation
from tests.metering.conftest import Client, Hands
from tests.metering.requests import END, NOW, START, event, ingest, make_meters, usage_of
from tests.metering.test_meter_versions import HOUR, SOON, definition, make_version
from weir.metering.v1.metering_pb2 import (
    DimensionFilter,
    GetEventUsageRequest,
    GetUsageRequest,
    Meter,
    Usage,
    UsagePart,
)

if TYPE_CHECKING:
    from weir.metering.v1.meters_pb2_grpc import MeterServiceAsyncStub

SMALL = [DimensionFilter(property="model", values=["small"])]
DIMENSIONS = ["model", "region"]


def questions(aggregation: Aggregation, recurring: bool) -> list[GetUsageRequest]:
    """Of the meter "tokens"."""
    changes: list[dict[str, object]] = [
        {},
        {"group_by": DIMENSIONS},
        {"parts": [UsagePart(code="s", filters=SMALL)], "group_by": ["region"]},
        {"filters": SMALL, "first_events": 7},
        {"full_period": period_out(START - 24 * HOUR, END + 48 * HOUR), "time_zone": "Europe/Paris"},
    ]
    if aggregation in IN_ADVANCE:
        changes.append({"charged_in_advance": True, "group_by": ["region"]})
    if recurring and aggregation in PRORATED:
        changes += [{"prorated": True, "first_events": 50}, {"prorated": True, "group_by": ["model"]}]
    periods = [(START, END), (NOW, END), (NOW + SOON, NOW + 48 * HOUR), (NOW - HOUR, NOW + SOON), (NOW + HOUR, END)]
    return [
        GetUsageRequest(**{"period": period_out(*period)} | change, subscription_id="sub-0", meter_codes=["tokens"])  # type: ignore[arg-type]
        for change in changes
        for period in periods
        if "full_period" not in change or period == (START, END)
    ]


def alike(usages: list[Usage]) -> list[Usage]:
    for usage in usages:
        usage.meter_code = ""
    return usages


@pytest.mark.parametrize(
    ("aggregation", "recurring"),
    [
        *((each, False) for each in Aggregation),
        (Aggregation.SUM, True),
        (Aggregation.UNIQUE_COUNT, True),
        (Aggregation.WEIGHTED_SUM, True),
    ],
)
async def test_every_question_is_answered_as_without_versions(
    metering: Client, meters: "MeterServiceAsyncStub", clock: Hands, aggregation: Aggregation, recurring: bool
) -> None:
    """The meter counts "llm" by "first", then "chat" by "second", then "llm" by "third"."""
    number = Meter.Aggregation.Value(f"AGGREGATION_{aggregation.name}")
    percentile = "75" if aggregation is Aggregation.PERCENTILE else ""
    names = ["", "", ""] if aggregation is Aggregation.COUNT else ["first", "second", "third"]
    meter = Meter(
        code="tokens", event_code="llm", aggregation=number, value_property=names[0], recurring=recurring,
        dimensions=DIMENSIONS, percentile=percentile,
    )  # fmt: skip
    plain = Meter(code="plain", event_code="plain", value_property="value" if names[0] else "")
    plain.MergeFrom(Meter(aggregation=number, recurring=recurring, dimensions=DIMENSIONS, percentile=percentile))
    await make_meters(metering, meter, plain)
    await make_version(meters, definition("chat", names[1]), NOW + SOON)
    await make_version(meters, definition("llm", names[2], dimensions=DIMENSIONS[:1]), NOW + 24 * HOUR)
    clock.now = END
    chance = random.Random(aggregation.name)
    events, same = [], []
    for n in range(60):
        at = START - 24 * HOUR + chance.random() * (END - START + 24 * HOUR)
        at = chance.choice([at, NOW + SOON, NOW + 24 * HOUR, NOW + SOON - timedelta(microseconds=1), at])
        era = (at >= NOW + SOON) + (at >= NOW + 24 * HOUR)
        value = str(chance.randrange(1, 9))
        others = {"model": chance.choice(["small", "large"]), "region": chance.choice(["eu", "us"])}
        if aggregation is Aggregation.UNIQUE_COUNT:
            others["operation_type"] = chance.choice(["add", "add", "remove"])
        values = {name: value if names[era] == name else "100" for name in names if name}
        events.append(event(f"t-{n}", code=["llm", "chat", "llm"][era], at=at, **values, **others))
        same.append(event(f"p-{n}", code="plain", at=at, value=value, **others))
    for batch in range(0, 60, 10):
        for sent in (events, same):
            assert (await ingest(metering, sent[batch : batch + 10])).accepted_count == 10
    for question in questions(aggregation, recurring):
        answer = alike(list((await metering.GetUsage(question)).usages))
        question.meter_codes[:] = ["plain"]
        expected = alike(list((await metering.GetUsage(question)).usages))
        for usage in expected:
            for units in usage.events:
                units.transaction_id = units.transaction_id.replace("p-", "t-")
        assert answer == expected, question
    if aggregation in IN_ADVANCE:
        for n in range(0, 60, 3):
            if START <= events[n].timestamp.ToDatetime(START.tzinfo) < END:
                found = [
                    (
                        await metering.GetEventUsage(GetEventUsageRequest(transaction_id=name, query=usage_of(code)))
                    ).usages[0]
                    for name, code in ((f"t-{n}", "tokens"), (f"p-{n}", "plain"))
                ]
                found[0].meter_code = "plain"
                assert found[0] == found[1]
