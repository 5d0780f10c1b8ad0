"""Usage that passes a threshold of its plan is billed at once, and taken off the invoice of its period."""

import asyncio
from typing import Any

import pytest

from libs.common import money as minor
from libs.common.errors import FailedPrecondition
from services.invoicing.domain.line import Line, LineKind, Source
from services.invoicing.domain.period import Period
from services.invoicing.domain.progressive import net
from services.invoicing.domain.rating import PartKey
from tests.invoicing.test_changes import bill_until, change
from tests.invoicing.test_coupons import apply, coupon
from tests.invoicing.test_kinds_of_charges import charge, require_replayed, standard, use
from tests.invoicing.test_lines import amounts
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.common.v1.money_pb2 import Money
from weir.invoicing.v1 import credit_notes_pb2, drafts_pb2, invoicing_pb2
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import coupons_pb2 as catalog
from weir.pricing.v1 import pricing_pb2
from weir.pricing.v1.thresholds_pb2 import UsageThreshold

PROGRESSIVE = invoicing_pb2.Invoice.KIND_PROGRESSIVE


def at(minor_units: int, *, recurring: bool = False) -> UsageThreshold:
    return UsageThreshold(amount=Money(currency_code="USD", minor_units=minor_units), recurring=recurring)


async def subscribed(acme: Tenant, *thresholds: UsageThreshold, grace_period_days: int = 0, **terms: Any) -> None:
    made = metering_pb2.Meter(
        code="seats",
        aggregation=metering_pb2.Meter.AGGREGATION_SUM,
        value_property="n",
        dimensions=["team"],
    )
    await acme.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=new_request_id(), meter=made))
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", grace_period_days=grace_period_days)
    await acme.plan(
        "p", charge(standard=standard("1"), group_keys=["team"]), base_fee=None, usage_thresholds=thresholds, **terms
    )
    await acme.subscribe("s", "globex", "p", "2023-11-01")


async def used(world: World, acme: Tenant, time: str, n: str, team: str = "a") -> list[invoicing_pb2.Invoice]:
    """The invoices then, oldest first."""
    await acme.advance(time)
    await world.bill()
    await use(acme, time, n, team=team)
    await world.bill()
    return sorted(await acme.invoices(), key=lambda each: each.number)


async def notes(acme: Tenant) -> list[int]:
    answer = await acme.credit_notes.ListCreditNotes(credit_notes_pb2.ListCreditNotesRequest(page_size=100))
    return [each.total.minor_units for each in answer.credit_notes]


async def require_explained(acme: Tenant, invoice: invoicing_pb2.Invoice) -> None:
    for line in invoice.lines:
        request = invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_number=line.number)
        assert (await acme.invoicing.ExplainLine(request)).reproduced


async def test_a_threshold_is_billed_once_and_taken_off_the_invoice_of_the_period(world: World, acme: Tenant) -> None:
    await subscribed(acme, at(10000), at(30000))
    assert await used(world, acme, "2023-11-05", "99") == []
    [first] = await used(world, acme, "2023-11-06", "51")
    assert (first.kind, first.state) == (PROGRESSIVE, invoicing_pb2.Invoice.STATE_FINALIZED)
    assert amounts(first) == [("Seats, team a", 15000)]
    assert len(await used(world, acme, "2023-11-07", "50")) == 1
    [_, second] = await used(world, acme, "2023-11-08", "100", "b")
    assert amounts(second) == [
        ("Seats, team a", 20000),
        ("Seats, team b", 10000),
        ("Seats, team a, billed before", -15000),
    ]
    await used(world, acme, "2023-11-09", "7")
    last = max(await bill_until(world, acme, "2023-12-01"), key=lambda each: each.number)
    assert amounts(last) == [
        ("Seats, team a", 20700),
        ("Seats, team b", 10000),
        ("Seats, team a, billed before", -20000),
        ("Seats, team b, billed before", -10000),
    ]
    assert len(await used(world, acme, "2023-12-05", "900")) == 3  # thresholds are of the lifetime
    invoices = await acme.invoices()
    await require_replayed(acme, invoices)
    for each in invoices:
        await require_explained(acme, each)


