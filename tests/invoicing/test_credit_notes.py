"""Credit notes and voids against a running deployment: what is given back is given back once."""

import asyncio
import signal

import asyncpg
import pytest

from libs.common.errors import BillingError, Conflict, FailedPrecondition
from libs.common.money import Money
from libs.common.wire import money_out
from tests.invoicing.test_worker_process import completed, process
from tests.invoicing.world import Tenant, World, new_request_id
from weir.invoicing.v1 import credit_notes_pb2 as pb
from weir.invoicing.v1 import invoicing_pb2
from weir.invoicing.v1.invoicing_pb2 import Invoice

CREDIT, OFFSET, REFUND = pb.CreditNote.KIND_CREDIT, pb.CreditNote.KIND_OFFSET, pb.CreditNote.KIND_REFUND
AVAILABLE, CONSUMED, VOIDED = (
    pb.CreditNote.STATE_AVAILABLE,
    pb.CreditNote.STATE_CONSUMED,
    pb.CreditNote.STATE_VOIDED,
)

PAID = Invoice.PAYMENT_STATUS_SUCCEEDED

BOOKS = """
SELECT n.id FROM credit_note n
LEFT JOIN (SELECT credit_note_id, sum(amount_minor) AS used FROM credit_application WHERE NOT is_returned GROUP BY 1) a
    ON a.credit_note_id = n.id
WHERE n.kind = 'credit' AND n.total_minor <> n.balance_minor + n.voided_minor + coalesce(a.used, 0)
UNION ALL
SELECT i.id FROM invoice i
LEFT JOIN (SELECT invoice_id, sum(amount_minor) AS used FROM credit_application GROUP BY 1) a ON a.invoice_id = i.id
LEFT JOIN (SELECT invoice_id, sum(total_minor) AS offset_minor FROM credit_note WHERE kind = 'offset' GROUP BY 1) o
    ON o.invoice_id = i.id
WHERE i.credits_minor <> coalesce(a.used, 0) OR i.offset_minor <> coalesce(o.offset_minor, 0)
    OR i.amount_due_minor <> i.total_minor - i.credits_minor - i.offset_minor
"""
"""Every note and invoice that does not add up."""


async def billed(world: World, acme: Tenant, *, until: str = "2023-12-01", subscriptions: int = 1) -> Invoice:
    """globex's first invoice, over 20.00 and 20 % tax."""
    await acme.tax("vat", "20")
    await acme.plan("basic", taxes=["vat"])
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    for i in range(subscriptions):
        await acme.subscribe(f"globex-{i}", "globex", "basic", "2023-11-01")
    await bill(world, acme, until)
    return (await acme.invoices())[0]


async def bill(world: World, acme: Tenant, until: str) -> list[Invoice]:
    await acme.advance(until)
    await world.bill()
    return await acme.invoices()


def wanted(invoice: Invoice, *amounts: int, kind: "pb.CreditNote.Kind.ValueType" = CREDIT) -> pb.CreditNote:
    items = [
        pb.CreditNoteItem(line_number=number, amount=money_out(Money(amount, "USD")))
        for number, amount in enumerate(amounts, 1)
    ]
    return pb.CreditNote(invoice_id=invoice.id, kind=kind, items=items)


async def create(acme: Tenant, note: pb.CreditNote, request_id: str = "") -> pb.CreditNote:
    request = pb.CreateCreditNoteRequest(request_id=request_id or new_request_id(), credit_note=note)
    return (await acme.credit_notes.CreateCreditNote(request)).credit_note


async def void(acme: Tenant, note: pb.CreditNote) -> pb.CreditNote:
    request = pb.VoidCreditNoteRequest(request_id=new_request_id(), id=note.id)
    return (await acme.credit_notes.VoidCreditNote(request)).credit_note


async def void_invoice(acme: Tenant, invoice: Invoice, request_id: str = "") -> Invoice:
    request = invoicing_pb2.VoidInvoiceRequest(request_id=request_id or new_request_id(), id=invoice.id)
    return (await acme.invoicing.VoidInvoice(request)).invoice


async def read(acme: Tenant, note: pb.CreditNote) -> pb.CreditNote:
    return (await acme.credit_notes.GetCreditNote(pb.GetCreditNoteRequest(id=note.id))).credit_note


async def reread(acme: Tenant, invoice: Invoice) -> Invoice:
    return (await acme.invoicing.GetInvoice(invoicing_pb2.GetInvoiceRequest(id=invoice.id))).invoice


