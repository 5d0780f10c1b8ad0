"""Customers of several legal entities: invoices, books, credits and documents never mix them."""

import re

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from libs.common.errors import Conflict, InvalidArgument, NotFound
from libs.common.money import Money
from libs.common.wire import money_out
from tests.invoicing.books import day_of
from tests.invoicing.test_documents import document, make, text
from tests.invoicing.test_finalized import bill_stubbornly, fail_sometimes
from tests.invoicing.test_prepaid import Wallets, asked_again, bill
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import credit_notes_pb2, documents_pb2, invoicing_pb2, ledger_pb2, one_offs_pb2
from weir.invoicing.v1.customers_pb2 import UpdateCustomerRequest
from weir.invoicing.v1.invoicing_pb2 import Invoice
from weir.invoicing.v1.legal_entities_pb2 import LegalEntity, UpdateLegalEntityRequest

WEHR = LegalEntity(code="wehr", name="Wehr GmbH", address=invoicing_pb2.Address(country_code="DE"))
WEIR = LegalEntity(code="weir-us", name="Weir Inc.", address=invoicing_pb2.Address(country_code="US"))


async def change(acme: Tenant, customer_id: str, *paths: str, **fields: object) -> invoicing_pb2.Customer:
    customer = invoicing_pb2.Customer(id=customer_id, **fields)  # type: ignore[arg-type]
    request = UpdateCustomerRequest(
        request_id=new_request_id(), customer=customer, update_mask=FieldMask(paths=paths or list(fields))
    )
    return (await acme.customers.UpdateCustomer(request)).customer


async def reform(acme: Tenant, code: str, **fields: object) -> LegalEntity:
    entity = LegalEntity(code=code, **fields)  # type: ignore[arg-type]
    request = UpdateLegalEntityRequest(
        request_id=new_request_id(), legal_entity=entity, update_mask=FieldMask(paths=list(fields))
    )
    return (await acme.legal_entities.UpdateLegalEntity(request)).legal_entity


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


async def test_legal_entities_have_numbers_of_their_own_without_gaps_though_finalizers_race_and_fail(
    world: World, two: Tenant
) -> None:
    """Customers move meanwhile; the tenant's sequence goes through all."""
    await reform(two, "wehr", number_prefix="WEHR")
    await reform(two, "weir-us", number_prefix="US")
    await make(two, LegalEntity(code="plain", name="Plain"))
    codes = {"globex": "", "hooli": "weir-us", "umbrella": "plain", "initech": "weir-us", "own": "weir-us"}
    for customer_id, code in codes.items():
        await two.customer(customer_id, legal_entity_code=code, number_prefix="OWN" if customer_id == "own" else "")
        for i in range(2):
            await two.subscribe(f"{customer_id}-{i}", customer_id, "basic", "2023-11-01")
    await fail_sometimes(world)
    await two.advance("2024-02-01")
    await bill_stubbornly(world)
    await change(two, "initech", legal_entity_code="wehr")
    await reform(two, "weir-us", number_prefix="NEW")
    await two.advance("2024-04-01")
    await bill_stubbornly(world)
    invoices = await two.invoices()
    numbers: dict[str, list[str]] = {}
    for each in sorted(invoices, key=lambda it: it.number[-6:]):
        numbers.setdefault("own" if each.customer_id == "own" else each.legal_entity_code, []).append(each.number)
    assert all(re.fullmatch(r"WEHR-20\d{4}-\d{6}", each) for each in numbers["wehr"])
    assert all(re.fullmatch(r"INV-20\d{4}-\d{6}", each) for each in numbers["plain"])
    for code, count in (("wehr", 14), ("weir-us", 16)):
        assert [int(each[-6:]) for each in numbers[code]] == list(range(1, count + 1))
    assert [each.split("-")[0] for each in numbers["weir-us"]] == ["US"] * 12 + ["NEW"] * 4
    assert sorted(numbers["own"]) == [f"OWN-001-{i:03}" for i in range(1, 11)]
    assert {each.legal_entity_code for each in invoices if each.customer_id == "initech"} == {"wehr", "weir-us"}
    async with world.database() as conn:
        sequences = await conn.fetch("SELECT sequence FROM invoice ORDER BY sequence")
    assert [row["sequence"] for row in sequences] == list(range(1, len(invoices) + 1))


async def test_no_two_legal_entities_ever_have_the_same_prefix(two: Tenant) -> None:
    await reform(two, "wehr", number_prefix="OLD")
    await reform(two, "wehr", number_prefix="NEW")
    for prefix in ("OLD", "NEW"):
        with pytest.raises(Conflict) as taken:
            await reform(two, "weir-us", number_prefix=prefix)
        assert taken.value.reason == "NUMBER_PREFIX_TAKEN"
        with pytest.raises(Conflict):
            await make(two, LegalEntity(code="third", name="Third", number_prefix=prefix))
    assert (await reform(two, "wehr", number_prefix="OLD")).number_prefix == "OLD"


