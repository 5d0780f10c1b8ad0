"""What events are charged for between two watermarks is what each is charged for, once."""

import random
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest

from libs.common.errors import FailedPrecondition, InvalidArgument
from tests.metering.conftest import Client, Connect
from tests.metering.requests import START, event, ingest, make_meters, sum_meter, usage_of
from weir.metering.v1.event_charges_pb2 import EventCharge, GetEventChargesRequest
from weir.metering.v1.event_charges_pb2_grpc import EventChargeServiceStub
from weir.metering.v1.metering_pb2 import GetEventUsageRequest, Meter, UsagePart

if TYPE_CHECKING:
    from weir.metering.v1.event_charges_pb2_grpc import EventChargeServiceAsyncStub

Charges: TypeAlias = "EventChargeServiceAsyncStub"


@pytest.fixture
def charges(connect: Connect) -> Charges:
    return connect("acme", stub=EventChargeServiceStub)


def meter() -> Meter:
    made = sum_meter()
    made.dimensions.extend(["team", "mode"])
    return made


def query(watermark: int = 0):  # type: ignore[no-untyped-def]
    asked = usage_of("tokens")
    asked.parts.append(UsagePart(code="batch", filters=[{"property": "mode", "values": ["batch"]}]))
    asked.group_by.append("team")
    asked.watermark = watermark
    return asked


async def test_the_answers_of_a_follower_are_those_for_each_event(metering: Client, charges: Charges) -> None:
    await make_meters(metering, meter())
    chance = random.Random(7)
    since, told = 0, list[EventCharge]()
    for batch in range(6):
        await ingest(
            metering,
            [
                event(
                    f"{batch}-{n}",
                    at=START + timedelta(minutes=chance.randrange(20_000)),
                    tokens=str(chance.randrange(-5, 20)),
                    team=chance.choice("ab"),
                    mode=chance.choice(["batch", "live"]),
                )
                for n in range(8)
            ],
        )
        answer = await charges.GetEventCharges(GetEventChargesRequest(query=query(), since_watermark=since))
        told += answer.charges
        since = answer.watermark
    assert len({each.transaction_id for each in told}) == len(told) == 48
    for each in told:
        asked = query()
        request = GetEventUsageRequest(transaction_id=each.transaction_id, query=asked)
        assert list((await metering.GetEventUsage(request)).usages) == [each.usage]
    groups: dict[tuple[str, str], list[EventCharge]] = {}
    for each in told:
        groups.setdefault((each.usage.part, each.usage.group["team"]), []).append(each)
    for mine in groups.values():
        assert [each.event_number for each in mine] == list(range(1, len(mine) + 1))
        assert sum(int(each.value) for each in mine) == int(mine[-1].usage.running_quantity)
    again = await charges.GetEventCharges(GetEventChargesRequest(query=query(since)))
    assert list(again.charges) == told


async def test_a_watermark_that_is_not_reached_is_refused(metering: Client, charges: Charges) -> None:
    await make_meters(metering, meter())
    for asked in (
        GetEventChargesRequest(query=query(10**9)),
        GetEventChargesRequest(query=query(), since_watermark=10**9),
    ):
        with pytest.raises(FailedPrecondition) as ahead:
            await charges.GetEventCharges(asked)
        assert ahead.value.reason == "WATERMARK_AHEAD"
    with pytest.raises(InvalidArgument) as missing:
        await charges.GetEventCharges(GetEventChargesRequest())
    assert missing.value.reason == "FIELD_MISSING"
