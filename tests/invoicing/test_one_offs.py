"""One-off invoices, through gRPC."""

import asyncio

import pytest

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from libs.common.money import Money
from libs.common.rpc.client import channel
from libs.common.wire import money_out
from tests.invoicing.test_drafts import require_reproduced
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import invoicing_pb2, one_offs_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.pricing.v1 import addons_pb2, pricing_pb2
from weir.pricing.v1.addons_pb2_grpc import AddOnServiceStub

ITEM = one_offs_pb2.OneOffItem


def request(*items: ITEM, currency: str = "", customer_id: str = "globex") -> one_offs_pb2.CreateOneOffInvoiceRequest:
    return one_offs_pb2.CreateOneOffInvoiceRequest(
        request_id=new_request_id(), customer_id=customer_id, currency_code=currency, items=items
    )


async def billed(acme: Tenant, *items: ITEM, currency: str = "") -> Invoice:
    return (await acme.one_offs.CreateOneOffInvoice(request(*items, currency=currency))).invoice


@pytest.fixture
async def shop(world: World, acme: Tenant) -> Tenant:
    """A set-up fee of 100 euro, a tax of 15 % on whatever has none of its own, and one of 20 %."""
    for code, rate, is_default in (("default", "15", True), ("vat", "20", False)):
        tax = pricing_pb2.Tax(code=code, name=code, rate_percent=rate, tenant_default=is_default)
        await acme.pricing.CreateTax(pricing_pb2.CreateTaxRequest(request_id=new_request_id(), tax=tax))
    async with channel(world.settings.pricing_target, world.keys.api_key("acme")) as opened:
        amount = money_out(Money(10000, "EUR"))
        add_on = addons_pb2.AddOn(code="setup", name="Set-up", currency_code="EUR", amount=amount)
        made = addons_pb2.CreateAddOnRequest(request_id=new_request_id(), add_on=add_on)
        await AddOnServiceStub(opened).CreateAddOn(made)
    await acme.start_clock("2024-01-01T12:00")
    await acme.customer("globex", "Asia/Tokyo", net_payment_term_days=30)
    return acme


async def test_an_add_on_is_billed_at_once_with_the_default_taxes(shop: Tenant) -> None:
    invoice = await billed(shop, ITEM(add_on_code="setup"))
    assert (invoice.kind, invoice.state, invoice.number) == (
        Invoice.KIND_ONE_OFF,
        Invoice.STATE_FINALIZED,
        "INV-202401-000001",
    )
    assert (invoice.subtotal.minor_units, invoice.tax.minor_units, invoice.total.minor_units) == (10000, 1500, 11500)
    assert (invoice.settlements, invoice.subscription_id, invoice.HasField("period")) == ([], "", False)
    assert [tax.code for tax in invoice.taxes] == ["default"]
    assert (invoice.due_date.month, invoice.due_date.day) == (1, 31)
    [line] = invoice.lines
    assert (line.kind, line.code, line.description, line.units) == (line.KIND_ADD_ON, "setup", "Set-up", "1")
    assert line.period.start_time.ToJsonString() == "2023-12-31T15:00:00Z"
    await require_reproduced(shop)


async def test_what_is_said_of_an_item_comes_before_what_the_catalog_says(shop: Tenant) -> None:
    invoice = await billed(
        shop,
        ITEM(add_on_code="setup", description="Half a set-up", units="0.5", tax_codes=["vat"]),
        ITEM(add_on_code="setup", unit_amount="0.005", units="3"),
        ITEM(description="Support", unit_amount="80.25", units="2"),
    )
    assert [(each.description, each.amount.minor_units) for each in invoice.lines] == [
        ("Half a set-up", 5000),
        ("Set-up", 2),
        ("Support", 16050),
    ]
    assert {tax.code: tax.amount.minor_units for tax in invoice.taxes} == {"vat": 1000, "default": 2408}
    explained = await shop.invoicing.ExplainLine(
        invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_code="item")
    )
    assert explained.reproduced
    assert "2 units at 80.25 each are billed." in explained.sentences
    await require_reproduced(shop)


async def test_a_repeated_request_makes_one_invoice(shop: Tenant, world: World) -> None:
    asked = request(ITEM(add_on_code="setup"))
    answers = await asyncio.gather(*(shop.one_offs.CreateOneOffInvoice(asked) for _ in range(4)))
    await world.bill()
    [invoice] = await shop.invoices()
    assert {answer.invoice.id for answer in answers} == {invoice.id}
    assert (await shop.one_offs.CreateOneOffInvoice(asked)).invoice == invoice
    asked.items[0].units = "2"
    with pytest.raises(Conflict) as refused:
        await shop.one_offs.CreateOneOffInvoice(asked)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_wrong_item_is_named(shop: Tenant) -> None:
    for items, currency, field, reason in (
        ((), "", "items", "FIELD_MISSING"),
        ((ITEM(description="x"),), "", "items[0].unit_amount", "FIELD_MISSING"),
        ((ITEM(unit_amount="1"),), "", "items[0].description", "FIELD_MISSING"),
        ((ITEM(description="x", unit_amount="1"),), "", "currency_code", "FIELD_MISSING"),
        ((ITEM(add_on_code="setup", units="-1"),), "", "items[0].units", "AMOUNT_NEGATIVE"),
        ((ITEM(add_on_code="setup"),), "USD", "currency_code", "CURRENCY_MISMATCH"),
        ((ITEM(add_on_code="setup"),) * 501, "", "items", "TOO_MANY_ITEMS"),
    ):
        with pytest.raises(InvalidArgument) as wrong:
            await billed(shop, *items, currency=currency)
        assert (wrong.value.field, wrong.value.reason) == (field, reason)
    for item, reason in (
        (ITEM(add_on_code="nothing"), "ADD_ON_NOT_FOUND"),
        (ITEM(add_on_code="setup", tax_codes=["gst"]), "TAX_NOT_FOUND"),
    ):
        with pytest.raises(NotFound) as missing:
            await billed(shop, item)
        assert missing.value.reason == reason
    with pytest.raises(NotFound):
        await shop.one_offs.CreateOneOffInvoice(request(ITEM(add_on_code="setup"), customer_id="nobody"))
    with pytest.raises(FailedPrecondition) as refused:
        await billed(shop, ITEM(add_on_code="setup", units="9" * 26))
    assert refused.value.reason == "AMOUNT_TOO_LARGE"
    assert await shop.invoices() == []
