"""Credit notes that give money back: invoicing asks payments by a row, and follows what it says."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from libs.common.clock import system_clock
from libs.common.errors import FailedPrecondition, NotFound
from libs.common.money import Money
from libs.common.rpc.client import channel
from libs.common.wire import money_out
from services.invoicing.main import billing
from services.invoicing.worker import Biller
from services.payments.worker import Sweeps
from tests.conftest import Database, Keys
from tests.invoicing.world import Tenant, World
from tests.invoicing.world import deployed as invoicing_deployed
from tests.payments.shop import Deployment, Shop, new_request_id
from tests.payments.test_disputes import stripe_event
from tests.payments.test_refunding import event
from weir.invoicing.v1 import credit_notes_pb2 as notes
from weir.invoicing.v1 import invoicing_pb2, reports_pb2
from weir.invoicing.v1.reports_pb2_grpc import CollectionReportServiceStub
from weir.payments.v1 import payments_pb2, refunds_pb2

PENDING, SUCCEEDED, FAILED = (
    reports_pb2.REFUND_STATE_PENDING,
    reports_pb2.REFUND_STATE_SUCCEEDED,
    reports_pb2.REFUND_STATE_FAILED,
)


@dataclass
class Books:
    """Both services, and a paid invoice of 20.00 USD."""

    shop: Shop
    world: World
    acme: Tenant
    biller: Biller
    payments: Sweeps
    invoice: invoicing_pb2.Invoice

    async def note(self, minor_units: int = 0) -> notes.CreditNote:
        amount = money_out(Money(minor_units, "USD")) if minor_units else None
        wanted = notes.CreditNote(
            invoice_id=self.invoice.id,
            kind=notes.CreditNote.KIND_REFUND,
            items=[notes.CreditNoteItem(line_number=1, amount=amount)] if minor_units else (),
        )
        request = notes.CreateCreditNoteRequest(request_id=new_request_id(), credit_note=wanted)
        return (await self.acme.credit_notes.CreateCreditNote(request)).credit_note

    async def refund_of(self, note: notes.CreditNote) -> tuple[int, str]:
        found = (await self.acme.credit_notes.GetCreditNote(notes.GetCreditNoteRequest(id=note.id))).credit_note
        assert found.used == found.total
        return found.refund_state, found.refund_failure_code


@pytest.fixture
async def books(deployment: Deployment, database: Database, keys: Keys) -> AsyncIterator[Books]:
    """Of a new tenant: the folder's tests have one database."""
    shop = await Shop(deployment, tenant_id="t" + secrets.token_hex(4)).open()
    payments_target = f"127.0.0.1:{deployment.ports.rpc}"
    async with invoicing_deployed(database, keys, deployment.redis_url, payments_target=payments_target) as world:
        acme = world.tenant(shop.tenant_id)
        await acme.plan("plan", base_fee=2000)
        await acme.start_clock("2023-11-01")
        await acme.customer("ada")
        await acme.subscribe("sub", "ada", "plan", "2023-11-01")
        await acme.advance("2023-12-01")
        await world.bill()
        await shop.save("pm_card_pendingRefund")
        payments = await deployment.another_worker(invoicing_target=f"127.0.0.1:{world.invoicing_port}")
        async with billing(world.settings, system_clock) as biller:
            await biller.hand_over()
            await payments.charge()
            await payments.report()
            [invoice] = await acme.invoices()
            assert invoice.payment_status == invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED
            yield Books(shop, world, acme, biller, payments, invoice)


async def test_a_refund_follows_what_becomes_of_it(books: Books) -> None:
    note = await books.note(500)
    assert note.refund_state == PENDING
    await books.biller.refund()
    await books.payments.refunds()
    await books.payments.refund_report()
    assert await books.refund_of(note) == (PENDING, "")
    [made] = (await books.shop.refunds.ListRefunds(refunds_pb2.ListRefundsRequest())).refunds
    assert (made.credit_note_id, made.amount.minor_units) == (note.id, 500)
    for outcome, state, code in (("succeeded", SUCCEEDED, ""), ("failed", FAILED, "expired_or_canceled_card")):
        reference = made.processor_reference
        books.shop.deployment.sandbox.post(f"/_sandbox/stripe/refunds/{reference}/settle", outcome=outcome)
        await books.shop.deliver(event(f"evt_{outcome}", reference))
        await books.payments.events()
        await books.payments.refund_report()
        assert await books.refund_of(note) == (state, code)


