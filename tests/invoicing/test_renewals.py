"""Units of recurring meters in advance: charged when they are added, and renewed with each period."""

from tests.invoicing.test_advance_usage import charge, fees, used
from tests.invoicing.test_changes import bill_until, change, terminate
from tests.invoicing.test_kinds_of_charges import require_replayed, standard, subscribed, use
from tests.invoicing.test_lines import amounts, require_reproduced
from tests.invoicing.test_pauses import pause, resume
from tests.invoicing.world import Tenant, World
from weir.invoicing.v1.invoicing_pb2 import Invoice, InvoiceLine


def billed(invoices: list[Invoice]) -> list[tuple[str, int]]:
    """The day on which each was made, and what it comes to; none of nothing."""
    found = ((each.issue_date, each.total.minor_units) for each in invoices)
    return sorted((f"{day.year}-{day.month:02}-{day.day:02}", total) for day, total in found if total)


async def test_units_that_are_there_are_renewed_and_what_is_added_costs_beyond_them(world: World, acme: Tenant) -> None:
    await subscribed(acme, charge(standard=standard("10"), group_keys=["team"]), recurring=True)
    await used(world, acme, "2023-11-05", "5", team="a")
    await used(world, acme, "2023-11-20", "-2", "1", team="a")
    await used(world, acme, "2023-11-21", "1", team="b")
    await bill_until(world, acme, "2023-12-01")
    await used(world, acme, "2023-12-10", "3", team="a")
    invoices = await bill_until(world, acme, "2024-01-01")
    assert billed(invoices) == [
        ("2023-11-05", 5000),
        ("2023-11-21", 1000),
        ("2023-12-01", 4000 + 1000),
        ("2023-12-10", 3000),
        ("2024-01-01", 7000 + 1000),
    ]
    [december] = [each for each in invoices if each.total.minor_units == 5000 and len(each.lines) == 2]
    assert {line.kind for line in december.lines} == {InvoiceLine.KIND_RENEWAL}
    assert amounts(december) == [("Seats, team a", 4000), ("Seats, team b", 1000)]
    assert december.lines[0].period.start_time.ToJsonString() == "2023-12-01T00:00:00Z"
    said = await require_reproduced(acme, december)
    assert said["Seats, team a"][2] == (
        "When the period began, meter seats had 4 units with team a, counting the events that were recorded up to"
        f" position {december.lines[0].watermark} of the log. They are charged for all of it."
    )
    await require_replayed(acme, invoices)


async def test_added_units_cost_the_days_that_are_left_and_whole_periods_then(world: World, acme: Tenant) -> None:
    """10 units for 15 of 30 days; 4 more, of which 2 lie above the 12 there were, for the last day."""
    await subscribed(acme, charge(standard=standard("10"), prorated=True), recurring=True)
    await used(world, acme, "2023-11-16T12:00", "10")
    await used(world, acme, "2023-11-30", "2", "-2", "4")
    assert [(each.units, each.amount.minor_units) for each in await fees(acme)] == [
        ("10", 5000),
        ("2", 67),
        ("0", 0),
        ("2", 67),
    ]
    invoices = await bill_until(world, acme, "2023-12-01")
    assert billed(invoices)[-1] == ("2023-12-01", 14000)
    first = next(each for each in invoices if each.total.minor_units == 5000)
    said = await require_reproduced(acme, first)
    assert said["Seats"][2:5] == [
        f"Event {first.lines[0].transaction_id} was charged when it was recorded: it added 10 units to the 0 that the"
        " period had added before.",
        "For the days that are left of the period, that is 5 units.",
        "5 units at 10 USD each: 50 USD.",
    ]
    await require_replayed(acme, invoices)


async def test_a_change_of_plan_charges_no_unit_that_is_paid_and_renews_at_its_own_price(
    world: World, acme: Tenant
) -> None:
    await subscribed(acme, charge(standard=standard("10")), recurring=True)
    for code, price in (("within", "20"), ("at the end", "30")):
        await acme.plan(code.replace(" ", "-"), charge(standard=standard(price)), base_fee=None)
    await used(world, acme, "2023-11-05", "5")
    await change(acme, "within")
    await used(world, acme, "2023-11-20", "1")
    await bill_until(world, acme, "2023-12-10")
    await change(acme, "at-the-end", "2024-01-01")
    await bill_until(world, acme, "2024-01-10")
    await terminate(acme, "2024-02-01")
    invoices = await bill_until(world, acme, "2024-03-01")
    assert billed(invoices) == [
        ("2023-11-05", 5000),
        ("2023-11-20", 2000),
        ("2023-12-01", 12000),
        ("2024-01-01", 18000),
    ]
    await require_replayed(acme, invoices)


async def test_a_pause_neither_charges_nor_gives_back_units_that_are_paid(world: World, acme: Tenant) -> None:
    await subscribed(acme, charge(standard=standard("10")), recurring=True)
    await used(world, acme, "2023-11-05", "5")
    await bill_until(world, acme, "2023-11-10")
    await pause(acme)
    await bill_until(world, acme, "2023-11-20")
    await resume(acme)
    await use(acme, "2023-11-20", "1")
    await world.bill()
    assert billed(await bill_until(world, acme, "2023-12-01")) == [
        ("2023-11-05", 5000),
        ("2023-11-20", 1000),
        ("2023-12-01", 6000),
    ]