async def test_what_is_wrong_with_its_terms_names_the_field(two: Tenant) -> None:
    wrong: tuple[tuple[str, object, str], ...] = (
        ("number_prefix", "INV", "NUMBER_PREFIX_MALFORMED"),
        ("default_currency_code", "XYZ", "CURRENCY_UNKNOWN"),
        ("net_payment_term_days", 1001, "DAYS_OUT_OF_RANGE"),
        ("tax_codes", ["vat", "vat"], "TAX_CODE_DUPLICATE"),
    )
    for field, value, reason in wrong:
        with pytest.raises(InvalidArgument) as error:
            await reform(two, "wehr", **{field: value})
        assert (error.value.field, error.value.reason) == (f"legal_entity.{field}", reason)
    with pytest.raises(NotFound) as unknown:
        await reform(two, "wehr", tax_codes=["gst"])
    assert unknown.value.reason == "TAX_NOT_FOUND"


async def test_what_a_customer_has_not_is_the_legal_entitys(world: World, two: Tenant) -> None:
    """Taxes, days to pay and the currency; drafts, previews, final invoices and recomputed ones agree (law 5)."""
    for code, rate in (("ust", "19"), ("gst", "10")):
        await two.tax(code, rate)
    await reform(two, "wehr", tax_codes=["ust"], net_payment_term_days=14, default_currency_code="USD")
    terms: dict[str, dict[str, object]] = {"globex": {}, "hooli": {"tax_codes": ["gst"], "net_payment_term_days": 30}}
    for customer_id, own in terms.items():
        await two.customer(customer_id, grace_period_days=3, **own)
        await two.subscribe(customer_id, customer_id, "basic", "2023-11-01")
    previews = [
        (await two.invoicing.PreviewInvoice(invoicing_pb2.PreviewInvoiceRequest(subscription_id=each))).invoice
        for each in terms
    ]
    drafts = sorted(await until(world, two, "2023-12-01"), key=lambda it: it.customer_id)
    final = sorted(await until(world, two, "2023-12-05"), key=lambda it: it.customer_id)
    for stage in (previews, drafts, final):
        assert [[tax.code for tax in each.taxes] for each in stage] == [["ust"], ["gst"]]
    for stage in (previews, final):
        assert [each.total.minor_units for each in stage] == [2380, 2200]
    assert [each.due_date.day for each in final] == [15, 31]
    await reform(two, "wehr", tax_codes=["gst"])
    for each in final:
        request = invoicing_pb2.ExplainLineRequest(invoice_id=each.id, line_number=1)
        answer = await two.invoicing.ExplainLine(request)
        assert (answer.reproduced, answer.recomputed_amount) == (True, each.lines[0].amount)
        assert list(answer.line.tax_codes) == [each.taxes[0].code]
    item = one_offs_pb2.OneOffItem(description="Setup", units="1", unit_amount="10")
    asked = one_offs_pb2.CreateOneOffInvoiceRequest(request_id=new_request_id(), customer_id="globex", items=[item])
    one_off = (await two.one_offs.CreateOneOffInvoice(asked)).invoice
    assert (one_off.currency_code, one_off.total.minor_units) == ("USD", 1100)


async def test_a_statement_is_of_the_books_of_one_legal_entity(world: World, two: Tenant) -> None:
    await two.customer("globex")
    await two.subscribe("s", "globex", "basic", "2023-11-01")
    await until(world, two, "2023-12-05")
    await change(two, "globex", legal_entity_code="weir-us")
    [first, second] = await until(world, two, "2024-01-05")
    days = {"first_day": day_of("2023-11-01"), "last_day": day_of("2024-01-05")}
    for code, seller, its, others in (
        ("", "Weir Inc.", second.number, first.number),
        ("wehr", "Wehr GmbH", first.number, second.number),
    ):
        request = documents_pb2.GetStatementRequest(customer_id="globex", legal_entity_code=code, **days)
        said = text((await two.documents.GetStatement(request)).document)
        assert seller in said
        assert its in said
        assert others not in said
    request.legal_entity_code = "none"
    with pytest.raises(NotFound) as unknown:
        await two.documents.GetStatement(request)
    assert unknown.value.reason == "LEGAL_ENTITY_NOT_FOUND"


async def test_who_issues_a_draft_is_settled_before_prepaid_credit_is_asked(world: World, two: Tenant) -> None:
    """The customer moves, and both change their prefixes, before wallets answer."""
    for code, prefix in (("wehr", "WEHR"), ("weir-us", "US")):
        await reform(two, code, number_prefix=prefix)
    await two.customer("globex")
    await two.subscribe("s", "globex", "basic", "2023-11-01")
    wallets = Wallets(world.settings.dsn, 500, away=True)
    await two.advance("2023-12-01")
    await bill(world, wallets)
    await change(two, "globex", legal_entity_code="weir-us")
    await reform(two, "wehr", number_prefix="LATER")
    wallets.away = False
    await asked_again(world)
    await bill(world, wallets)
    [invoice] = await two.invoices()
    assert (invoice.legal_entity_code, invoice.number) == ("wehr", "WEHR-202312-000001")
    assert await receivables(two) == {"wehr": 1500}
