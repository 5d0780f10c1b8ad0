"""Units of an add-on that were paid in advance by the day are deducted from what the next plan charges for it."""

import asyncio

import pytest

from libs.common.errors import FailedPrecondition
from tests.invoicing.test_changes import asked_preview, change, change_to
from tests.invoicing.test_credit_notes import create, void_invoice, wanted
from tests.invoicing.test_fixed_charges import bill_until, fees, fixed, set_units, subscribed
from tests.invoicing.test_kinds_of_charges import require_replayed
from tests.invoicing.test_lines import require_reproduced
from tests.invoicing.test_pauses import pause, resume
from tests.invoicing.test_regenerated import regenerate
from tests.invoicing.test_worker_process import COMPLETED
from tests.invoicing.world import Tenant, World
from weir.invoicing.v1.invoicing_pb2 import Invoice, InvoiceLine

DEDUCTION = InvoiceLine.KIND_DEDUCTION


async def upgraded(world: World, acme: Tenant, until: str = "2024-03-25T09:00") -> list[Invoice]:
    """22 of 31 days of five seats at 10, then the last 10 days of four at 30, as of the 22nd."""
    await subscribed(acme, fixed("seats", "5", in_advance=True, prorated=True), start="2024-03-10T12:00")
    await acme.plan(
        "up",
        fixed_charges=[
            fixed("other", "1", in_advance=True),
            fixed("more", "4", "30", in_advance=True, prorated=True),
        ],
        base_fee=None,
    )
    await bill_until(world, acme, "2024-03-22T12:00")
    foreseen = (await acme.changes.PreviewChange(asked_preview(change_to("up")))).invoices
    await change(acme, "up")
    invoices = await bill_until(world, acme, until)
    assert fees(list(foreseen)) == fees(invoices[1:2])
    return invoices


async def test_what_is_left_of_paid_days_is_deducted_and_no_more_than_is_charged(world: World, acme: Tenant) -> None:
    invoices = await upgraded(world, acme)
    # 35.48 for 22 days, of which 10 are left; what is not sold by the day has nothing to do with it
    assert fees(invoices) == [[("seats", 3548)], [("other", 1000), ("more", 3871), ("more", -1613)]]
    deduction = invoices[1].lines[2]
    assert (deduction.kind, deduction.deducted.invoice_id, deduction.deducted.number) == (DEDUCTION, invoices[0].id, 1)
    await acme.plan("top", fixed_charges=[fixed("few", "1", in_advance=True, prorated=True)], base_fee=None)
    await set_units(acme, "more", "6")
    await bill_until(world, acme, "2024-03-29")
    await change(acme, "top")
    invoices = await bill_until(world, acme, "2024-04-02")
    # two more seats for 7 days; of these and the four, 3 days are left, which is more than one seat costs
    assert fees(invoices)[2:] == [[("more", 1355)], [("few", 97), ("few", -97)], [("few", 1000)]]
    said = await require_reproduced(acme, invoices[1])
    assert said["Seat, paid before"][2] == (
        f"Line 1 of invoice {invoices[0].id} charged 35.48 USD in advance for the same add-on; 10 of its 22 days are"
        " left, which is 16.127272727273 USD. As much is deducted, but no more than this invoice charges for it."
    )
    await require_replayed(acme, invoices)


async def test_what_is_deducted_is_given_back_no_second_time(world: World, acme: Tenant) -> None:
    [first, second] = await upgraded(world, acme)
    with pytest.raises(FailedPrecondition) as deducted:
        await void_invoice(acme, first)
    assert deducted.value.reason == "INVOICE_DEDUCTED"
    with pytest.raises(FailedPrecondition) as exceeded:
        await create(acme, wanted(first, 3548))
    assert exceeded.value.reason == "CREDIT_EXCEEDS_LINE"
    await void_invoice(acme, second)
    made = await regenerate(acme, second)
    assert fees([made]) == fees([second])
    await void_invoice(acme, made)
    assert (await create(acme, wanted(first, 3548))).total.minor_units == 3548
    with pytest.raises(FailedPrecondition) as credited:
        await regenerate(acme, made)
    assert credited.value.reason == "INVOICE_CREDITED"


async def test_only_what_is_left_of_a_line_is_deducted(world: World, acme: Tenant) -> None:
    """A note gave half of it back."""
    await subscribed(acme, fixed("seats", "5", in_advance=True, prorated=True))
    await acme.plan("up", fixed_charges=[fixed("more", "10", in_advance=True, prorated=True)], base_fee=None)
    [first] = await bill_until(world, acme, "2024-03-22")
    await create(acme, wanted(first, 2500))
    await change(acme, "up")
    invoices = await bill_until(world, acme, "2024-03-23")
    assert fees(invoices) == [[("seats", 5000)], [("more", 3226), ("more", -806)]]
    await require_replayed(acme, invoices)


async def test_nothing_of_a_void_invoice_is_deducted(world: World, acme: Tenant) -> None:
    await subscribed(acme, fixed("seats", "5", in_advance=True, prorated=True))
    await acme.plan("up", fixed_charges=[fixed("more", "10", in_advance=True, prorated=True)], base_fee=None)
    [first] = await bill_until(world, acme, "2024-03-22")
    await void_invoice(acme, first)
    await change(acme, "up")
    assert fees(await bill_until(world, acme, "2024-03-23"))[1:] == [[("more", 3226)]]


async def test_what_is_deducted_of_a_draft_ends_its_grace_period(world: World, acme: Tenant) -> None:
    await subscribed(acme, fixed("seats", "5", in_advance=True, prorated=True), grace_period_days=10)
    await acme.plan("up", fixed_charges=[fixed("more", "10", in_advance=True, prorated=True)], base_fee=None)
    await bill_until(world, acme, "2024-03-05")
    await change(acme, "up")
    run_id = await acme.advance("2024-03-06")
    async with asyncio.timeout(20):
        while (await acme.run(run_id)).state != COMPLETED:  # the bill waits until the draft is final
            await world.bill()
            await asyncio.sleep(0.1)
    invoices = await acme.invoices()
    found = {each.state: its for each, its in zip(invoices, fees(invoices), strict=True) if its}
    assert found == {
        Invoice.STATE_FINALIZED: [("seats", 5000)],
        Invoice.STATE_DRAFT: [("more", 8710), ("more", -4355)],
    }


async def test_units_that_were_paid_before_a_pause_are_not_charged_after_it(world: World, acme: Tenant) -> None:
    await subscribed(acme, fixed("seats", "5", in_advance=True, prorated=True), fixed("whole", "2", in_advance=True))
    await acme.plan("up", fixed_charges=[fixed("more", "5", "20", in_advance=True, prorated=True)], base_fee=None)
    await bill_until(world, acme, "2024-03-10")
    await pause(acme)
    await bill_until(world, acme, "2024-03-20")
    await resume(acme)
    await bill_until(world, acme, "2024-03-25")
    await set_units(acme, "seats", "7")
    await bill_until(world, acme, "2024-03-27")
    await pause(acme)
    await bill_until(world, acme, "2024-03-28")
    await change(acme, "up")
    await bill_until(world, acme, "2024-03-30")
    await resume(acme)
    invoices = await bill_until(world, acme, "2024-03-31")
    charged = [[each for each in its if each[1]] for its in fees(invoices)]
    # two more seats for 7 days; of the five of all days and the two of these, 2 days are left
    assert [each for each in charged if each] == [
        [("seats", 5000), ("whole", 2000)],
        [("seats", 452)],
        [("more", 645), ("more", -323), ("more", -129)],
    ]
    await require_replayed(acme, invoices)
