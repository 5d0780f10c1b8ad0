"""Plans whose prices depend on the month of the contract."""

from datetime import datetime, timedelta

from google.type import date_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.money import Money
from libs.common.wire import money_out
from services.invoicing.domain.period import zone
from services.invoicing.domain.schedule import months_between
from services.pricing.domain import intervals
from tests.invoicing.test_changes import bill_until
from tests.invoicing.test_kinds_of_charges import require_replayed
from tests.invoicing.test_lines import amounts, require_reproduced
from tests.invoicing.world import MONTHLY, Tenant, World, new_request_id, utc
from tests.simulation.asking import simulate
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.pricing.v1 import pricing_pb2

REQUESTS = pricing_pb2.Charge(
    code="requests", name="Requests", meter_code="requests", standard=pricing_pb2.StandardPrice(unit_price="1")
)
HALF_FEE = pricing_pb2.Phase(
    to_month=2,
    base_fee_percent="-33.33",
    prices=[pricing_pb2.PriceChange(charge_code="requests", percent="-50")],
)
PERCENTAGE = pricing_pb2.ChargePrice(
    percentage=pricing_pb2.PercentagePrice(rate_percent="10", free_transactions=1, fixed_per_transaction="0.3")
)
OTHER_MODEL = pricing_pb2.Phase(
    from_month=2, to_month=3, prices=[pricing_pb2.PriceChange(charge_code="requests", price=PERCENTAGE)]
)
moments = st.integers(0, 10 * 366 * 24 * 60).map(lambda minutes: utc("2020-01-01") + timedelta(minutes=minutes))
zones = st.sampled_from(("UTC", "America/New_York", "Pacific/Auckland")).map(zone)


@settings(max_examples=200)
@given(moments, moments, zones)
def test_months_of_a_contract_are_counted_as_pricing_simulates_them(start: datetime, later: datetime, tz) -> None:  # type: ignore[no-untyped-def]
    assert months_between(start, later, tz) == intervals.months_between(start, later, tz)


async def ramped(
    acme: Tenant,
    *phases: pricing_pb2.Phase,
    start: str,
    in_advance: bool = False,
    trial_days: int = 0,
    charge: pricing_pb2.Charge = REQUESTS,
) -> None:
    await acme.meter("requests")
    await acme.start_clock(start)
    await acme.customer("globex")
    version = pricing_pb2.PlanVersion(
        currency_code="USD",
        billing_interval=MONTHLY,
        base_fee=money_out(Money(3001, "USD")),
        base_fee_in_advance=in_advance,
        trial_days=trial_days,
        charges=[charge],
        phases=phases,
    )
    plan = pricing_pb2.Plan(code="ramp", name="Ramp")
    await acme.pricing.CreatePlan(
        pricing_pb2.CreatePlanRequest(request_id=new_request_id(), plan=plan, version=version)
    )
    await acme.subscribe("s", "globex", "ramp", start)


async def test_months_of_the_contract_have_their_prices_as_simulated(world: World, acme: Tenant) -> None:
    """The contract begins on 15 November: its month 0 begins with the periods of November and December."""
    await ramped(acme, HALF_FEE, OTHER_MODEL, start="2023-11-15")
    for month in ("2023-11-20", "2023-12-20", "2024-01-20", "2024-02-20", "2024-03-20"):
        await acme.events("s", 10, month, prefix=month)
    invoices = await bill_until(world, acme, "2024-04-01")
    assert [amounts(each) for each in invoices] == [
        [("Base fee", 1067), ("Requests", 500)],  # 20.01 × 16/30
        [("Base fee", 2001), ("Requests", 500)],
        [("Base fee", 2001), ("Requests", 500)],
        [("Base fee", 3001), ("Requests", 90 + 270)],  # the first of ten costs nothing
        [("Base fee", 3001), ("Requests", 1000)],
    ]
    await require_replayed(acme, invoices)
    for each, month in zip(invoices, ((2023, 11), (2023, 12), (2024, 1), (2024, 2), (2024, 3)), strict=True):
        await require_reproduced(acme, each)
        simulated = await simulate(acme, "ramp@1", month=date_pb2.Date(year=month[0], month=month[1]))
        assert simulated.cost("s")[0] == each.subtotal.minor_units


async def test_a_fee_in_advance_is_that_of_the_month_it_is_for(world: World, acme: Tenant) -> None:
    """The trial ends within month 0; a fee in advance is on the invoice with the usage of the month before."""
    other = pricing_pb2.Phase(from_month=1, to_month=2, base_fee=money_out(Money(500, "USD")))
    await ramped(acme, other, start="2023-11-01", in_advance=True, trial_days=10)
    await acme.events("s", 10, "2023-11-20")
    invoices = await bill_until(world, acme, "2024-01-01")
    assert [amounts(each) for each in invoices] == [
        [("Base fee", 2001)],  # 30.01 × 20/30
        [("Base fee", 500), ("Requests", 1000)],
        [("Base fee", 3001)],
    ]
    await acme.events("s", 1, "2023-11-21", prefix="late")
    late = (await bill_until(world, acme, "2024-02-01"))[-1]
    assert amounts(late) == [("Base fee", 3001), ("Requests, recorded late", 100)]
    await require_replayed(acme, [*invoices, late])


async def test_usage_that_comes_late_has_the_price_of_its_month(world: World, acme: Tenant) -> None:
    await ramped(acme, HALF_FEE, start="2023-11-01")
    await bill_until(world, acme, "2024-01-01")
    await acme.events("s", 10, "2023-12-20")
    invoices = await bill_until(world, acme, "2024-02-01")
    assert amounts(invoices[-1]) == [("Base fee", 3001), ("Requests, recorded late", 500)]
    await require_replayed(acme, invoices)


async def test_events_in_advance_cost_what_they_do_in_the_month_of_the_contract(world: World, acme: Tenant) -> None:
    """Half a dollar in the first two months, a dollar then."""
    ahead = pricing_pb2.Charge()
    ahead.CopyFrom(REQUESTS)
    ahead.in_advance = True
    await ramped(acme, HALF_FEE, start="2023-11-01", charge=ahead)
    for number, month in enumerate(("2023-11", "2023-12", "2024-01")):
        await acme.advance(f"{month}-10")
        await world.bill()
        await acme.events("s", 3, prefix=f"m{number}", at=f"{month}-10")
        await world.bill()
    invoices = await acme.invoices()
    ahead_of = sorted(each.total.minor_units for each in invoices if each.kind == Invoice.KIND_ADVANCE_USAGE)
    assert ahead_of == [150, 150, 300]
    await require_replayed(acme, invoices)
