"""Fixed charges: units of an add-on with every period, in arrears and in advance, and what changes of units bill."""

import pytest

from libs.common.errors import Conflict, NotFound
from libs.common.money import Money
from libs.common.wire import money_out
from tests.invoicing.test_changes import asked_preview, change, change_to, terminate
from tests.invoicing.test_changes import bill_until as by_period
from tests.invoicing.test_kinds_of_charges import require_replayed, standard, tiers
from tests.invoicing.test_lines import require_reproduced
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import fixed_charges_pb2, invoicing_pb2
from weir.invoicing.v1.fixed_charges_pb2 import SetFixedChargeUnitsRequest
from weir.pricing.v1 import addons_pb2, pricing_pb2

NEXT = SetFixedChargeUnitsRequest.EFFECTIVE_NEXT_PERIOD


def fixed(code: str, units: str, price: str = "10", **terms: object) -> pricing_pb2.FixedCharge:
    """At a standard price, unless `terms` have another one."""
    made = pricing_pb2.FixedCharge(code=code, add_on_code="seat", units=units, **terms)  # type: ignore[arg-type]
    if made.WhichOneof("price") is None:
        made.standard.CopyFrom(standard(price))
    return made


async def subscribed(
    acme: Tenant,
    *charges: pricing_pb2.FixedCharge,
    start: str = "2024-03-01",
    grace_period_days: int = 0,
    **terms: object,
) -> None:
    add_on = addons_pb2.AddOn(code="seat", name="Seat", currency_code="USD", amount=money_out(Money(0, "USD")))
    await acme.add_ons.CreateAddOn(addons_pb2.CreateAddOnRequest(request_id=new_request_id(), add_on=add_on))
    await acme.start_clock("2024-03-01")
    await acme.customer("globex", grace_period_days=grace_period_days)
    terms.setdefault("base_fee", None)
    await acme.plan("p", fixed_charges=charges, **terms)  # type: ignore[arg-type]
    await acme.subscribe("s", "globex", "p", start)


async def bill_until(world: World, acme: Tenant, to: str) -> list[invoicing_pb2.Invoice]:
    """Every invoice, by its number."""
    return sorted(await by_period(world, acme, to), key=lambda each: each.number[-6:])


async def set_units(
    acme: Tenant,
    code: str,
    units: str,
    effective: "SetFixedChargeUnitsRequest.Effective.ValueType" = SetFixedChargeUnitsRequest.EFFECTIVE_NOW,
    request_id: str = "",
) -> list[fixed_charges_pb2.FixedChargeUnits]:
    request = SetFixedChargeUnitsRequest(
        request_id=request_id or new_request_id(), subscription_id="s", code=code, units=units, effective=effective
    )
    return list((await acme.fixed_charges.SetFixedChargeUnits(request)).units)


def fees(invoices: list[invoicing_pb2.Invoice]) -> list[list[tuple[str, int]]]:
    return [[(line.code, line.amount.minor_units) for line in each.lines] for each in invoices]


async def test_in_arrears_a_period_costs_what_there_is_at_its_end_or_the_days_of_each(
    world: World, acme: Tenant
) -> None:
    """Subscribed on the 11th of 31 days; 10 units become 20 on the 21st, and 5 in April."""
    graduated = pricing_pb2.GraduatedPrice(tiers=tiers("10", "10", "1"))
    await subscribed(
        acme,
        fixed("whole", "10"),
        fixed("days", "10", prorated=True),
        fixed("tiers", "10", prorated=True, graduated=graduated),
        start="2024-03-11T09:00",
    )
    await bill_until(world, acme, "2024-03-21T15:00")
    for code in ("whole", "days", "tiers"):
        await set_units(acme, code, "20")
        await set_units(acme, code, "5", NEXT)
    invoices = await bill_until(world, acme, "2024-05-01")
    # 10 × 10 + 20 × 11 of 31 days; of the tiers, 10 units for 21 days and 10 more for 11
    assert fees(invoices) == [
        [("whole", 20000), ("days", 10323), ("tiers", 6774 + 355)],
        [("whole", 5000), ("days", 5000), ("tiers", 5000)],
    ]
    assert {line.description for line in invoices[0].lines} == {"Seat"}
    said = await require_reproduced(acme, invoices[1])
    assert said["Seat"][2:5] == [
        "5 units are billed.",
        "For the days on which they are held, that is 5 units.",
        "5 units at 10 USD each: 50 USD.",
    ]
    await require_replayed(acme, invoices)


