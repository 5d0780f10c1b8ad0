"""Usage that takes more than a quantity to price: units held by the day, hours of the week, tiers over the contract."""

from itertools import pairwise

import pytest

from libs.common.wire import timestamp_out
from services.invoicing.domain.hours import Hours, TimeWindow, stretches
from services.invoicing.domain.period import Period
from tests.invoicing.test_changes import asked_preview, bill_until, change, change_to
from tests.invoicing.test_lines import amounts, require_reproduced
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import pricing_pb2

SUM, MAX = metering_pb2.Meter.AGGREGATION_SUM, metering_pb2.Meter.AGGREGATION_MAX


def charge(**price: object) -> pricing_pb2.Charge:
    return pricing_pb2.Charge(code="seats", name="Seats", meter_code="seats", **price)  # type: ignore[arg-type]


def standard(unit_price: str) -> pricing_pb2.StandardPrice:
    return pricing_pb2.StandardPrice(unit_price=unit_price)


def tiers(up_to: str, first: str, rest: str) -> list[pricing_pb2.PriceTier]:
    return [pricing_pb2.PriceTier(up_to=up_to, unit_price=first), pricing_pb2.PriceTier(unit_price=rest)]


async def subscribed(
    acme: Tenant,
    *charges: pricing_pb2.Charge,
    start: str = "2023-11-01",
    recurring: bool = False,
    aggregation: "metering_pb2.Meter.Aggregation.ValueType" = SUM,
) -> None:
    made = metering_pb2.Meter(
        code="seats", aggregation=aggregation, value_property="n", recurring=recurring, dimensions=["team"]
    )
    await acme.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=new_request_id(), meter=made))
    await acme.start_clock(start)
    await acme.customer("globex")
    await acme.plan("p", *charges, base_fee=None)
    await acme.subscribe("s", "globex", "p", start)


async def use(acme: Tenant, at: str, n: str, **properties: str) -> None:
    event = metering_pb2.Event(
        transaction_id=new_request_id(),
        subscription_id="s",
        code="seats",
        timestamp=timestamp_out(utc(at)),
        properties={"n": n, **properties},
    )
    answer = await acme.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[event]))
    assert answer.accepted_count == 1, answer


async def require_replayed(acme: Tenant, invoices: list[invoicing_pb2.Invoice]) -> None:
    for each in invoices:
        assert (await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=each.id))).reproduced


async def test_seats_cost_the_days_that_they_are_held_over_a_change_of_plan(world: World, acme: Tenant) -> None:
    """The day of the change is the new plan's, with the seats that were added on it before the change."""
    await subscribed(acme, charge(standard=standard("10"), prorated=True), recurring=True)
    await acme.plan("new", charge(standard=standard("20"), prorated=True), base_fee=None)
    await use(acme, "2023-11-01", "10")
    await use(acme, "2023-11-16T06:00", "2")
    await bill_until(world, acme, "2023-11-16T12:00")
    asked = asked_preview(change_to("new"))
    foreseen = (await acme.changes.PreviewChange(asked)).invoices
    await change(acme, "new")
    invoices = await bill_until(world, acme, "2023-12-01")
    # 10 seats for 15 of 30 days; 12 seats for the other 15
    assert [amounts(each) for each in invoices] == [[("Seats", 5000)], [("Seats", 12000)]]
    assert [each.total for each in foreseen] == [invoices[0].total]
    await use(acme, "2023-11-20", "100")
    said = await require_reproduced(acme, invoices[0])
    assert said["Seats"][2:5] == [
        f"In that period meter seats measured 10 units, counting the events that were recorded up to position"
        f" {invoices[0].lines[0].watermark} of the log.",
        "For the days on which they were there, that is 5 units.",
        "5 units at 10 USD each: 50 USD.",
    ]
    await require_replayed(acme, invoices)


async def test_tiers_of_seats_that_are_held_for_some_days(world: World, acme: Tenant) -> None:
    """30 seats for a month, 20 more for its second half: the first 40 are the first tier."""
    volume = charge(volume=pricing_pb2.VolumePrice(tiers=tiers("40", "2", "1")), prorated=True)
    graduated = charge(graduated=pricing_pb2.GraduatedPrice(tiers=tiers("40", "2", "1")), prorated=True)
    graduated.code = graduated.name = "graduated"
    await subscribed(acme, volume, graduated, start="2023-11-01", recurring=True)
    await use(acme, "2023-11-01", "30")
    await use(acme, "2023-11-16", "20")
    invoices = await bill_until(world, acme, "2023-12-01")
    assert [amounts(each) for each in invoices] == [[("Seats", 4000), ("graduated", 6000 + 1000 + 500)]]
    await require_reproduced(acme, invoices[0])


async def test_units_of_a_meter_that_does_not_recur_are_not_held(world: World, acme: Tenant) -> None:
    await subscribed(acme, charge(standard=standard("10"), prorated=True))
    run = await acme.advance("2023-12-01")
    await world.bill()
    assert [each.reason for each in (await acme.run(run)).failures] == ["PRORATION_UNSUPPORTED"]


async def test_credits_convert_to_the_currency(world: World, acme: Tenant) -> None:
    unit = pricing_pb2.PricingUnit(code="credits", conversion_rate="0.015")
    await subscribed(acme, charge(standard=standard("3"), pricing_unit=unit))
    await use(acme, "2023-11-05", "7")
    [invoice] = await bill_until(world, acme, "2023-12-01")
    assert amounts(invoice) == [("Seats", 32)]
    said = await require_reproduced(acme, invoice)
    assert said["Seats"][3:5] == [
        "7 units at 3 credits each: 21 credits.",
        "Together that is 21 credits at 0.015 USD each: 0.315 USD.",
    ]