async def test_no_more_is_given_back_than_was_paid(books: Books) -> None:
    await books.note(1500)
    with pytest.raises(FailedPrecondition) as refused:
        await books.note(600)
    assert refused.value.reason == "CREDIT_EXCEEDS_LINE"
    request = refunds_pb2.CreateRefundRequest(
        request_id=new_request_id(), invoice_id=books.invoice.id, amount=money_out(Money(400, "USD")), reason="sorry"
    )
    await books.shop.refunds.CreateRefund(request)
    await books.payments.refund_report()
    with pytest.raises(FailedPrecondition) as refused:
        await books.note(200)
    assert refused.value.reason == "REFUND_EXCEEDS_PAID"
    await books.note(100)


async def test_a_refund_that_payments_refuses_has_failed_until_it_is_made_by_hand(books: Books) -> None:
    request = refunds_pb2.CreateRefundRequest(
        request_id=new_request_id(), invoice_id=books.invoice.id, amount=money_out(Money(400, "USD")), reason="sorry"
    )
    note = await books.note(1700)
    await books.shop.refunds.CreateRefund(request)
    for _ in range(2):
        await books.biller.refund()
    assert await books.refund_of(note) == (FAILED, "REFUND_EXCEEDS_PAID")


async def test_payments_is_asked_once_however_often_a_worker_dies(books: Books) -> None:
    note = await books.note()
    async with books.world.database() as conn:
        for _ in range(3):
            await conn.execute("UPDATE credit_note SET refund_due_time = now() WHERE id = $1", note.id)
            await books.biller.refund()
    await books.payments.refunds()
    [charge] = books.shop.charges()
    assert charge["amount_refunded"] == 2000


async def test_reports_of_refunds_may_overtake_each_other(books: Books) -> None:
    note = await books.note(500)
    internal = books.shop.deployment.keys.issuer.internal_key(books.shop.tenant_id)
    opened = channel(f"127.0.0.1:{books.world.invoicing_port}", internal)
    stub = CollectionReportServiceStub(opened)

    def report(revision: int, state: "reports_pb2.RefundState.ValueType") -> reports_pb2.RecordRefundRequest:
        return reports_pb2.RecordRefundRequest(
            invoice_id=books.invoice.id,
            refund_id="re_1",
            revision=revision,
            credit_note_id=note.id,
            state=state,
            amount=money_out(Money(500, "USD")),
            failure_code="gone" if state == FAILED else "",
        )

    for revision, state, after in ((2, SUCCEEDED, SUCCEEDED), (1, PENDING, SUCCEEDED), (3, FAILED, FAILED)):
        await stub.RecordRefund(report(revision, state))
        assert (await books.refund_of(note))[0] == after
    unknown = report(1, PENDING)
    unknown.invoice_id = "inv_nothing"
    with pytest.raises(NotFound):
        await stub.RecordRefund(unknown)
    await opened.close()


async def test_invoicing_follows_a_payment_in_parts(books: Books) -> None:
    await books.acme.advance("2024-01-01")
    await books.world.bill()
    invoice = (await books.acme.invoices())[1]
    await books.biller.hand_over()
    seen = []
    for part in (500, 1500):
        await books.shop.receive(part, invoice.id)
        for _ in range(2):
            await books.payments.report()
        after = (await books.acme.invoices())[1]
        seen.append((after.amount_paid.minor_units, after.payment_status))
    assert seen == [
        (500, invoicing_pb2.Invoice.PAYMENT_STATUS_PENDING),
        (2000, invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED),
    ]


async def test_invoicing_hears_of_money_that_banks_take_back(books: Books) -> None:
    [payment] = (await books.shop.payments.ListPayments(payments_pb2.ListPaymentsRequest())).payments
    charge = payment.attempts[0].processor_reference
    for status in ("lost", "won"):
        await books.shop.deliver(stripe_event("closed", status, charge))
        await books.payments.events()
        await books.payments.dispute_report()
        async with books.world.database() as conn:
            rows = await conn.fetch("SELECT invoice_id, state FROM dispute WHERE tenant_id = $1", books.shop.tenant_id)
        assert [tuple(row) for row in rows] == [(books.invoice.id, status)]
    [invoice] = await books.acme.invoices()
    assert invoice.payment_status == invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED
