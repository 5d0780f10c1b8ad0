"""Invoices that are not paid in time are overdue, by the tenant's clock. Through gRPC."""

from typing import Any

import pytest

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import invoicing_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice

PAID = Invoice.PAYMENT_STATUS_SUCCEEDED


async def walked(world: World, acme: Tenant, to: str) -> dict[str, Invoice]:
    await acme.advance(to)
    await world.bill()
    return {each.subscription_id: each for each in await acme.invoices()}


async def report(world: World, invoice: Invoice, status: "Invoice.PaymentStatus.ValueType", revision: int) -> Invoice:
    paid = invoice.amount_due.minor_units if status == PAID else 0
    request = invoicing_pb2.RecordPaymentRequest(
        invoice_id=invoice.id,
        payment_id="pay_1",
        revision=revision,
        payment_status=status,
        amount_paid=money_out(Money(paid, "USD")),
    )
    internal = world.tenant("acme", "internal")
    return (await internal.invoicing.RecordPayment(request)).invoice


async def names(acme: Tenant, **filters: Any) -> set[str]:
    listed = await acme.invoicing.ListInvoices(invoicing_pb2.ListInvoicesRequest(**filters))
    return {each.subscription_id for each in listed.invoices}


async def test_an_invoice_is_overdue_when_the_customers_day_after_its_due_date_begins(
    world: World, acme: Tenant
) -> None:
    await acme.plan("basic")
    await acme.start_clock("2023-11-01")
    await acme.customer("globex", "America/New_York", net_payment_term_days=10)
    for name in ("paid", "late", "void"):
        await acme.subscribe(name, "globex", "basic", "2023-11-01T00:00-04:00")
    found = await walked(world, acme, "2023-12-10")
    for each in found.values():
        assert (each.due_date.year, each.due_date.month, each.due_date.day) == (2023, 12, 11)
        assert not each.payment_overdue
    await report(world, found["paid"], PAID, 1)
    await report(world, found["late"], Invoice.PAYMENT_STATUS_FAILED, 1)
    found = await walked(world, acme, "2023-12-12T04:59:59")
    assert not any(each.payment_overdue for each in found.values())
    found = await walked(world, acme, "2023-12-20")
    assert {name for name, each in found.items() if each.payment_overdue} == {"late", "void"}
    assert found["late"].overdue_time.ToJsonString() == "2023-12-12T05:00:00Z"
    assert not found["paid"].HasField("overdue_time")
    listed = await acme.invoicing.ListInvoices(invoicing_pb2.ListInvoicesRequest(payment_overdue=True))
    assert {each.subscription_id for each in listed.invoices} == {"late", "void"}
    async with world.database() as conn:  # payments has given it back, or never had it
        await conn.execute(
            "INSERT INTO hand_over SELECT tenant_id, id, payment_version, false, now() FROM invoice"
            " ON CONFLICT (tenant_id, invoice_id) DO UPDATE SET is_asked = false"
        )
    void = invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=found["void"].id)
    assert not (await acme.invoicing.VoidInvoice(void)).invoice.payment_overdue
    paid = await report(world, found["late"], PAID, 2)
    assert (paid.payment_overdue, paid.overdue_time) == (False, found["late"].overdue_time)
    listed = await acme.invoicing.ListInvoices(invoicing_pb2.ListInvoicesRequest(payment_overdue=True))
    assert list(listed.invoices) == []
    assert await names(acme, state=Invoice.STATE_VOIDED) == {"void"}
    assert await names(acme, state=Invoice.STATE_FINALIZED, payment_status=PAID) == {"paid", "late"}
    assert await names(acme, payment_status=Invoice.PAYMENT_STATUS_FAILED) == set()
    with pytest.raises(InvalidArgument) as refused:
        await names(acme, state=99)
    assert (refused.value.field, refused.value.reason) == ("state", "ENUM_VALUE_UNKNOWN")


async def test_without_a_net_term_an_invoice_is_due_on_its_date(world: World, acme: Tenant) -> None:
    await acme.plan("basic")
    await acme.customer("globex")
    await acme.subscribe("globex-1", "globex", "basic", "2023-11-01")
    await world.bill()
    first, *_ = await acme.invoices()
    assert first.due_date == first.issue_date
    assert first.payment_overdue
