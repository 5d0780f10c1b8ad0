"""What is given out of the books: the same bytes for ever, saying what was so when the books were closed."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator

import facturx
import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.type import date_pb2
from pypdf import PdfReader

from libs.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from tests.conftest import Keys, cloned
from tests.invoicing.world import REQUESTS, Tenant, World, deployed, new_request_id
from weir.invoicing.v1 import credit_notes_pb2, customers_pb2, documents_pb2, invoicing_pb2
from weir.invoicing.v1.legal_entities_pb2 import (
    BankAccount,
    Branding,
    CreateLegalEntityRequest,
    GetLegalEntityRequest,
    LegalEntity,
    ListLegalEntitiesRequest,
    UpdateLegalEntityRequest,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVOICE, NOTE = documents_pb2.Document.KIND_INVOICE, documents_pb2.Document.KIND_CREDIT_NOTE
RECEIPT = documents_pb2.Document.KIND_RECEIPT
WEHR = LegalEntity(
    code="wehr",
    name="Wehr Software GmbH",
    address=invoicing_pb2.Address(line1="Uferstr. 12", city="Berlin", postal_code="10115", country_code="DE"),
    tax_ids=[invoicing_pb2.TaxId(type="eu_vat", value="DE123456788")],
    bank_account=BankAccount(iban="DE89 3704 0044 0532 0130 00", bic="COBADEFFXXX"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


async def billed(world: World, tenant_id: str, **customer: object) -> Tenant:
    """globex has used something in November 2023, and has its invoice; the tenant is Wehr."""
    acme = world.tenant(tenant_id)
    await make(acme, WEHR)
    await acme.start_clock("2023-11-01")
    await acme.meter("requests")
    await acme.tax("ust", "19")
    await acme.plan("basic", REQUESTS, currency="EUR", taxes=["ust"])
    await acme.customer("globex", "Europe/Berlin", locale="de-DE", address=BAHNHOF, **customer)
    await acme.subscribe("globex-1", "globex", "basic", "2023-11-01")
    await acme.events("globex-1", 2600)
    await acme.advance("2023-12-01")
    await world.bill()
    return acme


BAHNHOF = invoicing_pb2.Address(line1="Bahnhofstr. 1", city="Hamburg", postal_code="20095", country_code="DE")


async def make(tenant: Tenant, entity: LegalEntity) -> LegalEntity:
    request = CreateLegalEntityRequest(request_id=new_request_id(), legal_entity=entity)
    return (await tenant.legal_entities.CreateLegalEntity(request)).legal_entity


async def change(tenant: Tenant, *paths: str, **fields: object) -> LegalEntity:
    changed = LegalEntity(code="wehr", **fields)  # type: ignore[arg-type]
    request = UpdateLegalEntityRequest(
        request_id=new_request_id(), legal_entity=changed, update_mask=FieldMask(paths=paths)
    )
    return (await tenant.legal_entities.UpdateLegalEntity(request)).legal_entity


async def document(
    tenant: Tenant, of: str, kind: "documents_pb2.Document.Kind.ValueType" = INVOICE
) -> documents_pb2.Document:
    found = (await tenant.documents.GetDocument(documents_pb2.GetDocumentRequest(kind=kind, id=of))).document
    assert found.sha256 == hashlib.sha256(found.contents).hexdigest()
    return found


def text(pdf: documents_pb2.Document) -> str:
    reader = PdfReader(io.BytesIO(pdf.contents))
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


async def test_an_invoice_says_who_bills_whom_for_what_in_the_customers_language(world: World) -> None:
    acme = await billed(world, "says")
    [invoice] = await acme.invoices()
    pdf = await document(acme, invoice.id)
    assert (pdf.file_name, pdf.media_type) == (f"{invoice.number}.pdf", "application/pdf")
    said = text(pdf)
    for part in ("Rechnung", invoice.number, "Wehr Software GmbH", "Bahnhofstr. 1", "20095 Hamburg", "DE123456788"):
        assert part in said, part
    for part in ("1. Dezember 2023", "01.11.2023 – 30.11.2023", "2.600", "27,37 €", "UST 19 % auf 23,00 €", "4,37 €"):
        assert part in said.replace("\xa0", " "), part
    assert "DE89 3704 0044 0532 0130 00" in said.replace("\xa0", " ")


async def test_a_document_made_again_is_the_same_to_the_byte_whoever_asks_first(world: World) -> None:
    acme = await billed(world, "again")
    [invoice] = await acme.invoices()
    first, *others = await asyncio.gather(*(document(acme, invoice.id) for _ in range(4)))
    assert all(each == first for each in others)
    async with world.database() as conn:
        await conn.execute("DELETE FROM invoicing.document WHERE tenant_id = 'again'")
    assert await document(acme, invoice.id) == first


async def test_an_invoice_keeps_saying_what_it_said_when_it_was_finalized(world: World) -> None:
    acme = await billed(world, "keeps")
    [invoice] = await acme.invoices()
    await change(acme, "name", name="Wehr Holding SE")
    moved = invoicing_pb2.Customer(id="globex", name="Globex SE", address=invoicing_pb2.Address(city="Bremen"))
    await acme.customers.UpdateCustomer(
        customers_pb2.UpdateCustomerRequest(
            request_id=new_request_id(), customer=moved, update_mask=FieldMask(paths=["name", "address"])
        )
    )
    said = text(await document(acme, invoice.id))
    assert "Wehr Software GmbH" in said
    assert "Hamburg" in said
    assert "Holding" not in said
    assert "Globex SE" not in said
    await acme.advance("2024-01-01")
    await world.bill()
    said = text(await document(acme, (await acme.invoices())[-1].id))
    assert "Wehr Holding SE" in said
    assert "Globex SE" in said


async def test_a_draft_is_stamped_and_not_kept(world: World) -> None:
    acme = await billed(world, "drafts", grace_period_days=5)
    [draft] = await acme.invoices()
    assert "Entwurf" in text(await document(acme, draft.id)).title()
    async with world.database() as conn:
        assert await conn.fetchval("SELECT count(*) FROM invoicing.document WHERE tenant_id = 'drafts'") == 0


async def test_what_was_voided_is_stamped_and_what_was_given_out_before_is_kept(world: World) -> None:
    acme = await billed(world, "voids")
    [invoice] = await acme.invoices()
    before = await document(acme, invoice.id)
    request = invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=invoice.id)
    await acme.invoicing.VoidInvoice(request)
    void = await document(acme, invoice.id)
    assert "storniert" in text(void).lower()
    assert "IBAN DE89" in text(void)  # at the foot, as ever; but nobody is asked to pay
    assert "Bitte zahlen" in text(before)
    assert "Bitte zahlen" not in text(void)
    async with world.database() as conn:
        assert await conn.fetchval("SELECT count(*) FROM invoicing.document WHERE tenant_id = 'voids'") == 2


async def test_a_credit_note_names_its_invoice_and_what_it_gives_back(world: World) -> None:
    acme = await billed(world, "notes")
    [invoice] = await acme.invoices()
    await document(acme, invoice.id)
    item = credit_notes_pb2.CreditNoteItem(line_number=1)
    item.amount.currency_code, item.amount.minor_units = "EUR", 500
    note = credit_notes_pb2.CreditNote(
        invoice_id=invoice.id,
        kind=credit_notes_pb2.CreditNote.KIND_CREDIT,
        reason=credit_notes_pb2.CreditNote.REASON_ORDER_CHANGE,
        items=[item],
    )
    request = credit_notes_pb2.CreateCreditNoteRequest(request_id=new_request_id(), credit_note=note)
    made = (await acme.credit_notes.CreateCreditNote(request)).credit_note
    pdf = await document(acme, made.id, NOTE)
    said = text(pdf).replace("\xa0", " ")
    for part in ("Gutschrift", made.number, invoice.number, "Änderung der Bestellung", "5,95 €"):
        assert part in said, part
    assert await document(acme, made.id, NOTE) == pdf


async def pay(world: World, tenant_id: str, invoice_id: str, minor_units: int, revision: int) -> None:
    request = invoicing_pb2.RecordPaymentRequest(
        invoice_id=invoice_id,
        payment_id="pay_1",
        revision=revision,
        payment_status=invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED,
    )
    request.amount_paid.currency_code, request.amount_paid.minor_units = "EUR", minor_units
    await world.tenant(tenant_id, "internal").invoicing.RecordPayment(request)


async def test_a_receipt_is_of_what_was_paid_so_far(world: World) -> None:
    acme = await billed(world, "receipts")
    [invoice] = await acme.invoices()
    with pytest.raises(FailedPrecondition) as refused:
        await document(acme, invoice.id, RECEIPT)
    assert refused.value.reason == "INVOICE_NOT_PAID"
    await pay(world, "receipts", invoice.id, 1000, 1)
    first = await document(acme, invoice.id, RECEIPT)
    said = text(first).replace("\xa0", " ")
    for part in ("Zahlungsbestätigung", invoice.number, "Wir haben 10,00 €", "pay_1", "01.12.2023"):
        assert part in said, part
    await pay(world, "receipts", invoice.id, 2737, 2)
    assert "Wir haben 27,37 €" in text(await document(acme, invoice.id, RECEIPT)).replace("\xa0", " ")
    with pytest.raises(InvalidArgument):
        await acme.documents.GetDocument(
            documents_pb2.GetDocumentRequest(kind=RECEIPT, id=invoice.id, format=documents_pb2.Document.FORMAT_UBL)
        )


async def test_a_statement_goes_on_from_what_was_owed_before(world: World) -> None:
    acme = await billed(world, "statements")
    [invoice] = await acme.invoices()
    await pay(world, "statements", invoice.id, 1000, 1)
    await acme.advance("2024-01-01")
    await world.bill()
    second = (await acme.invoices())[-1]

    async def statement(first: tuple[int, int, int], last: tuple[int, int, int]) -> str:
        days = (date_pb2.Date(year=year, month=month, day=day) for year, month, day in (first, last))
        first_day, last_day = days
        request = documents_pb2.GetStatementRequest(customer_id="globex", first_day=first_day, last_day=last_day)
        return text((await acme.documents.GetStatement(request)).document).replace("\xa0", " ")

    said = await statement((2023, 12, 1), (2023, 12, 31))
    for part in ("Kontoauszug", f"Rechnung {invoice.number} 01.12.2023 27,37 27,37", "Zahlung", "−10,00 17,37"):
        assert part in said, part
    assert second.number not in said
    said = await statement((2024, 1, 1), (2024, 1, 31))
    for part in ("Anfangssaldo 01.01.2024 17,37", f"Rechnung {second.number} 01.01.2024 23,80 41,17", "Saldo 41,17 €"):
        assert part in said, part
    with pytest.raises(InvalidArgument) as refused:
        await statement((2024, 1, 31), (2024, 1, 1))
    assert refused.value.reason == "PERIOD_EMPTY"


async def test_an_invoice_carries_its_e_invoice_where_the_standard_can_say_it(world: World) -> None:
    acme = await billed(world, "carries")
    [invoice] = await acme.invoices()
    pdf = await document(acme, invoice.id)
    name, carried = facturx.get_xml_from_pdf(pdf.contents)
    assert name == "factur-x.xml"
    request = documents_pb2.GetDocumentRequest(kind=INVOICE, id=invoice.id, format=documents_pb2.Document.FORMAT_CII)
    alone = (await acme.documents.GetDocument(request)).document
    assert (alone.contents, alone.file_name) == (carried, f"{invoice.number}.cii.xml")
    await acme.customer("nowhere", "Europe/Berlin")
    await acme.subscribe("nowhere-1", "nowhere", "basic", "2023-12-01")
    await acme.advance("2024-01-01")
    await world.bill()
    [other] = await acme.invoices(customer_id="nowhere")
    assert not PdfReader(io.BytesIO((await document(acme, other.id)).contents)).attachments
    request.id = other.id
    with pytest.raises(FailedPrecondition) as refused:
        await acme.documents.GetDocument(request)
    assert refused.value.reason == "E_INVOICE_INCOMPLETE"
    assert "the customer has no country" in refused.value.message


async def test_without_a_legal_entity_there_is_no_document(world: World) -> None:
    acme = world.tenant("nobody")
    await acme.customer("globex")
    await acme.start_clock("2023-11-01")
    await acme.plan("basic")
    await acme.subscribe("globex-1", "globex", "basic", "2023-11-01")
    await acme.advance("2023-12-01")
    await world.bill()
    [invoice] = await acme.invoices()
    with pytest.raises(FailedPrecondition) as refused:
        await document(acme, invoice.id)
    assert refused.value.reason == "LEGAL_ENTITY_MISSING"
    await make(acme, WEHR)
    assert "Wehr" in text(await document(acme, invoice.id))


async def test_another_tenants_documents_are_not_there(world: World) -> None:
    acme = await billed(world, "mine")
    [invoice] = await acme.invoices()
    await document(acme, invoice.id)
    other = world.tenant("theirs")
    await make(other, WEHR)
    with pytest.raises(NotFound):
        await document(other, invoice.id)
    with pytest.raises(NotFound):
        await document(acme, "cn_none", NOTE)


async def erase(acme: Tenant, *, documents: bool) -> None:
    request = customers_pb2.EraseCustomerRequest(request_id=new_request_id(), id="globex", erase_documents=documents)
    await acme.customers.EraseCustomer(request)


async def test_erasure_keeps_documents_also_those_that_nobody_asked_for_and_nothing_else(world: World) -> None:
    acme = await billed(world, "erased")
    [invoice] = await acme.invoices()
    moved = invoicing_pb2.Customer(id="globex", address=invoicing_pb2.Address(line1="Seestr. 9"))
    request = customers_pb2.UpdateCustomerRequest(request_id=new_request_id(), customer=moved)
    request.update_mask.paths.append("address")
    await acme.customers.UpdateCustomer(request)
    await erase(acme, documents=False)
    said = text(await document(acme, invoice.id))
    assert "Bahnhofstr. 1" in said
    async with world.database() as conn:
        tables = await conn.fetch(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'invoicing'"
            " AND column_name = 'tenant_id' AND table_name <> 'document'"
        )
        assert len(tables) > 10
        for row in tables:
            kept = await conn.fetchval(
                f"SELECT string_agg(t::text, '|') FROM invoicing.{row['table_name']} t WHERE tenant_id = 'erased'"
            )
            assert not any(part in (kept or "") for part in ("Bahnhofstr", "Seestr")), row
    await erase(acme, documents=True)
    with pytest.raises(FailedPrecondition) as refused:
        await document(acme, invoice.id)
    assert refused.value.reason == "DOCUMENT_ERASED"
    async with world.database() as conn:
        query = "SELECT count(*), count(contents), count(digest) FROM invoicing.document WHERE tenant_id = 'erased'"
        assert tuple(await conn.fetchrow(query)) == (1, 0, 1)


async def test_a_document_that_is_being_made_is_not_kept_when_its_customer_is_erased_meanwhile(world: World) -> None:
    acme = await billed(world, "races")
    [invoice] = await acme.invoices()
    await asyncio.gather(
        *(document(acme, invoice.id) for _ in range(3)), erase(acme, documents=True), return_exceptions=True
    )
    async with world.database() as conn:
        rows = await conn.fetch("SELECT contents FROM invoicing.document WHERE tenant_id = 'races'")
    for row in rows:
        page = PdfReader(io.BytesIO(row["contents"])).pages[0].extract_text() if row["contents"] else ""
        assert "Bahnhofstr" not in page


async def test_a_template_reads_no_file_and_takes_its_time_from_nobody(world: World) -> None:
    acme = world.tenant("templates")
    await make(acme, WEHR)
    for template in (
        '#read("/etc/passwd")',
        '#import "@preview/cetz:0.3.0"',
        "#let f(n) = f(n + 1)\n#f(0)",
        "#nonsense",
    ):
        with pytest.raises(InvalidArgument) as refused:
            await change(acme, "branding.template", branding=Branding(template=template))
        assert refused.value.reason == "TEMPLATE_INVALID"
    with pytest.raises(InvalidArgument):
        await change(acme, "branding.logo", branding=Branding(logo=b"<svg></sv"))
    own = "#set page(margin: 1cm)\n= Pay #doc.buyer.name now\n#items-table()\n#totals()"
    changed = await change(acme, "branding.template", branding=Branding(template=own))
    assert (changed.version, changed.branding.template, changed.name) == (2, own, WEHR.name)


async def test_a_legal_entity_is_made_and_changed_once(world: World) -> None:
    acme = world.tenant("entities")
    create = CreateLegalEntityRequest(request_id=new_request_id(), legal_entity=WEHR)
    answers = await asyncio.gather(*(acme.legal_entities.CreateLegalEntity(create) for _ in range(4)))
    made = answers[0].legal_entity
    assert all(each.legal_entity == made for each in answers)
    assert (made.default, made.version, made.bank_account.iban) == (True, 1, "DE89370400440532013000")
    with pytest.raises(Conflict) as refused:
        await make(acme, WEHR)
    assert refused.value.reason == "LEGAL_ENTITY_EXISTS"
    create.legal_entity.name = "Another"
    with pytest.raises(Conflict) as refused:
        await acme.legal_entities.CreateLegalEntity(create)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    second = await make(acme, LegalEntity(code="us", name="Wehr Inc."))
    assert not second.default
    request = UpdateLegalEntityRequest(
        request_id=new_request_id(),
        legal_entity=LegalEntity(code="us", default=True),
        update_mask=FieldMask(paths=["default"]),
    )
    assert (await acme.legal_entities.UpdateLegalEntity(request)).legal_entity.default
    changed = await asyncio.gather(*(change(acme, "email", email=f"{n}@wehr.example") for n in range(4)))
    assert sorted(each.version for each in changed) != [1, 1, 1, 1]
    listed = (await acme.legal_entities.ListLegalEntities(ListLegalEntitiesRequest())).legal_entities
    assert [(each.code, each.default) for each in listed] == [("us", True), ("wehr", False)]
    assert (await acme.legal_entities.GetLegalEntity(GetLegalEntityRequest(code="wehr"))).legal_entity.version == 5
    with pytest.raises(NotFound):
        await acme.legal_entities.GetLegalEntity(GetLegalEntityRequest(code="none"))


@pytest.mark.parametrize(
    ("entity", "field"),
    [
        (LegalEntity(code="x"), "legal_entity.name"),
        (LegalEntity(code="x", name="X", bank_account=BankAccount(iban="DE00")), "legal_entity.bank_account.iban"),
        (LegalEntity(code="x", name="X", branding=Branding(accent_color="red")), "legal_entity.branding.accent_color"),
        (LegalEntity(code="x", name="X", branding=Branding(logo=b"GIF89a")), "legal_entity.branding.logo"),
        (LegalEntity(code="x", name="X", locale="Deutsch!"), "legal_entity.locale"),
    ],
)
async def test_a_malformed_legal_entity_is_refused_with_its_field(
    world: World, entity: LegalEntity, field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await make(world.tenant("malformed"), entity)
    assert refused.value.field == field
