"""What an event would cost is what it adds to the usage that metering answers, rated."""

import pytest

from libs.common.errors import InvalidArgument
from libs.common.wire import timestamp_out
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.metering.v1.metering_pb2 import CreateMeterRequest, DimensionFilter, Meter
from weir.pricing.v1.estimation_pb2 import EstimateEventRequest, EstimateEventResponse, EstimateRequest
from weir.pricing.v1.pricing_pb2 import (
    Charge,
    ChargeFilter,
    ChargeQuantity,
    GraduatedPrice,
    PriceTier,
    PropertyFilter,
    StandardPrice,
    TimeOfDayPrice,
    TimeWindow,
)


def dollars(price: str) -> StandardPrice:
    return StandardPrice(unit_price=price)


CHARGES = [
    Charge(code="requests", meter_code="requests", standard=dollars("1")),
    Charge(
        code="tokens",
        meter_code="tokens",
        graduated=GraduatedPrice(tiers=[PriceTier(up_to="10", unit_price="2"), PriceTier(unit_price="1")]),
        filters=[
            ChargeFilter(
                code="large", properties=[PropertyFilter(property="model", values=["large"])], standard=dollars("7")
            )
        ],
        group_keys=["region"],
    ),
    Charge(code="peak", meter_code="peak", standard=dollars("3")),
    Charge(code="users", meter_code="users", standard=dollars("5")),
    Charge(code="mean", meter_code="mean", standard=dollars("1")),
    Charge(code="words", meter_code="words", standard=dollars("1")),
    Charge(code="later", meter_code="later", standard=dollars("1")),
    Charge(
        code="hours",
        meter_code="requests",
        time_of_day=TimeOfDayPrice(
            time_zone="Europe/Berlin",
            windows=[TimeWindow(code="night", start_hour=0, end_hour=6, unit_price="0.1")],
            default_unit_price="0.2",
        ),
    ),
]


async def make_meters(acme: Tenant) -> None:
    meters = [
        Meter(code="requests", aggregation=Meter.AGGREGATION_COUNT),
        Meter(code="tokens", aggregation=Meter.AGGREGATION_SUM, value_property="tokens"),
        Meter(code="peak", aggregation=Meter.AGGREGATION_MAX, value_property="tokens"),
        Meter(code="users", aggregation=Meter.AGGREGATION_UNIQUE_COUNT, value_property="user"),
        Meter(code="mean", aggregation=Meter.AGGREGATION_AVERAGE, value_property="tokens"),
        Meter(
            code="words",
            aggregation=Meter.AGGREGATION_SUM,
            value_property="words",
            expression="event.properties.tokens * 0.75",
        ),
        Meter(
            code="eu", aggregation=Meter.AGGREGATION_COUNT, filters=[DimensionFilter(property="region", values=["eu"])]
        ),
    ]
    for meter in meters:
        meter.event_code = "request"
        await acme.metering.CreateMeter(CreateMeterRequest(request_id=new_request_id(), meter=meter))


def event(*used: ChargeQuantity, at: str = "2023-11-10T12:00", **properties: str) -> EstimateEventRequest:
    return EstimateEventRequest(
        plan_code="llm",
        version=1,
        code="request",
        properties={"tokens": "4", "user": "ada", **properties},
        used=used,
        timestamp=timestamp_out(utc(at)),
    )


def by_charge(found: EstimateEventResponse) -> dict[str, int]:
    return {each.after.charge_code: each.amount.minor_units for each in found.costs}


@pytest.fixture
async def llm(acme: Tenant) -> Tenant:
    await make_meters(acme)
    await acme.plan("llm", *CHARGES, base_fee=None)
    return acme


async def test_an_event_costs_what_each_charge_that_counts_it_says(llm: Tenant) -> None:
    used = [
        ChargeQuantity(charge_code="tokens", quantity="8", group={"region": "eu"}),
        ChargeQuantity(charge_code="peak", quantity="3"),
    ]
    found = await llm.estimation.EstimateEvent(event(*used, region="eu"))
    assert by_charge(found) == {"requests": 100, "tokens": 600, "peak": 300, "users": 500, "hours": 20}
    assert found.amount.minor_units == 1520
    assert {each.charge_code: each.reason for each in found.skipped} == {
        "mean": "AGGREGATION_NOT_ESTIMABLE",
        "words": "AGGREGATION_NOT_ESTIMABLE",
        "later": "METER_NOT_FOUND",
    }
    assert by_charge(await llm.estimation.EstimateEvent(event(model="large", at="2023-11-10T23:30"))) == {
        "requests": 100,
        "tokens": 2800,
        "peak": 1200,
        "users": 500,
        "hours": 10,
    }


async def test_a_meter_that_comes_later_is_seen(llm: Tenant, world: World) -> None:
    first = await llm.estimation.EstimateEvent(event())
    assert [each.charge_code for each in first.skipped] == ["later", "mean", "words"]
    await llm.meter("later")
    while len((await llm.estimation.EstimateEvent(event())).skipped) > 2:
        pass
    assert by_charge(await llm.estimation.EstimateEvent(event()))["later"] == 100


async def test_meters_are_those_of_the_tenant(llm: Tenant, world: World) -> None:
    await llm.estimation.EstimateEvent(event())
    other = world.tenant("umbrella")
    await other.plan("llm", *CHARGES, base_fee=None)
    found = await other.estimation.EstimateEvent(event())
    assert (len(found.costs), len(found.skipped)) == (0, len(CHARGES))


@pytest.mark.parametrize(
    ("properties", "reason"), [({"tokens": "many"}, "DECIMAL_MALFORMED"), ({"tokens": ""}, "FIELD_MISSING")]
)
async def test_an_event_that_metering_would_refuse_has_no_price(
    llm: Tenant, properties: dict[str, str], reason: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await llm.estimation.EstimateEvent(event(**properties))
    assert raised.value.reason == reason


async def test_an_event_without_a_property_that_is_measured_has_no_price(llm: Tenant) -> None:
    request = event()
    del request.properties["user"]
    with pytest.raises(InvalidArgument) as raised:
        await llm.estimation.EstimateEvent(request)
    assert (raised.value.reason, raised.value.field) == ("PROPERTY_MISSING", "properties.user")


async def test_quantities_are_estimated_on_top_of_others(llm: Tenant) -> None:
    request = EstimateRequest(
        plan_code="llm",
        version=1,
        used=[ChargeQuantity(charge_code="tokens", quantity="8")],
        added=[ChargeQuantity(charge_code="tokens", quantity="4.005")],
    )
    found = await llm.estimation.Estimate(request)
    [cost] = found.costs
    assert (cost.before.unrounded_amount, cost.after.unrounded_amount) == ("16", "22.005")
    assert (cost.unrounded_amount, cost.amount.minor_units, found.amount.minor_units) == ("6.005", 601, 601)
    with pytest.raises(InvalidArgument) as raised:
        await llm.estimation.Estimate(EstimateRequest(plan_code="llm", version=1))
    assert raised.value.field == "added"
