"""Fees in advance that wait to be paid are on an invoice of paid fees when they are, once."""

import asyncio

import pytest

from libs.common.errors import Conflict, NotFound
from libs.common.wire import timestamp_out
from tests.invoicing.test_advance_usage import charge, fees, used
from tests.invoicing.test_changes import bill_until, terminate
from tests.invoicing.test_coupons import apply, coupon
from tests.invoicing.test_kinds_of_charges import require_replayed, standard, subscribed
from tests.invoicing.test_lines import require_reproduced
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import advance_fees_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.pricing.v1 import coupons_pb2

WAITING = charge(standard=standard("10"), invoiceable=False, regroup_paid_fees=True)


async def mark(acme: Tenant, *numbers: int, at: str = "", request_id: str = "") -> None:
    request = advance_fees_pb2.MarkAdvanceFeesPaidRequest(
        request_id=request_id or new_request_id(), subscription_id="s", numbers=numbers
    )
    if at:
        request.paid_time.CopyFrom(timestamp_out(utc(at)))
    await acme.advance_fees.MarkAdvanceFeesPaid(request)


async def of_fees(acme: Tenant) -> list[Invoice]:
    return [each for each in await acme.invoices() if each.kind == Invoice.KIND_ADVANCE_FEES]


async def test_paid_fees_are_on_an_invoice_that_is_paid_when_their_period_is_over(world: World, acme: Tenant) -> None:
    """Units that go on are renewed by a fee that waits, too. No coupon or credit is used."""
    await subscribed(acme, WAITING, recurring=True)
    await coupon(acme, "half", rate_percent="50", frequency=coupons_pb2.Coupon.FREQUENCY_FOREVER)
    await apply(acme, "half")
    await used(world, acme, "2023-11-10", "5", "2", "1")
    first, second, third = await fees(acme)
    await mark(acme, first.number, third.number)
    await world.bill()
    assert await acme.invoices() == []
    await bill_until(world, acme, "2023-12-05")
    [invoice] = await of_fees(acme)
    assert [line.transaction_id for line in invoice.lines] == [first.transaction_id, third.transaction_id]
    assert (invoice.total.minor_units, invoice.amount_paid.minor_units) == (6000, 6000)
    assert invoice.payment_status == Invoice.PAYMENT_STATUS_SUCCEEDED
    assert (invoice.create_time.ToJsonString(), not invoice.discounts) == ("2023-12-01T00:00:00Z", True)
    found = await fees(acme)
    assert [(each.amount.minor_units, bool(each.invoice_id), each.HasField("paid_time")) for each in found] == [
        (5000, True, True),
        (2000, False, False),
        (1000, True, True),
        (8000, False, False),
    ]
    # what is paid after its period is on an invoice at once
    await mark(acme, second.number, found[3].number)
    await terminate(acme, "2024-01-01")
    await bill_until(world, acme, "2024-01-01")
    assert sorted(each.total.minor_units for each in await of_fees(acme)) == [2000, 6000, 8000]
    renewal = next(each for each in await of_fees(acme) if each.total.minor_units == 8000)
    assert (await require_reproduced(acme, renewal))["Seats"][2].startswith("When the period began, meter seats had 8")
    await require_replayed(acme, await acme.invoices())


async def test_fees_are_paid_once_whoever_races_and_asks_again(world: World, acme: Tenant) -> None:
    await subscribed(acme, WAITING)
    await used(world, acme, "2023-11-10", "5")
    [fee] = await fees(acme)
    request_id = new_request_id()
    for _ in range(2):
        await mark(acme, fee.number, at="2023-11-11", request_id=request_id)
    await mark(acme, fee.number, at="2023-11-12")
    [paid] = await fees(acme)
    assert paid.paid_time.ToJsonString() == "2023-11-11T00:00:00Z"
    with pytest.raises(Conflict):
        await mark(acme, fee.number, at="2023-11-13", request_id=request_id)
    with pytest.raises(NotFound) as unknown:
        await mark(acme, fee.number, fee.number + 1000)
    assert unknown.value.reason == "ADVANCE_FEE_NOT_FOUND"
    await acme.advance("2023-12-01")
    await asyncio.gather(*(world.bill() for _ in range(4)))
    assert [each.total.minor_units for each in await of_fees(acme)] == [5000]


async def test_only_fees_that_wait_to_be_paid_are(world: World, acme: Tenant) -> None:
    await subscribed(acme, charge(standard=standard("10"), invoiceable=False))
    await used(world, acme, "2023-11-10", "5")
    [fee] = await fees(acme)
    with pytest.raises(NotFound) as unknown:
        await mark(acme, fee.number)
    assert unknown.value.reason == "ADVANCE_FEE_NOT_FOUND"