async def test_units_in_advance_are_billed_at_once_and_only_what_lies_above_what_was_billed(
    world: World, acme: Tenant
) -> None:
    """Case sc-fc-03, and its prorated twin."""
    await subscribed(acme, fixed("a", "10", in_advance=True), fixed("b", "10", in_advance=True, prorated=True))
    asked = invoicing_pb2.PreviewInvoiceRequest(subscription_id="s")
    foreseen = (await acme.invoicing.PreviewInvoice(asked)).invoice
    assert fees([foreseen]) == [[("a", 10000), ("b", 10000)]]
    assert fees(await bill_until(world, acme, "2024-03-06")) == fees([foreseen])
    await set_units(acme, "a", "5")
    await bill_until(world, acme, "2024-03-11")
    await set_units(acme, "a", "15")
    await world.bill()
    await bill_until(world, acme, "2024-03-16T12:00")
    await set_units(acme, "b", "12")
    foreseen = (await acme.invoicing.PreviewInvoice(asked)).invoice
    invoices = await bill_until(world, acme, "2024-04-01")
    # 2 more units of b for 16 of 31 days
    assert fees(invoices)[1:] == [[("a", 0)], [("a", 5000)], [("b", 1032)], [("a", 15000), ("b", 12000)]]
    assert fees([foreseen]) == [[("b", 1032)]]
    assert [each.settlements[0].is_addition for each in invoices] == [True, True, True, True, False]
    said = await require_reproduced(acme, invoices[3])
    assert said["Seat"][2:5] == [
        "The period was billed for 10 units before; 2 units more are billed.",
        "For the days on which they are held, that is 1.032258064516129032258065 units.",
        "1.032258064516129032258065 units at 10 USD each: 10.322580645161290322580645 USD.",
    ]
    await require_replayed(acme, invoices)


async def test_changes_at_one_instant_are_one_after_the_other_and_a_later_one_makes_way(
    world: World, acme: Tenant
) -> None:
    await subscribed(acme, fixed("a", "10", in_advance=True), start="2024-03-05")
    assert [each.units for each in await set_units(acme, "a", "8")] == ["8"]
    assert [each.units for each in await set_units(acme, "a", "7")] == ["7"]  # it has not begun
    await bill_until(world, acme, "2024-03-05")
    twice = new_request_id()
    await set_units(acme, "a", "9", NEXT)
    await set_units(acme, "a", "10", request_id=twice)
    changes = await set_units(acme, "a", "10", request_id=twice)
    assert [(each.units, each.effective_time.ToJsonString()) for each in changes] == [
        ("7", "2024-03-05T00:00:00Z"),
        ("10", "2024-03-05T00:00:00.000001Z"),
    ]
    with pytest.raises(Conflict) as reused:
        await set_units(acme, "a", "11", request_id=twice)
    assert reused.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(NotFound) as unknown:
        await set_units(acme, "b", "11")
    assert unknown.value.reason == "FIXED_CHARGE_NOT_FOUND"
    invoices = await bill_until(world, acme, "2024-05-01")
    assert fees(invoices) == [[("a", 7000)], [("a", 3000)], [("a", 10000)], [("a", 10000)]]
    listed = await acme.fixed_charges.GetFixedChargeUnits(
        fixed_charges_pb2.GetFixedChargeUnitsRequest(subscription_id="s")
    )
    assert list(listed.units) == changes
    await require_replayed(acme, invoices)


async def test_a_change_of_plan_ends_the_units_of_the_old_one(world: World, acme: Tenant) -> None:
    """The days of the old plan's units and of the new plan's tile the month, as base fees do."""
    await subscribed(acme, fixed("a", "10", prorated=True), base_fee=1000)
    await acme.plan("new", fixed_charges=[fixed("a", "1", prorated=True, in_advance=True)], base_fee=2000)
    await bill_until(world, acme, "2024-03-11T08:00")
    await set_units(acme, "a", "20")
    await bill_until(world, acme, "2024-03-21T08:00")
    foreseen = (await acme.changes.PreviewChange(asked_preview(change_to("new")))).invoices
    await change(acme, "new")
    await set_units(acme, "a", "4", NEXT)
    invoices = await bill_until(world, acme, "2024-04-01")
    # 10 × 10 + 20 × 10 of 31 days; one unit for 11 days from its beginning on
    assert fees(invoices)[:2] == [[("base", 645), ("a", 9677), ("a", 355)], [("base", 710), ("a", 4000)]]
    assert fees(list(foreseen)) == fees(invoices)[:1]
    await terminate(acme, "2024-04-15T12:00")
    invoices = await bill_until(world, acme, "2024-06-01")
    assert fees(invoices)[2:] == [[("base", 1000)]]
    await require_replayed(acme, invoices)


async def test_units_are_charged_in_a_trial_while_the_fee_in_advance_waits(world: World, acme: Tenant) -> None:
    await subscribed(acme, fixed("a", "2", in_advance=True), base_fee=3000, in_advance=True, trial_days=15)
    invoices = await bill_until(world, acme, "2024-04-01")
    assert fees(invoices) == [[("a", 2000)], [("base", 1548)], [("base", 3000), ("a", 2000)]]
    await require_replayed(acme, invoices)


async def test_a_fee_and_units_in_advance_are_on_one_invoice(world: World, acme: Tenant) -> None:
    await subscribed(acme, fixed("a", "2", in_advance=True), base_fee=3100, in_advance=True)
    invoices = await bill_until(world, acme, "2024-04-01")
    assert [sorted(each) for each in fees(invoices)] == [[("a", 2000), ("base", 3100)]] * 2
    first = invoices[0]
    assert sorted((each.is_addition, each.is_opening) for each in first.settlements) == [(False, True), (True, False)]
    assert first.issue_date.day == utc("2024-03-01").day