async def require_books(world: World) -> None:
    async with world.database() as conn:
        assert await conn.fetch(BOOKS) == []


async def test_a_balance_pays_the_next_invoices_until_it_is_used_up(world: World, acme: Tenant) -> None:
    first = await billed(world, acme)
    note = await create(acme, wanted(first))
    assert note.number == f"{first.number}-CN001"
    assert (note.subtotal.minor_units, note.tax.minor_units, note.total.minor_units) == (2000, 400, 2400)
    preview = (
        await acme.invoicing.PreviewInvoice(invoicing_pb2.PreviewInvoiceRequest(subscription_id="globex-0"))
    ).invoice
    small = await create(acme, wanted((await bill(world, acme, "2024-01-01"))[1], 500))
    second, third, fourth = (await bill(world, acme, "2024-03-01"))[1:]
    assert [(each.credit_note_number, each.amount.minor_units) for each in second.credits] == [(note.number, 2400)]
    assert (list(preview.credits), preview.amount_due) == (list(second.credits), second.amount_due)
    assert (second.total.minor_units, second.amount_due.minor_units) == (2400, 0)
    assert second.payment_status == Invoice.PAYMENT_STATUS_SUCCEEDED
    assert [(each.credit_note_id, each.amount.minor_units) for each in third.credits] == [(small.id, 600)]
    assert (third.total.minor_units, third.amount_due.minor_units) == (2400, 1800)
    assert not fourth.credits
    assert [(await read(acme, each)).state for each in (note, small)] == [CONSUMED, CONSUMED]
    await require_books(world)