def test_of_a_line_no_more_is_given_back_than_its_invoice_bills_beyond_what_was_billed_before() -> None:
    source, period = Source("s", 1, "p", 1), Period(utc("2023-11-01"), utc("2023-12-01"))

    def line(kind: LineKind, code: str, minor_units: int) -> Line:
        amount = minor.Money(minor_units, "USD")
        return Line(kind, code, code, source, period, amount, amount.amount, ())

    def key_of(of: Line) -> tuple[str, PartKey]:
        return of.code, ("", (), None, False)

    lines = [
        line(LineKind.USAGE, "a", 200),
        line(LineKind.USAGE, "b", 50),
        line(LineKind.PROGRESSIVE_CREDIT, "a", -150),
    ]
    assert [net(each, lines, key_of).minor_units for each in lines[:2]] == [50, 50]


async def test_a_recurring_threshold_is_passed_again_and_again(world: World, acme: Tenant) -> None:
    await subscribed(acme, at(10000), at(5000, recurring=True))
    assert [len(await used(world, acme, f"2023-11-{day:02}", "40")) for day in range(2, 9)] == [0, 0, 1, 2, 3, 3, 4]
    totals = [each.total.minor_units for each in await acme.invoices()]
    assert sum(totals) == 28000
    await require_replayed(acme, await acme.invoices())


async def test_a_threshold_has_one_invoice_whoever_races(world: World, acme: Tenant) -> None:
    await subscribed(acme, at(10000))
    await acme.advance("2023-11-05")
    await world.bill()
    await use(acme, "2023-11-05", "150", team="a")
    await asyncio.gather(*(world.bill() for _ in range(5)))
    assert [each.total.minor_units for each in await acme.invoices()] == [15000]


async def test_what_was_billed_too_much_when_usage_shrinks_is_given_back(world: World, acme: Tenant) -> None:
    await subscribed(acme, at(10000))
    await used(world, acme, "2023-11-05", "150")
    await used(world, acme, "2023-11-06", "20", "b")
    await used(world, acme, "2023-11-07", "-60")
    last = max(await bill_until(world, acme, "2023-12-01"), key=lambda each: each.number)
    assert amounts(last) == [
        ("Seats, team a", 9000),
        ("Seats, team b", 2000),
        ("Seats, team a, billed before", -9000),
    ]
    assert await notes(acme) == [6000]
    await require_replayed(acme, await acme.invoices())
    # what shrinks once more, after the period, is given back of what the progressive invoice billed
    await use(acme, "2023-11-10", "-10", team="a")
    await bill_until(world, acme, "2024-01-01")
    assert sorted(await notes(acme)) == [1000, 6000]


async def test_usage_that_shrinks_and_grows_passes_a_threshold_once(world: World, acme: Tenant) -> None:
    await subscribed(acme, at(10000), at(20000))
    await used(world, acme, "2023-11-05", "150")
    await used(world, acme, "2023-11-06", "-60")
    assert len(await used(world, acme, "2023-11-07", "50")) == 1
    await used(world, acme, "2023-11-08", "-100")
    [_, second] = await used(world, acme, "2023-11-09", "200", "b")
    assert amounts(second) == [
        ("Seats, team a", 4000),
        ("Seats, team b", 20000),
        ("Seats, team a, billed before", -4000),
    ]
    assert await notes(acme) == [11000]
    invoices = await bill_until(world, acme, "2023-12-01")
    assert sum(each.total.minor_units for each in invoices) - 11000 == 24000
    await require_replayed(acme, invoices)


async def test_a_draft_keeps_what_it_takes_off_and_leaves_what_comes_late_to_the_next_invoice(
    world: World, acme: Tenant
) -> None:
    """Case sc-pb-02. A progressive invoice has no grace period."""
    await subscribed(acme, at(10000), grace_period_days=3)
    [first] = await used(world, acme, "2023-11-05", "150")
    assert first.state == invoicing_pb2.Invoice.STATE_FINALIZED
    with pytest.raises(FailedPrecondition) as refused:
        await acme.invoicing.VoidInvoice(invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=first.id))
    assert refused.value.reason == "INVOICE_PROGRESSIVE"
    await bill_until(world, acme, "2023-12-01")
    await use(acme, "2023-11-20", "-60", team="a")
    await use(acme, "2023-11-20", "5", team="b")
    [draft] = [each for each in await acme.invoices() if not each.number]
    await acme.drafts.RefreshInvoice(drafts_pb2.RefreshInvoiceRequest(request_id=new_request_id(), id=draft.id))
    [draft] = [each for each in await acme.invoices() if not each.number]
    assert amounts(draft) == [("Seats, team a", 15000), ("Seats, team a, billed before", -15000)]
    await bill_until(world, acme, "2024-01-04")
    invoices = sorted(await acme.invoices(), key=lambda each: each.number)
    assert [amounts(each) for each in invoices[1:]] == [
        [("Seats, team a", 15000), ("Seats, team a, billed before", -15000)],
        [("Seats, team b, recorded late", 500)],
    ]
    assert await notes(acme) == [6000]
    await require_replayed(acme, invoices)


