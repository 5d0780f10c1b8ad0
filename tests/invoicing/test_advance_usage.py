"""Usage in advance: each event is charged when it is recorded, once, for what it raises the price of all usage by."""

import asyncio

import pytest

from libs.common.errors import FailedPrecondition
from tests.invoicing.test_changes import bill_until, change
from tests.invoicing.test_kinds_of_charges import require_replayed, standard, subscribed, tiers, use
from tests.invoicing.test_lines import amounts, require_reproduced
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import advance_fees_pb2, invoicing_pb2
from weir.metering.v1 import corrections_pb2, metering_pb2
from weir.pricing.v1 import pricing_pb2


def charge(**price: object) -> pricing_pb2.Charge:
    made = pricing_pb2.Charge(code="seats", name="Seats", meter_code="seats", in_advance=True)
    made.MergeFrom(pricing_pb2.Charge(**price))  # type: ignore[arg-type]
    return made


async def fees(acme: Tenant) -> list[advance_fees_pb2.AdvanceFee]:
    request = advance_fees_pb2.ListAdvanceFeesRequest(subscription_id="s", page_size=2)
    found: list[advance_fees_pb2.AdvanceFee] = []
    while True:
        answer = await acme.advance_fees.ListAdvanceFees(request)
        found += answer.advance_fees
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def used(world: World, acme: Tenant, at: str, *units: str, **properties: str) -> None:
    """Each event is charged before the next one comes."""
    await acme.advance(at)
    await world.bill()
    for n in units:
        await use(acme, at, n, **properties)
        await world.bill()


async def test_what_lies_above_the_high_water_mark_has_an_invoice_at_once(world: World, acme: Tenant) -> None:
    """Case sc-pia-04; what is charged in advance is not billed at the end of the period."""
    await subscribed(acme, charge(standard=standard("1")))
    await used(world, acme, "2023-11-15", "10", "-4", "8")
    found = await fees(acme)
    assert [(each.units, each.amount.minor_units) for each in found] == [("10", 1000), ("0", 0), ("4", 400)]
    assert [bool(each.invoice_id) for each in found] == [True, False, True]
    invoices = await acme.invoices(subscription_id="s")
    assert [amounts(each) for each in invoices] == [[("Seats", 1000)], [("Seats", 400)]]
    assert [each.state for each in invoices] == [invoicing_pb2.Invoice.STATE_FINALIZED] * 2
    said = await require_reproduced(acme, invoices[1])
    assert said["Seats"][2].startswith(
        f"Event {found[2].transaction_id} was charged when it was recorded: it brought usage from 10 units to 14 units."
    )
    invoices = await bill_until(world, acme, "2023-12-01")
    assert amounts(max(invoices, key=lambda each: each.number)) == []
    await used(world, acme, "2023-12-02", "3")
    assert [(each.units, each.amount.minor_units) for each in await fees(acme)][3:] == [("3", 300)]  # a new period
    await require_replayed(acme, await acme.invoices())


async def test_fees_that_are_not_invoiceable_wait_for_the_invoice_of_the_period(world: World, acme: Tenant) -> None:
    """Case sc-pia-07: packages of 2 after 3 free units, with usage in arrears beside it."""
    package = pricing_pb2.PackagePrice(package_size="2", package_price="100", free_units="3")
    arrears = pricing_pb2.Charge(code="all", name="All", meter_code="seats", standard=standard("0.01"))
    await subscribed(acme, charge(package=package, invoiceable=False), arrears)
    await used(world, acme, "2023-11-15", "3", "1", "2")
    assert [each.amount.minor_units for each in await fees(acme)] == [0, 10000, 10000]
    assert await acme.invoices() == []
    [invoice] = await bill_until(world, acme, "2023-12-01")
    assert amounts(invoice) == [("All", 6), ("Seats", 10000), ("Seats", 10000)]
    assert [each.invoice_id for each in await fees(acme)] == ["", invoice.id, invoice.id]
    for line in invoice.lines:
        request = invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_number=line.number)
        assert (await acme.invoicing.ExplainLine(request)).reproduced
    await require_replayed(acme, [invoice])