async def test_an_estimate_is_what_is_made_and_writes_nothing(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    request = pb.EstimateCreditNoteRequest(credit_note=wanted(invoice, 333))
    estimate = (await acme.credit_notes.EstimateCreditNote(request)).credit_note
    listed = await acme.credit_notes.ListCreditNotes(pb.ListCreditNotesRequest())
    assert not listed.credit_notes
    note = await create(acme, wanted(invoice, 333))
    assert (note.total.minor_units, estimate.total.minor_units) == (400, 400)
    estimate.id, estimate.number = note.id, note.number
    estimate.create_time.CopyFrom(note.create_time)
    assert estimate == note
    listed = await acme.credit_notes.ListCreditNotes(pb.ListCreditNotesRequest(invoice_id=invoice.id))
    assert list(listed.credit_notes) == [note]


async def test_a_request_repeated_at_once_makes_one_note(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    request_id = new_request_id()
    made = await asyncio.gather(*(create(acme, wanted(invoice, 100), request_id) for _ in range(5)))
    assert len({note.id for note in made}) == 1
    with pytest.raises(Conflict):
        await create(acme, wanted(invoice, 101), request_id)


async def test_notes_made_at_once_never_credit_more_than_the_invoice(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    made = await asyncio.gather(*(create(acme, wanted(invoice, 700)) for _ in range(6)), return_exceptions=True)
    refused = [each for each in made if isinstance(each, BillingError)]
    assert [each.reason for each in refused] == ["CREDIT_EXCEEDS_LINE"] * 4
    rest = await create(acme, wanted(invoice))
    assert rest.number.endswith("-CN003")
    listed = (await acme.credit_notes.ListCreditNotes(pb.ListCreditNotesRequest())).credit_notes
    assert sum(note.total.minor_units for note in listed) == invoice.total.minor_units


async def test_invoices_finalized_at_once_share_one_balance(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme, subscriptions=12)
    note = await create(acme, wanted(invoice, 1000))
    await acme.advance("2024-01-01")
    await asyncio.gather(*(world.bill(chunk_size=2) for _ in range(3)))
    invoices = (await acme.invoices())[12:]
    assert len(invoices) == 12
    assert sum(each.amount.minor_units for invoice in invoices for each in invoice.credits) == note.total.minor_units
    await require_books(world)


async def test_a_balance_voided_while_it_is_used_is_not_used_twice(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    note = await create(acme, wanted(invoice))
    await acme.advance("2024-01-01")
    _, voided = await asyncio.gather(world.bill(), void(acme, note), return_exceptions=True)
    after = await read(acme, note)
    assert after.balance.minor_units == 0
    assert (after.used.minor_units, after.voided.minor_units) in ((2400, 0), (0, 2400))
    assert isinstance(voided, FailedPrecondition) == (after.state == CONSUMED)
    await require_books(world)


async def test_a_void_waits_for_whoever_uses_the_note_and_takes_what_is_left_then(world: World, acme: Tenant) -> None:
    note = await create(acme, wanted(await billed(world, acme)))
    async with world.database() as conn:
        using = conn.transaction()
        await using.start()
        await conn.execute("UPDATE credit_note SET balance_minor = balance_minor - 100")
        voiding = asyncio.create_task(void(acme, note))
        await asyncio.sleep(0.2)
        assert not voiding.done()
        await using.commit()
    voided = await voiding
    assert (voided.used.minor_units, voided.voided.minor_units, voided.balance.minor_units) == (100, 2300, 0)


async def test_a_finalization_that_fails_uses_nothing(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    note = await create(acme, wanted(invoice))
    await acme.advance("2024-01-01")
    async with world.database() as conn:
        await conn.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'chance'; END $$;"
            " CREATE TRIGGER fail BEFORE UPDATE ON invoice FOR EACH ROW WHEN (NEW.state = 'finalized')"
            " EXECUTE FUNCTION fail()"
        )
        with pytest.raises(asyncpg.RaiseError):
            await world.bill()
        assert (await read(acme, note)).state == AVAILABLE
        await conn.execute("DROP TRIGGER fail ON invoice")
    await world.bill()
    assert (await acme.invoices())[1].credits[0].amount.minor_units == 2400
    await require_books(world)


async def test_a_worker_killed_while_balances_are_used_uses_them_once(world: World, acme: Tenant) -> None:
    await billed(world, acme, subscriptions=20)
    notes = [await create(acme, wanted(each, 1500)) for each in await acme.invoices()]
    run_id = await acme.advance("2024-03-01")
    async with world.database() as conn:
        for enough in (25, 40, 60):
            async with process(world) as worker:
                async with asyncio.timeout(20):
                    while await conn.fetchval("SELECT count(*) FROM invoice WHERE number IS NOT NULL") < enough:  # noqa: ASYNC110
                        await asyncio.sleep(0.002)
                worker.send_signal(signal.SIGKILL)
    async with process(world):
        await completed(acme, run_id)
    invoices = await acme.invoices()
    assert len(invoices) == 80
    used = sum(each.amount.minor_units for invoice in invoices for each in invoice.credits)
    assert used == sum(note.total.minor_units for note in notes) == 20 * 1800
    assert all(bool(each.amount_due.minor_units) != (each.payment_status == PAID) for each in invoices)
    await require_books(world)


async def test_a_voided_note_counts_no_more_but_what_was_used_of_it_stays(world: World, acme: Tenant) -> None:
    first = await billed(world, acme)
    unused = await void(acme, await create(acme, wanted(first)))
    assert (unused.state, unused.voided.minor_units) == (VOIDED, 2400)
    with pytest.raises(FailedPrecondition) as nothing_left:
        await void(acme, unused)
    assert nothing_left.value.reason == "CREDIT_NOTE_CONSUMED"
    again = await create(acme, wanted(first, 2000))
    assert again.number.endswith("-CN002")
    await asyncio.gather(void(acme, again))
    assert not (await bill(world, acme, "2024-01-01"))[1].credits


async def test_an_offset_reduces_what_is_due_of_its_own_invoice(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    note = await create(acme, wanted(invoice, 500, kind=OFFSET))
    assert (note.used.minor_units, note.state) == (600, CONSUMED)
    after = await reread(acme, invoice)
    assert (after.offset.minor_units, after.amount_due.minor_units, after.total.minor_units) == (600, 1800, 2400)
    await create(acme, wanted(invoice, kind=OFFSET))
    after = await reread(acme, invoice)
    assert (after.amount_due.minor_units, after.payment_status) == (0, Invoice.PAYMENT_STATUS_SUCCEEDED)
    async with world.database() as conn:
        assert await conn.fetchval("SELECT due_time FROM hand_over WHERE invoice_id = $1", invoice.id) is None
    await require_books(world)


async def test_what_was_not_paid_is_not_refunded(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme)
    with pytest.raises(FailedPrecondition) as refused:
        await create(acme, wanted(invoice, kind=REFUND))
    assert refused.value.reason == "REFUND_EXCEEDS_PAID"


async def test_a_voided_invoice_keeps_what_it_says_and_gives_its_credits_back(world: World, acme: Tenant) -> None:
    first = await billed(world, acme)
    note = await create(acme, wanted(first, 1000))
    second = (await bill(world, acme, "2024-01-01"))[1]
    request_id = new_request_id()
    voided, again = await void_invoice(acme, second, request_id), await void_invoice(acme, second, request_id)
    assert voided == again
    assert (voided.state, voided.amount_due.minor_units) == (Invoice.STATE_VOIDED, 0)
    voided.state, voided.amount_due.minor_units = second.state, second.amount_due.minor_units
    assert voided == second
    assert (await read(acme, note)).balance.minor_units == 1200
    with pytest.raises(FailedPrecondition) as refused:
        await void_invoice(acme, second)
    assert refused.value.reason == "INVOICE_VOIDED"
    with pytest.raises(FailedPrecondition) as refused:
        await create(acme, wanted(second))
    assert refused.value.reason == "INVOICE_VOIDED"
    third = (await bill(world, acme, "2024-02-01"))[2]
    assert third.credits[0].credit_note_id == note.id
    assert third.period.start_time == second.period.end_time
    async with world.worker() as biller, world.database() as conn:
        await biller.hand_over()
        assert await conn.fetch("SELECT FROM hand_over WHERE invoice_id = $1", second.id) == []
    await require_books(world)


async def test_voids_at_once_give_credits_back_once(world: World, acme: Tenant) -> None:
    first = await billed(world, acme)
    note = await create(acme, wanted(first, 1000))
    second = (await bill(world, acme, "2024-01-01"))[1]
    answers = await asyncio.gather(*(void_invoice(acme, second) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, Invoice) for each in answers) == 1
    assert (await read(acme, note)).balance == note.balance
    await require_books(world)


async def test_an_invoice_that_was_given_back_or_paid_is_not_voided(world: World, acme: Tenant) -> None:
    first = await billed(world, acme)
    note = await create(acme, wanted(first, 1000))
    with pytest.raises(FailedPrecondition) as refused:
        await void_invoice(acme, first)
    assert refused.value.reason == "INVOICE_CREDITED"
    await void(acme, note)
    paid = invoicing_pb2.RecordPaymentRequest(
        invoice_id=first.id,
        payment_id="pay_1",
        revision=1,
        payment_status=Invoice.PAYMENT_STATUS_SUCCEEDED,
        amount_paid=money_out(Money(2400, "USD")),
    )
    await world.tenant("acme", "internal").invoicing.RecordPayment(paid)
    with pytest.raises(FailedPrecondition) as refused:
        await void_invoice(acme, first)
    assert refused.value.reason == "INVOICE_PAID"


async def test_postgres_itself_keeps_the_books_of_credits(world: World, acme: Tenant) -> None:
    first = await billed(world, acme)
    await create(acme, wanted(first, 1000))
    second = (await bill(world, acme, "2024-01-01"))[1]
    await void_invoice(acme, second)
    async with world.database() as conn:
        for statement in (
            "UPDATE credit_note SET total_minor = total_minor + 1, subtotal_minor = subtotal_minor + 1",
            "UPDATE credit_note SET customer_id = 'initech'",
            "DELETE FROM credit_note",
            "UPDATE credit_note_item SET amount_minor = 1",
            "DELETE FROM credit_note_tax",
            "UPDATE credit_application SET amount_minor = 1",
            "UPDATE credit_application SET is_returned = false",
            "INSERT INTO credit_application SELECT n.tenant_id, i.id, n.id, 1 FROM credit_note n, invoice i"
            " WHERE i.state = 'finalized'",
            "DELETE FROM credit_application",
            "UPDATE invoice SET state = 'finalized' WHERE state = 'voided'",
            "UPDATE invoice SET offset_minor = 1 WHERE state = 'voided'",
            "UPDATE invoice SET credits_minor = 0 WHERE state = 'voided'",
            "UPDATE invoice SET total_minor = 0, subtotal_minor = 0, tax_minor = 0 WHERE state = 'voided'",
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await conn.execute(statement)
        for statement in (
            "UPDATE credit_note SET balance_minor = balance_minor + 1",
            "UPDATE credit_note SET balance_minor = -1",
            "UPDATE invoice SET offset_minor = total_minor + 1 WHERE state = 'finalized'",
        ):
            with pytest.raises(asyncpg.CheckViolationError):
                await conn.execute(statement)