async def test_tiers_go_on_over_the_contract(world: World, acme: Tenant) -> None:
    """100 units are at the first price, whatever the month, for each team."""
    price = pricing_pb2.GraduatedPrice(tiers=tiers("100", "1", "0.5"))
    over = charge(
        graduated=price, accumulation=pricing_pb2.Charge.ACCUMULATION_CONTRACT, group_keys=["team"], minimum_amount="1"
    )
    await subscribed(acme, over, start="2023-11-10")
    await use(acme, "2023-11-12", "80", team="a")
    await use(acme, "2023-12-12", "30", team="a")
    await use(acme, "2023-12-12", "30", team="b")
    await use(acme, "2024-01-12", "30", team="b")
    invoices = await bill_until(world, acme, "2024-03-01")
    assert [amounts(each) for each in invoices] == [
        [("Seats, team a", 8000)],
        [("Seats, team a", 2000 + 500), ("Seats, team b", 3000)],
        [("Seats, team b", 3000)],
        [("Seats, up to the minimum", 100)],
    ]
    await use(acme, "2023-11-12", "1000", team="a")
    said = await require_reproduced(acme, invoices[1])
    assert said["Seats, team a"][3:6] == [
        "Tiers go on over the contract, in which 80 units were used before.",
        "The first 20 units at 1 USD each: 20 USD.",
        "The next 10 units at 0.5 USD each: 5 USD.",
    ]
    await require_replayed(acme, invoices)


async def test_the_price_depends_on_the_hour_also_of_a_filter(world: World, acme: Tenant) -> None:
    window = pricing_pb2.TimeWindow(code="day", weekdays=[1, 2, 3, 4, 5], start_hour=8, end_hour=20, unit_price="3")
    night = pricing_pb2.TimeWindow(code="night", start_hour=0, end_hour=6, unit_price="0.1")
    filters = [
        pricing_pb2.ChargeFilter(
            code="b",
            name="Team b",
            properties=[pricing_pb2.PropertyFilter(property="team", values=["b"])],
            time_of_day=pricing_pb2.TimeOfDayPrice(time_zone="UTC", windows=[night], default_unit_price="0.2"),
        ),
        pricing_pb2.ChargeFilter(
            code="c",
            name="Team c",
            properties=[pricing_pb2.PropertyFilter(property="team", values=["c"])],
            standard=standard("5"),
        ),
    ]
    price = pricing_pb2.TimeOfDayPrice(time_zone="America/New_York", windows=[window], default_unit_price="1")
    await subscribed(acme, charge(time_of_day=price, filters=filters))
    for at, n, team in [
        ("2023-11-03T11:59:59", "1", "a"),  # 7:59:59 in New York, in daylight saving time
        ("2023-11-03T12:00:00", "10", "a"),
        ("2023-11-06T12:59:59", "100", "a"),  # the clocks were set back: 7:59:59
        ("2023-11-06T13:00:00", "1000", "a"),
        ("2023-11-11T13:00:00", "10000", "a"),  # a Saturday
        ("2023-11-11T05:00:00", "50", "b"),
        ("2023-11-11T06:00:00", "60", "b"),
        ("2023-11-11T05:00:00", "1", "c"),
        ("2023-11-15T15:00:00", "2", "c"),
    ]:
        await use(acme, at, n, team=team)
    [invoice] = await bill_until(world, acme, "2023-12-01")
    assert sorted(amounts(invoice)) == [
        ("Seats", (1 + 100 + 10000) * 100),
        ("Seats, in day", (10 + 1000) * 300),
        ("Team b", 60 * 20),
        ("Team b, in night", 50 * 10),
        ("Team c", 3 * 500),
    ]
    await use(acme, "2023-11-06T13:00:00", "1000", team="a")
    said = await require_reproduced(acme, invoice)
    assert "measured 1,010 units in the hours of day, counting" in said["Seats, in day"][2]
    assert "measured 10,101 units in the hours that have no price of their own, counting" in said["Seats"][2]
    await require_replayed(acme, [invoice])


async def test_what_does_not_add_up_by_the_hour_has_no_price_by_time_of_day(world: World, acme: Tenant) -> None:
    windows = [pricing_pb2.TimeWindow(code="day", start_hour=8, end_hour=20, unit_price="3")]
    price = pricing_pb2.TimeOfDayPrice(time_zone="UTC", windows=windows, default_unit_price="1")
    await subscribed(acme, charge(time_of_day=price), aggregation=MAX)
    run = await acme.advance("2023-12-01")
    await world.bill()
    assert [each.reason for each in (await acme.run(run)).failures] == ["HOURS_NOT_ADDITIVE"]


@pytest.mark.parametrize("tz", ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_stretches_tile_a_period_and_each_hour_is_in_its_window(tz: str) -> None:
    """Around both changes of the clocks, in zones of odd offsets."""
    hours = Hours("", tz, (TimeWindow("night", (), 0, 3), TimeWindow("sunday", (7,), 2, 24)))
    for first in ("2023-03-25T00:10", "2023-09-28", "2023-11-01T00:00:01", "2023-03-09"):
        period = Period(utc(first), utc(f"{first[:8]}30T23:59"))
        found = stretches((hours,), period)
        assert (found[0][0].start, found[-1][0].end) == (period.start, period.end)
        assert all(before.end == after.start for (before, _), (after, _) in pairwise(found))
        for part, windows in found:
            middle = part.start + (part.end - part.start) / 2
            assert {hours.window_at(part.start), hours.window_at(middle)} == {windows[""]}