async def test_filters_groups_and_tiers_are_charged_apart(world: World, acme: Tenant) -> None:
    graduated = pricing_pb2.GraduatedPrice(tiers=tiers("10", "1", "0.5"))
    graduated.tiers[0].flat_fee = "7"
    filters = [
        pricing_pb2.ChargeFilter(
            code="b",
            name="Team b",
            properties=[pricing_pb2.PropertyFilter(property="team", values=["b"])],
            standard=standard("2"),
        )
    ]
    await subscribed(acme, charge(graduated=graduated, filters=filters, group_keys=["team"]))
    await used(world, acme, "2023-11-15", "8", "4", team="a")
    await used(world, acme, "2023-11-16", "3", team="b")
    await used(world, acme, "2023-11-17", "1", team="c")
    found = [(each.description, each.units, each.amount.minor_units) for each in await fees(acme)]
    assert found == [
        ("Seats, team a", "8", 1500),  # with the flat fee of the first tier
        ("Seats, team a", "4", 300),
        ("Team b, team b", "3", 600),
        ("Seats, team c", "1", 800),
    ]
    await require_replayed(acme, await acme.invoices())


async def test_transactions_are_free_in_the_order_of_recording(world: World, acme: Tenant) -> None:
    """Case sc-pia-09."""
    percentage = pricing_pb2.PercentagePrice(rate_percent="5", fixed_per_transaction="1", free_transactions=2)
    await subscribed(acme, charge(percentage=percentage))
    await used(world, acme, "2023-11-14", "8", "5", "3")
    assert [each.amount.minor_units for each in await fees(acme)] == [0, 0, 115]
    await require_replayed(acme, await acme.invoices())


async def test_events_are_charged_once_whoever_races(world: World, acme: Tenant) -> None:
    """Events that are found together are on one invoice; each is by the plan of its time."""
    await subscribed(acme, charge(standard=standard("1")))
    await acme.plan("new", charge(standard=standard("3")), base_fee=None)
    await acme.advance("2023-11-10")
    await world.bill()
    for n in range(20):
        await use(acme, "2023-11-09", str(n + 1))
    await asyncio.gather(*(world.bill() for _ in range(4)))
    assert sum(each.amount.minor_units for each in await fees(acme)) == 21000
    [invoice] = await acme.invoices()
    assert (invoice.total.minor_units, len(invoice.lines)) == (21000, 20)
    await change(acme, "new")
    await use(acme, "2023-11-10", "2")
    await use(acme, "2023-11-09T12:00", "2")  # late, of the phase before
    await world.bill()
    assert sorted(each.amount.minor_units for each in await fees(acme))[:1] == [100]
    assert [each.amount.minor_units for each in await fees(acme)][20:] == [600, 200]
    await require_replayed(acme, await acme.invoices())


async def test_units_that_go_on_into_the_next_period_are_not_sold_in_advance_by_tiers(acme: Tenant) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await subscribed(
            acme, charge(graduated=pricing_pb2.GraduatedPrice(tiers=tiers("10", "2", "1"))), recurring=True
        )
    assert (refused.value.reason, refused.value.metadata["fields"]) == ("PLAN_UNSUPPORTED", "charges.seats.in_advance")


async def test_of_an_event_that_is_amended_only_what_lies_above_all_that_was_charged_costs_more(
    world: World, acme: Tenant
) -> None:
    await subscribed(acme, charge(standard=standard("1")))
    await used(world, acme, "2023-11-15", "10", "5")
    [first, _] = await fees(acme)
    for n in ("12", "1"):
        made = metering_pb2.Event(
            transaction_id=first.transaction_id,
            subscription_id="s",
            code="seats",
            timestamp=first.event_time,
            properties={"n": n},
        )
        wrong = corrections_pb2.EventChange(
            subscription_id="s",
            transaction_id=first.transaction_id,
            timestamp=first.event_time,
            reason="wrong",
            replacement=made,
        )
        amended = corrections_pb2.ListAmendmentsRequest(subscription_id="s")
        for each in (await acme.corrections.ListAmendments(amended)).amendments:
            wrong.expected_amendment_id = each.id
        asked = corrections_pb2.AmendEventsRequest(request_id=new_request_id(), changes=[wrong])
        assert not (await acme.corrections.AmendEvents(asked)).failures
        await world.bill()
    assert [each.amount.minor_units for each in await fees(acme)] == [1000, 500, 200, 0]
    await require_replayed(acme, await acme.invoices())
