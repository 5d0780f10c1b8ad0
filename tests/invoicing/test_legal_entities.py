"""Customers of several legal entities: invoices, books, credits and documents never mix them."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out
from tests.invoicing.test_documents import document, make, text
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2, ledger_pb2
from weir.invoicing.v1.customers_pb2 import UpdateCustomerRequest
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.invoicing.v1.legal_entities_pb2 import LegalEntity

WEHR = LegalEntity(code="wehr", name="Wehr GmbH", address=invoicing_pb2.Address(country_code="DE"))
WEIR = LegalEntity(code="weir-us", name="Weir Inc.", address=invoicing_pb2.Address(country_code="US"))


async def change(acme: Tenant, customer_id: str, *paths: str, **fields: object) -> invoicing_pb2.Customer:
    customer = invoicing_pb2.Customer(id=customer_id, **fields)  # type: ignore[arg-type]
    request = UpdateCustomerRequest(
        request_id=new_request_id(), customer=customer, update_mask=FieldMask(paths=paths or list(fields))
    )
    return (await acme.customers.UpdateCustomer(request)).customer


async def until(world: World, acme: Tenant, time: str) -> list[Invoice]:
    await acme.advance(time)
    await world.bill()
    return await acme.invoices()


async def credit(acme: Tenant, invoice: Invoice, amount: int) -> None:
    items = [credit_notes_pb2.CreditNoteItem(line_number=1, amount=money_out(Money(amount, "USD")))]
    note = credit_notes_pb2.CreditNote(invoice_id=invoice.id, kind=credit_notes_pb2.CreditNote.KIND_CREDIT, items=items)
    request = credit_notes_pb2.CreateCreditNoteRequest(request_id=new_request_id(), credit_note=note)
    await acme.credit_notes.CreateCreditNote(request)


async def receivables(acme: Tenant) -> dict[str, int]:
    """By legal entity."""
    balances = (await acme.ledger.GetTrialBalance(ledger_pb2.GetTrialBalanceRequest())).balances
    receivable = ledger_pb2.LEDGER_ACCOUNT_RECEIVABLE
    return {each.legal_entity: each.balance.minor_units for each in balances if each.account == receivable}


@pytest.fixture
async def two(acme: Tenant) -> Tenant:
    """Wehr is the default."""
    await make(acme, WEHR)
    await make(acme, WEIR)
    await acme.plan("basic")
    await acme.start_clock("2023-11-01")
    return acme


async def test_a_legal_entity_that_there_is_not_is_refused_with_its_field(world: World, two: Tenant) -> None:
    await make(world.tenant("other"), LegalEntity(code="theirs", name="Theirs"))
    await two.customer("globex")
    for code, reason in (("theirs", "LEGAL_ENTITY_UNKNOWN"), ("Not a code", "CODE_MALFORMED")):
        for refused in (two.customer("hooli", legal_entity_code=code), change(two, "globex", legal_entity_code=code)):
            with pytest.raises(InvalidArgument) as error:
                await refused
            assert (error.value.reason, error.value.field) == (reason, "customer.legal_entity_code")
    assert (await change(two, "globex", legal_entity_code="weir-us")).legal_entity_code == "weir-us"
    assert (await change(two, "globex", "legal_entity_code")).legal_entity_code == ""


async def test_invoices_are_issued_by_the_customers_legal_entity(world: World, two: Tenant) -> None:
    for customer_id, code in (("globex", ""), ("hooli", "weir-us")):
        await two.customer(customer_id, legal_entity_code=code)
        for i in range(2):
            await two.subscribe(f"{customer_id}-{i}", customer_id, "basic", "2023-11-01", alone=False)
    invoices = await until(world, two, "2023-12-01")
    issuers = {each.customer_id: each.legal_entity_code for each in invoices}
    assert issuers == {"globex": "wehr", "hooli": "weir-us"}
    assert len(invoices) == 2
    said = {each.customer_id: text(await document(two, each.id)) for each in invoices}
    assert "Wehr GmbH" in said["globex"]
    assert "Weir Inc." in said["hooli"]
    assert "Wehr GmbH" not in said["hooli"]
    assert await receivables(two) == {"wehr": 4000, "weir-us": 4000}


async def test_who_moves_to_another_legal_entity_takes_drafts_along_and_leaves_what_is_final(
    world: World, two: Tenant
) -> None:
    await two.customer("globex", grace_period_days=5)
    await two.subscribe("s", "globex", "basic", "2023-11-01")
    await until(world, two, "2023-12-10")
    [first, draft] = await until(world, two, "2024-01-02")
    assert (first.legal_entity_code, draft.legal_entity_code) == ("wehr", "")
    await change(two, "globex", legal_entity_code="weir-us")
    assert "Weir Inc." in text(await document(two, draft.id))
    [first, second] = await until(world, two, "2024-01-10")
    assert (first.legal_entity_code, second.legal_entity_code) == ("wehr", "weir-us")
    assert "Wehr GmbH" in text(await document(two, first.id))


async def test_a_balance_pays_invoices_of_the_legal_entity_that_owes_it_alone(world: World, two: Tenant) -> None:
    await two.customer("globex")
    await two.subscribe("s", "globex", "basic", "2023-11-01")
    [first] = await until(world, two, "2023-12-01")
    await credit(two, first, 500)
    await change(two, "globex", legal_entity_code="weir-us")
    request = invoicing_pb2.PreviewInvoiceRequest(subscription_id="s")
    assert not (await two.invoicing.PreviewInvoice(request)).invoice.credits
    second = (await until(world, two, "2024-01-01"))[1]
    assert (second.legal_entity_code, len(second.credits)) == ("weir-us", 0)
    await change(two, "globex", "legal_entity_code")
    assert [each.amount.minor_units for each in (await two.invoicing.PreviewInvoice(request)).invoice.credits] == [500]
    third = (await until(world, two, "2024-02-01"))[2]
    assert (third.legal_entity_code, [each.amount.minor_units for each in third.credits]) == ("wehr", [500])
