"""Base fees in advance and trials: when they are charged, and what changes and ends make of them."""

import pytest

from tests.invoicing.test_changes import (
    DOLLAR_EACH,
    MICROSECOND,
    PlanChange,
    asked_preview,
    bill_until,
    change,
    change_to,
    event,
)
from tests.invoicing.world import Tenant, World, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import pricing_pb2


async def test_at_a_change_the_new_fee_in_advance_is_charged_at_once(world: World, acme: Tenant) -> None:
    """Case sc-inv-13, without its credit: 18 of 29 days of the new fee, then a whole one."""
    await acme.start_clock("2024-01-01")
    await acme.customer("globex")
    await acme.plan("p", base_fee=2900, in_advance=True)
    await acme.plan("new", base_fee=29000, in_advance=True)
    await acme.subscribe("s", "globex", "p", "2024-01-01")
    await bill_until(world, acme, "2024-02-12T06:00:00")
    keep = PlanChange.ON_UNUSED_FEE_KEEP
    asked = asked_preview(change_to("new", on_unused_fee=keep))
    foreseen = (await acme.changes.PreviewChange(asked)).invoices
    await change(acme, "new", on_unused_fee=keep)
    await bill_until(world, acme, "2024-03-01T12:12:00")
    invoices = await acme.invoices()
    assert [[line.amount.minor_units for line in each.lines] for each in invoices] == [
        [2900],
        [2900],
        [18000],
        [29000],
    ]
    assert [each.total for each in foreseen] == [each.total for each in invoices[2:3]]
    for each in invoices:
        assert (await acme.invoicing.ReplayInvoice(invoicing_pb2.ReplayInvoiceRequest(id=each.id))).reproduced


@pytest.mark.parametrize(("in_advance", "charged"), [(True, "2024-04-19T12:12:00"), (False, "2024-05-01T00:00:00")])
async def test_a_trial_is_free_of_base_fees(world: World, acme: Tenant, in_advance: bool, charged: str) -> None:
    """Case sc-trial-05: usage is billed on 1 April, and 12 of 30 days of the fee when the trial has ended."""
    ten = pricing_pb2.Charge()
    ten.CopyFrom(DOLLAR_EACH)
    ten.standard.unit_price = "10"
    await acme.meter("tokens", "tokens")
    await acme.start_clock("2024-03-05T12:12:00")
    await acme.customer("globex")
    await acme.plan("p", ten, base_fee=5000000, in_advance=in_advance, trial_days=45)
    await acme.subscribe("s", "globex", "p", "2024-03-05T12:12:00")
    await event(acme, utc("2024-03-10"), "e1")
    [usage] = await bill_until(world, acme, "2024-04-01")
    assert [(line.code, line.amount.minor_units) for line in usage.lines] == [("tokens", 1000)]
    before = (utc(charged) - MICROSECOND).isoformat()
    assert len(await bill_until(world, acme, before)) == 1
    await bill_until(world, acme, charged)
    [_, fee] = await acme.invoices()
    assert [(line.code, line.amount.minor_units) for line in fee.lines] == [("base", 2000000)]
