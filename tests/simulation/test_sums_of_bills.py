"""Plans of other intervals than the period, and charges in advance, cost what the invoices of them come to."""

from collections import Counter

import pytest
from google.type.date_pb2 import Date

from tests.invoicing.test_advance_usage import charge, used
from tests.invoicing.test_kinds_of_charges import standard, subscribed, tiers
from tests.invoicing.world import Tenant, World
from tests.simulation.asking import Answer, simulate
from tests.simulation.test_simulate import sell, two_plans
from weir.pricing.v1.pricing_pb2 import (
    Charge,
    ChargeFilter,
    DynamicPrice,
    GraduatedPrice,
    PackagePrice,
    PercentagePrice,
    PlanVersion,
    PropertyFilter,
)

YEARLY = PlanVersion.BILLING_INTERVAL_YEARLY


async def invoiced(acme: Tenant, world: World, to: str) -> Counter[str]:
    """What all invoices of each subscription come to."""
    await acme.advance(to)
    await world.bill()
    found = Counter[str]()
    for invoice in await acme.invoices():
        found[invoice.subscription_id] += invoice.subtotal.minor_units
    return found


def before(found: Answer) -> Counter[str]:
    assert not found.sums.failed_count, found.changes
    return Counter({each.subscription_id: each.before.amount.minor_units for each in found.changes})


@pytest.mark.parametrize(
    "interval", [PlanVersion.BILLING_INTERVAL_WEEKLY, PlanVersion.BILLING_INTERVAL_QUARTERLY, YEARLY]
)
async def test_a_year_costs_all_its_invoices_and_months_that_tile_it_the_same(
    acme: Tenant, world: World, interval: "PlanVersion.BillingInterval.ValueType"
) -> None:
    """The year 2024 begins with a Monday, so weeks are not cut."""
    await two_plans(acme)
    await sell(acme, "other", interval, trial_days=3)
    await acme.start_clock("2023-10-01")
    await acme.customer("c", "Europe/Berlin")
    for name, plan, start in (("s", "classic", "2023-10-10"), ("t", "other", "2023-11-22T12:00")):
        await acme.subscribe(name, "c", plan, start)
        for month in (10, 11, 12):
            await acme.events(name, 100 * month, at=f"2023-{month}-24", prefix=f"{name}{month}")
    year = await simulate(acme, "other", "classic", month=None, start_date=Date(year=2023, month=1, day=1), interval=5)
    months = [
        await simulate(acme, "other", "classic", month=Date(year=2023, month=month), watermark=year.sums.watermark)
        for month in (10, 11, 12)
    ]
    bills = await invoiced(acme, world, "2024-01-02")
    assert before(year) == sum(map(before, months), Counter[str]()) == bills
    assert year.cost("s")[2] == bills["s"]
    assert year.cost("t")[1] == bills["t"]
    for index in range(2):
        of_months = sum(each.sums.after[index].amount.minor_units for each in months)
        assert year.sums.after[index].amount.minor_units == of_months
    assert len({each.sums.digest for each in (year, *months)}) == 4


async def test_a_plan_of_other_intervals_is_told_by_the_tiers_of_its_own_bills(acme: Tenant) -> None:
    """Four months use 1,500 each: a tier up to 2,000 is left in the second, where a year is one bill."""
    await acme.meter("requests")
    price = GraduatedPrice(tiers=tiers("2000", "0.02", "0.01"))
    for code, interval in (("monthly", PlanVersion.BILLING_INTERVAL_MONTHLY), ("yearly", YEARLY)):
        requests = Charge(code="requests", meter_code="requests", graduated=price)
        await acme.plan(code, requests, base_fee=None, interval=interval)
    await acme.customer("c")
    await acme.subscribe("s", "c", "monthly", "2023-01-01")
    for month in ("03", "05", "07", "11"):
        await acme.events("s", 1500, at=f"2023-{month}-24", prefix=month)
    november = await simulate(acme, "yearly")
    assert november.cost("s") == [3000, 1500]
    [change] = november.changes
    assert [each.tier for each in change.before.reached_tiers] == []
    assert [each.tier for each in change.after[0].reached_tiers] == [2]
    year = await simulate(acme, "yearly", month=None, start_date=Date(year=2023, month=1, day=1))
    assert year.cost("s") == [12000, 8000]


@pytest.mark.parametrize("prorated", [False, True])
async def test_units_in_advance_are_charged_when_they_are_added_and_renewed_with_each_period(
    acme: Tenant, world: World, *, prorated: bool
) -> None:
    """November has the first units, December renews 4 and adds some, January renews all of them."""
    seats = charge(standard=standard("10.05"), group_keys=["team"])
    seats.prorated = prorated
    await subscribed(acme, seats, recurring=True)
    await used(world, acme, "2023-11-05", "5", team="a")
    await used(world, acme, "2023-11-20", "-2", "1", team="a")
    await used(world, acme, "2023-12-10", "3", team="b")
    months = [await simulate(acme, "p", month=Date(year=2023, month=month)) for month in (11, 12)]
    quarter = await simulate(acme, "p", month=None, start_date=Date(year=2023, month=10, day=1), interval=3)
    bills = await invoiced(acme, world, "2024-01-02")
    january = 4 * 1005 + 3 * 1005  # which is renewed when December ends
    assert sum(map(before, months), Counter[str]()).total() == bills.total() - january
    assert before(quarter).total() == bills.total() - january


async def test_usage_in_advance_costs_the_fees_of_its_events(acme: Tenant, world: World) -> None:
    """Rounded one by one, over filters, groups, allowances and amounts; nothing is given back."""
    graduated = GraduatedPrice(tiers=tiers("10", "0.333", "0.5"))
    graduated.tiers[0].flat_fee = "7"
    team = [PropertyFilter(property="team", values=["b"])]
    charges = [
        charge(
            graduated=graduated,
            filters=[ChargeFilter(code="b", properties=team, standard=standard("0.005"))],
            group_keys=["team"],
        ),
        charge(percentage=PercentagePrice(rate_percent="5", fixed_per_transaction="1", free_transactions=2)),
        charge(percentage=PercentagePrice(rate_percent="1", fixed_per_transaction="0.25")),
        charge(percentage=PercentagePrice(rate_percent="9", maximum_per_transaction="0.4"), invoiceable=False),
        charge(package=PackagePrice(package_size="2", package_price="3", free_units="3"), invoiceable=False),
        charge(dynamic=DynamicPrice()),
    ]
    for number, each in enumerate(charges):
        each.code = f"c{number}"
    await subscribed(acme, *charges)
    await used(world, acme, "2023-11-15", "8", "-4.5", "6", "0.3", team="a")
    await used(world, acme, "2023-11-16", "3", "1", team="b")
    await used(world, acme, "2023-11-17", "1")
    found = await simulate(acme, "p")
    bills = await invoiced(acme, world, "2023-12-02")
    assert found.cost("s") == [bills.total()] * 2  # immediate invoices name no subscription
    assert bills.total() == 4413
    for each in charges:
        each.in_advance = False
        each.ClearField("invoiceable")
    await acme.plan("arrears", *charges, base_fee=None)
    assert (await simulate(acme, "arrears")).cost("s")[1] != bills.total()