async def test_a_period_that_is_cut_is_less_what_was_billed_of_it(world: World, acme: Tenant) -> None:
    await subscribed(acme, at(10000))
    await acme.plan("new", charge(standard=standard("2"), group_keys=["team"]), base_fee=None)
    await used(world, acme, "2023-11-05", "150")
    await use(acme, "2023-11-05", "7", team="a")
    await acme.advance("2023-11-06")
    await change(acme, "new")
    await world.bill()
    invoices = await bill_until(world, acme, "2023-12-01")
    assert sorted(each.total.minor_units for each in invoices) == [0, 700, 15000]
    await use(acme, "2023-11-05", "-20", team="a")
    await bill_until(world, acme, "2024-01-01")
    assert sum(await notes(acme)) == 2000
    await require_replayed(acme, await acme.invoices())


async def test_a_threshold_that_is_passed_when_the_period_ends_is_billed_once(world: World, acme: Tenant) -> None:
    await subscribed(acme, at(10000))
    for month in range(12, 15):
        await use(acme, f"2023-{month - 1}-25" if month < 14 else "2024-01-25", "150", team=str(month))
        end = "2023-12-01" if month == 12 else f"2024-{month - 12:02}-01"
        await acme.advance(end)
        await asyncio.gather(*(world.bill() for _ in range(5)))
        billed = sum(each.total.minor_units for each in await acme.invoices())
        assert billed == 15000 * (month - 11)
    await require_replayed(acme, await acme.invoices())


async def test_taxes_and_coupons_are_of_what_is_left(world: World, acme: Tenant) -> None:
    await acme.tax("vat", "10")
    await subscribed(acme, at(10000), taxes=("vat",))
    await coupon(acme, "half", rate_percent="50", frequency=catalog.Coupon.FREQUENCY_FOREVER)
    await apply(acme, "half")
    [first] = await used(world, acme, "2023-11-05", "150")
    assert (first.discount.minor_units, first.tax.minor_units, first.total.minor_units) == (7500, 750, 8250)
    await used(world, acme, "2023-11-06", "50")
    invoices = await bill_until(world, acme, "2023-12-01")
    last = max(invoices, key=lambda each: each.number)
    assert (last.discount.minor_units, last.tax.minor_units, last.total.minor_units) == (2500, 250, 2750)
    await require_replayed(acme, invoices)


async def test_a_minimum_is_known_at_the_end_of_the_period_and_prorated_units_when_they_pass_a_threshold(
    world: World, acme: Tenant
) -> None:
    """200 seats at a dollar for 15 of 30 days pass 100.00; calls have a minimum of 50.00, of which 10.00 are used."""
    seats = charge(standard=standard("1"), prorated=True)
    calls = pricing_pb2.Charge(code="calls", name="Calls", meter_code="calls", minimum_amount="50")
    calls.standard.CopyFrom(standard("1"))
    for code, recurring in (("seats", True), ("calls", False)):
        made = metering_pb2.Meter(
            code=code,
            event_code="seats" if recurring else "calls",
            aggregation=metering_pb2.Meter.AGGREGATION_SUM,
            value_property="n",
            recurring=recurring,
        )
        await acme.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=new_request_id(), meter=made))
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.plan("p", seats, calls, base_fee=None, usage_thresholds=[at(10000)])
    await acme.subscribe("s", "globex", "p", "2023-11-01")
    [first] = await used(world, acme, "2023-11-16", "200")
    assert amounts(first) == [("Seats", 10000)]
    await used(world, acme, "2023-11-21", "-100")
    invoices = await bill_until(world, acme, "2023-12-01")
    last = max(invoices, key=lambda each: each.number)
    # 200 seats for 15 days, and from the 21st, half of them for 10
    assert amounts(last) == [
        ("Seats", 6667),
        ("Calls, up to the minimum", 5000),
        ("Seats, billed before", -6667),
    ]
    assert await notes(acme) == [3333]
    await require_replayed(acme, invoices)
