"""Charges that need more than one quantity of usage are simulated with what they need."""

from libs.common.wire import timestamp_out
from tests.invoicing.world import Tenant, new_request_id, utc
from tests.simulation.asking import simulate
from weir.metering.v1.metering_pb2 import CreateMeterRequest, Event, IngestEventsRequest, Meter
from weir.pricing.v1.pricing_pb2 import (
    Charge,
    ChargeFilter,
    DynamicPrice,
    GraduatedPrice,
    MatrixCell,
    MatrixPrice,
    PackagePrice,
    PercentagePrice,
    PriceTier,
    PropertyFilter,
    StandardPrice,
    TimeOfDayPrice,
    TimeWindow,
)

EVENTS = [
    ("2023-10-10T12:00", "40", "large", "eu", ""),
    ("2023-10-20T12:00", "50", "small", "us", ""),
    ("2023-11-02T02:00", "10", "large", "eu", "0.255"),
    ("2023-11-02T12:00", "20", "large", "us", "0.5"),
    ("2023-11-03T03:00", "30", "small", "us", ""),
    ("2023-11-04T22:30", "5", "small", "eu", ""),
]
"""When, tokens, model, region, amount."""


async def used(acme: Tenant) -> None:
    meter = Meter(
        code="tokens",
        event_code="request",
        aggregation=Meter.AGGREGATION_SUM,
        value_property="tokens",
        dimensions=["model", "region"],
    )
    await acme.metering.CreateMeter(CreateMeterRequest(request_id=new_request_id(), meter=meter))
    events = [
        Event(
            transaction_id=f"t{index}",
            subscription_id="s",
            code="request",
            timestamp=timestamp_out(utc(at)),
            properties={"tokens": tokens, "model": model, "region": region},
            amount=amount,
        )
        for index, (at, tokens, model, region, amount) in enumerate(EVENTS)
    ]
    answer = await acme.metering.IngestEvents(IngestEventsRequest(events=events))
    assert answer.accepted_count == len(EVENTS)
    await acme.plan("nothing", base_fee=None)
    await acme.customer("c")
    await acme.subscribe("s", "c", "nothing", "2023-10-05")


async def november(acme: Tenant, charge: Charge) -> int:
    """What the charge alone costs in November, in cents."""
    charge.code, charge.meter_code = "usage", "tokens"
    await acme.plan("other", charge, base_fee=None)
    found = await simulate(acme, "other")
    assert not found.sums.failed_count, found.changes
    return found.cost("s")[1]


def dollars(price: str) -> StandardPrice:
    return StandardPrice(unit_price=price)


async def test_filters_and_groups(acme: Tenant) -> None:
    await used(acme)
    large = ChargeFilter(
        code="l", properties=[PropertyFilter(property="model", values=["large"])], standard=dollars("3")
    )
    tiers = [PriceTier(up_to="10", unit_price="1", flat_fee="100"), PriceTier(unit_price="2")]
    charge = Charge(graduated=GraduatedPrice(tiers=tiers), filters=[large], group_keys=["region"])
    assert await november(acme, charge) == 100 * (30 * 3 + (100 + 10 + 40) + (100 + 5))


async def test_a_matrix(acme: Tenant) -> None:
    await used(acme)
    cells = [MatrixCell(values=["eu", "large"], unit_price="7")]
    matrix = MatrixPrice(dimensions=["region", "model"], cells=cells, default_unit_price="1")
    assert await november(acme, Charge(matrix=matrix, group_keys=["model", "region"])) == 100 * (70 + 20 + 30 + 5)


async def test_single_events_of_a_percentage(acme: Tenant) -> None:
    await used(acme)
    price = PercentagePrice(
        rate_percent="100", fixed_per_transaction="1", free_transactions=2, maximum_per_transaction="8"
    )
    assert await november(acme, Charge(percentage=price)) == 100 * (8 + 6)


async def test_the_first_events_of_an_allowance(acme: Tenant) -> None:
    await used(acme)
    price = PercentagePrice(rate_percent="100", fixed_per_transaction="1", free_transactions=3)
    assert await november(acme, Charge(percentage=price)) == 100 * (5 + 1)


async def test_the_amounts_that_events_carry(acme: Tenant) -> None:
    await used(acme)
    assert await november(acme, Charge(dynamic=DynamicPrice())) == 76


async def test_dynamic_usage_without_amounts_costs_nothing(acme: Tenant) -> None:
    await used(acme)
    charge = Charge(dynamic=DynamicPrice(), group_keys=["model"])
    assert await november(acme, charge) == 76


async def test_what_the_contract_used_before(acme: Tenant) -> None:
    await used(acme)
    tiers = [PriceTier(up_to="100", unit_price="1", flat_fee="5"), PriceTier(unit_price="0.5", flat_fee="2")]
    charge = Charge(graduated=GraduatedPrice(tiers=tiers), accumulation=Charge.ACCUMULATION_CONTRACT)
    assert await november(acme, charge) == 100 * 10 + 200 + 5500 // 2


async def test_what_each_group_used_before(acme: Tenant) -> None:
    await used(acme)
    package = PackagePrice(package_size="10", package_price="1", free_units="60")
    charge = Charge(package=package, accumulation=Charge.ACCUMULATION_CONTRACT, group_keys=["model"])
    assert await november(acme, charge) == 100 * (1 + 3)


async def test_windows_of_the_day(acme: Tenant) -> None:
    await used(acme)
    night = TimeWindow(code="night", end_hour=4, unit_price="1")
    price = TimeOfDayPrice(time_zone="Europe/Berlin", windows=[night], default_unit_price="3")
    assert await november(acme, Charge(time_of_day=price)) == 100 * (10 * 1 + 20 * 3 + 30 * 3 + 5 * 3)
