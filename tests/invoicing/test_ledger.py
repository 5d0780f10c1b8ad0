"""The ledger, against a running deployment: what documents and money come to."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import pytest_asyncio
from google.type import date_pb2

from libs.common.clock import system_clock
from libs.common.errors import BillingError
from libs.common.money import Money
from libs.common.wire import money_out, timestamp_out
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from services.invoicing import store
from services.invoicing.booking import book_issued
from services.invoicing.domain.ledger.earning import Earning
from services.invoicing.domain.ledger.part import Timing, scheduled
from tests.conftest import Keys, cloned
from tests.invoicing.test_coupons import ONCE, apply, coupon
from tests.invoicing.world import REQUESTS, World, deployed, new_request_id
from weir.invoicing.v1 import credit_notes_pb2, invoicing_pb2, reports_pb2
from weir.invoicing.v1 import ledger_pb2 as pb
from weir.invoicing.v1.invoicing_pb2 import Invoice

pytestmark = pytest.mark.asyncio(loop_scope="module")

_TENANTS = count()
CREDIT, REFUND = credit_notes_pb2.CreditNote.KIND_CREDIT, credit_notes_pb2.CreditNote.KIND_REFUND


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


def day_of(text: str) -> date_pb2.Date:
    day = date.fromisoformat(text)
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


class Books:
    """A tenant with a test clock, whose customer globex pays a fee in advance with 20 % of tax."""

    def __init__(self, world: World) -> None:
        self.world, self.tenant_id = world, f"books-{next(_TENANTS)}"
        self.tenant = world.tenant(self.tenant_id)
        self.payments = world.tenant(self.tenant_id, "internal")

    async def subscribed(self, fee: int = 3000, start: str = "2023-11-01", zone: str = "") -> Invoice:
        """The first invoice, at the beginning of November."""
        await self.tenant.tax("vat", "20")
        await self.tenant.plan("basic", base_fee=fee, in_advance=True, taxes=["vat"])
        await self.tenant.start_clock(start)
        await self.tenant.customer("globex", zone)
        await self.tenant.subscribe("s", "globex", "basic", start)
        await self.world.bill()
        [invoice] = await self.tenant.invoices()
        return invoice

    async def until(self, time: str) -> None:
        await self.tenant.advance(time)
        await self.world.bill()

    async def close(self, day: str, request_id: str = "") -> None:
        request = pb.CloseLedgerPeriodRequest(
            request_id=request_id or new_request_id(), closed_through_date=day_of(day)
        )
        await self.tenant.ledger.CloseLedgerPeriod(request)

    async def journal(self, first: str, last: str, page_size: int = 500) -> list[pb.JournalEntry]:
        found: list[pb.JournalEntry] = []
        token = ""
        while True:
            request = pb.ListJournalEntriesRequest(
                start_date=day_of(first), end_date=day_of(last), page_size=page_size, page_token=token
            )
            answer = await self.tenant.ledger.ListJournalEntries(request)
            found += answer.entries
            if not (token := answer.next_page_token):
                return found

    async def balances(self, day: str, **terms: object) -> dict[str, int]:
        """By account, in minor units; they add up to 0."""
        request = pb.GetTrialBalanceRequest(date=day_of(day), **terms)  # type: ignore[arg-type]
        found = (await self.tenant.ledger.GetTrialBalance(request)).balances
        assert sum(each.balance.minor_units for each in found) == 0
        return {
            pb.LedgerAccount.Name(each.account).removeprefix("LEDGER_ACCOUNT_").lower(): each.balance.minor_units
            for each in found
        }

    async def note(self, invoice: Invoice, kind: "credit_notes_pb2.CreditNote.Kind.ValueType", amount: int) -> str:
        """Of the first line; 0 is what is left of all lines."""
        item = credit_notes_pb2.CreditNoteItem(line_number=1, amount=money_out(Money(amount, "USD")))
        note = credit_notes_pb2.CreditNote(
            invoice_id=invoice.id,
            kind=kind,
            reason=credit_notes_pb2.CreditNote.REASON_OTHER,
            items=[item] if amount else [],
        )
        request = credit_notes_pb2.CreateCreditNoteRequest(request_id=new_request_id(), credit_note=note)
        return (await self.tenant.credit_notes.CreateCreditNote(request)).credit_note.id

    async def pay(self, invoice: Invoice, amount: int, revision: int = 1) -> None:
        status = Invoice.PAYMENT_STATUS_SUCCEEDED if amount else Invoice.PAYMENT_STATUS_FAILED
        request = invoicing_pb2.RecordPaymentRequest(
            invoice_id=invoice.id,
            payment_id="pay_1",
            revision=revision,
            payment_status=status,
            amount_paid=money_out(Money(amount, "USD")),
        )
        await self.payments.invoicing.RecordPayment(request)

    async def refund(self, invoice: Invoice, note_id: str, amount: int, state: str, revision: int) -> None:
        request = reports_pb2.RecordRefundRequest(
            invoice_id=invoice.id,
            refund_id="re_1",
            revision=revision,
            credit_note_id=note_id,
            state=reports_pb2.RefundState.Value(f"REFUND_STATE_{state}"),
            amount=money_out(Money(amount, "USD")),
            failure_code="account_closed" if state == "FAILED" else "",
        )
        await self.payments.reports.RecordRefund(request)

    async def dispute(self, invoice: Invoice, amount: int, state: str, revision: int) -> None:
        request = reports_pb2.RecordDisputeRequest(
            invoice_id=invoice.id,
            dispute_id="dp_1",
            revision=revision,
            state=reports_pb2.DisputeState.Value(f"DISPUTE_STATE_{state}"),
            amount=money_out(Money(amount, "USD")),
        )
        await self.payments.reports.RecordDispute(request)

    async def write_off(self, invoice: Invoice) -> None:
        request = reports_pb2.RecordFinalActionRequest(
            invoice_id=invoice.id,
            campaign_id="dc_1",
            final_action=reports_pb2.FINAL_ACTION_WRITE_OFF,
            end_time=timestamp_out(system_clock()),
        )
        await self.payments.reports.RecordFinalAction(request)

    async def void_note(self, note_id: str) -> None:
        request = credit_notes_pb2.VoidCreditNoteRequest(request_id=new_request_id(), id=note_id)
        await self.tenant.credit_notes.VoidCreditNote(request)

    async def void(self, invoice: Invoice, credit: int = 0, refund: int = 0) -> list[str]:
        """The ids of the notes that it made, a refund last."""
        amounts = {"credit_amount": money_out(Money(credit, "USD")), "refund_amount": money_out(Money(refund, "USD"))}
        request = invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=invoice.id, **amounts)
        await self.tenant.invoicing.VoidInvoice(request)
        asked = credit_notes_pb2.ListCreditNotesRequest(invoice_id=invoice.id)
        notes = (await self.tenant.credit_notes.ListCreditNotes(asked)).credit_notes
        return [each.id for each in sorted(notes, key=lambda each: each.kind)]


@pytest.fixture
def books(shared: World) -> Books:
    """A tenant for each test."""
    return Books(shared)


async def test_a_fee_in_advance_is_earned_day_by_day(books: Books) -> None:
    await books.subscribed(fee=1000)  # 33.33 cents a day
    issued = {"receivable": 1200, "tax_payable": -200}
    for day, earned in (("2023-11-01", 33), ("2023-11-02", 67), ("2023-11-03", 100), ("2023-11-29", 967)):
        assert await books.balances(day) == issued | {"deferred_revenue": earned - 1000, "revenue": -earned}
    assert await books.balances("2023-11-30") == issued | {"revenue": -1000}
    assert await books.balances("2023-10-31") == {}


async def test_usage_is_earned_when_it_was_used_and_is_unbilled_until_its_invoice(books: Books) -> None:
    await books.tenant.meter("requests")
    await books.tenant.plan("usage", REQUESTS, base_fee=None)
    await books.tenant.start_clock("2023-11-01")
    await books.tenant.customer("globex", "Asia/Tokyo")
    await books.tenant.subscribe("s", "globex", "usage", "2023-10-31T15:00")
    await books.tenant.events("s", 1500)
    await books.until("2023-11-30T15:00")  # 1 December in Tokyo
    assert await books.balances("2023-11-30") == {"unbilled_revenue": 100, "revenue": -100}
    assert await books.balances("2023-11-15") == {"unbilled_revenue": 50, "revenue": -50}
    assert await books.balances("2023-12-01") == {"receivable": 100, "revenue": -100}


async def test_what_is_paid_and_given_back_goes_through_cash(books: Books) -> None:
    invoice = await books.subscribed(fee=3000)
    await books.pay(invoice, 3600)
    await books.pay(invoice, 3600)  # reported again
    await books.until("2023-11-11")
    note_id = await books.note(invoice, REFUND, 1000)
    before = {"cash": 3600, "tax_payable": -600, "deferred_revenue": -2000, "revenue": -1000}
    assert await books.balances("2023-11-10") == before
    owed = {"tax_payable": -400, "deferred_revenue": -900, "revenue": -1100}
    assert await books.balances("2023-11-11") == owed | {"cash": 3600, "refunds_payable": -1200}
    for state, revision in (("SUCCEEDED", 2), ("PENDING", 1), ("SUCCEEDED", 2)):
        await books.refund(invoice, note_id, 1200, state, revision)
    assert await books.balances("2023-11-11") == owed | {"cash": 2400}
    await books.refund(invoice, note_id, 1200, "FAILED", 3)  # the bank sent it back
    assert await books.balances("2023-11-11") == owed | {"cash": 3600, "refunds_payable": -1200}
    assert await books.balances("2023-11-30") == {
        "cash": 3600,
        "refunds_payable": -1200,
        "tax_payable": -400,
        "revenue": -2000,
    }


async def test_unused_days_are_taken_out_of_deferred_revenue(books: Books) -> None:
    """The subscription ends after ten days: 20 of 30 days are given back, and used by the next invoice."""
    await books.subscribed(fee=3000)
    await books.until("2023-11-10T12:00")
    await books.tenant.invoicing.TerminateSubscription(
        invoicing_pb2.TerminateSubscriptionRequest(request_id=new_request_id(), id="s")
    )
    await books.world.bill()
    ended = {"receivable": 3600, "customer_credit": -2400, "tax_payable": -200, "revenue": -1000}
    assert await books.balances("2023-11-10") == ended == await books.balances("2023-12-10")
    await books.tenant.subscribe("t", "globex", "basic", "2023-11-10T12:00")
    await books.world.bill()
    again = await books.balances("2023-11-30")
    assert again == {"receivable": 3720, "tax_payable": -620, "revenue": -3100}


async def test_a_void_takes_back_what_was_earned_and_gives_credits_back(books: Books) -> None:
    invoice = await books.subscribed(fee=3000)
    await books.until("2023-11-03")
    await books.note(invoice, CREDIT, 1000)
    await books.until("2023-12-02")
    [_, second] = await books.tenant.invoices()
    assert (await books.balances("2023-12-02"))["receivable"] == 6000
    await books.void(second)
    first = {"receivable": 3600, "customer_credit": -1200, "tax_payable": -400, "revenue": -2000}
    assert await books.balances("2023-12-02") == first == await books.balances("2023-12-31")


async def test_what_a_void_gives_back_of_what_was_paid_is_owed_to_the_customer(books: Books) -> None:
    invoice = await books.subscribed(fee=3000)
    await books.pay(invoice, 3600)
    credit, refund = await books.void(invoice, credit=2400, refund=1200)
    assert await books.balances("2023-11-30") == {"cash": 3600, "customer_credit": -2400, "refunds_payable": -1200}
    await books.refund(invoice, refund, 1200, "SUCCEEDED", 1)
    await books.void_note(credit)  # what was paid is still the customer's
    assert await books.balances("2023-11-30") == {"cash": 2400, "receivable": -2400}


async def test_what_a_void_credits_that_nobody_paid_is_a_bad_debt(books: Books) -> None:
    invoice = await books.subscribed(fee=3000)
    [credit] = await books.void(invoice, credit=3600)
    assert await books.balances("2023-11-30") == {"bad_debt": 3600, "customer_credit": -3600}
    await books.void_note(credit)
    assert await books.balances("2023-11-30") == {}


async def test_a_note_that_was_not_used_is_taken_back_and_the_rest_of_another_is_forfeited(books: Books) -> None:
    invoice = await books.subscribed(fee=3000)
    unused = await books.note(invoice, CREDIT, 3000)
    assert await books.balances("2023-11-30") == {"receivable": 3600, "customer_credit": -3600}
    await books.void_note(unused)
    assert await books.balances("2023-11-30") == {"receivable": 3600, "tax_payable": -600, "revenue": -3000}
    used = await books.note(invoice, CREDIT, 3000)
    await books.tenant.plan("small", base_fee=1000, in_advance=True)
    await books.tenant.subscribe("t", "globex", "small", "2023-11-01")
    await books.world.bill()
    await books.void_note(used)
    assert await books.balances("2023-11-30") == {"receivable": 3600, "forfeited_credit": -2600, "revenue": -1000}
    [*_, second] = await books.tenant.invoices()
    await books.void(second)  # what it used of the note is there again
    assert (await books.balances("2023-11-30"))["customer_credit"] == -1000
    await books.void_note(used)  # nothing of it is used any more
    assert await books.balances("2023-11-30") == {"receivable": 3600, "tax_payable": -600, "revenue": -3000}


async def test_what_is_written_off_may_be_paid_after_all_and_be_disputed(books: Books) -> None:
    invoice = await books.subscribed(fee=3000)
    rest = {"tax_payable": -600, "revenue": -3000}
    await books.pay(invoice, 600)
    for _ in range(2):
        await books.write_off(invoice)
    assert await books.balances("2023-11-30") == rest | {"cash": 600, "bad_debt": 3000}
    await books.pay(invoice, 3600, revision=2)
    assert await books.balances("2023-11-30") == rest | {"cash": 3600}
    for state, revision in (("OPEN", 1), ("LOST", 2), ("LOST", 2)):
        await books.dispute(invoice, 3600, state, revision)
    assert await books.balances("2023-11-30") == rest | {"disputes": 3600}
    await books.dispute(invoice, 3600, "WON", 3)
    assert await books.balances("2023-11-30") == rest | {"cash": 3600}
    await books.pay(invoice, 0, revision=3)  # a direct debit came back
    assert await books.balances("2023-11-30") == rest | {"receivable": 3600}


async def test_coupons_and_contained_taxes_are_no_revenue(books: Books) -> None:
    """A fee in arrears and one in advance, 119.00 together with 19 % in it, and half of it taken off."""
    await books.tenant.tax("vat", "19")
    for code, fee in (("a", 3333), ("b", 8567)):
        await books.tenant.plan(code, base_fee=fee, in_advance=code == "a", taxes=["vat"], tax_inclusive=True)
    await coupon(books.tenant, "half", rate_percent="50", frequency=ONCE)
    await books.tenant.start_clock("2023-11-01")
    await books.tenant.customer("globex")
    for code in ("a", "b"):
        await books.tenant.subscribe(code, "globex", code, "2023-11-01", alone=False)
    await books.world.bill()
    before = {"receivable": 3333, "tax_payable": -532, "revenue": -2801}
    assert await books.balances("2023-11-30") == before
    await apply(books.tenant, "half")
    await books.until("2023-12-01")
    [_, invoice] = await books.tenant.invoices()
    assert invoice.total.minor_units == 5950
    november = before | {"unbilled_revenue": 3600, "revenue": -2801 - 3600}
    assert await books.balances("2023-11-30") == november
    december = {"receivable": 3333 + 5950, "tax_payable": -532 - 950, "revenue": -2801 - 5000}
    assert await books.balances("2023-12-31") == december
    for amount in (1111, 1111, 0):  # of the first line, and what is left of both
        await books.note(invoice, CREDIT, amount)
    assert await books.balances("2023-12-31") == before | {"receivable": 3333 + 5950, "customer_credit": -5950}


async def test_what_was_not_known_yet_is_left_out(books: Books) -> None:
    invoice = await books.subscribed(fee=3000)
    known = system_clock()
    before = await books.balances("2023-11-30")
    await books.note(invoice, CREDIT, 3000)
    assert await books.balances("2023-11-30") != before
    assert await books.balances("2023-11-30", known_time=timestamp_out(known)) == before
    assert await books.balances("2023-11-30", legal_entity="other") == {}


POSTING = (
    "INSERT INTO ledger_posting (tenant_id, invoice_id, source, leg, legal_entity, currency, account, amount_minor,"
    " effective_date, recorded_time) VALUES ('t', 'i', $1, $2, 'default', $5, $3, $4, $6::text::date, now())"
)


@pytest.mark.parametrize(
    "legs",
    [
        [("cash", 100, "USD", "2023-11-01"), ("receivable", -99, "USD", "2023-11-01")],
        [("cash", 100, "USD", "2023-11-01")],
        [("cash", 100, "USD", "2023-11-01"), ("receivable", -100, "EUR", "2023-11-01")],
        [("cash", 100, "USD", "2023-11-01"), ("receivable", -100, "USD", "2023-11-02")],
    ],
)
async def test_a_booking_that_is_not_balanced_is_not_committed(
    shared: World, legs: list[tuple[str, int, str, str]]
) -> None:
    async with shared.database() as conn:
        with pytest.raises(asyncpg.RestrictViolationError, match="is not balanced"):
            await conn.executemany(POSTING, [("s", leg, *values) for leg, values in enumerate(legs)])
        assert await conn.fetchval("SELECT count(*) FROM ledger_posting WHERE tenant_id = 't'") == 0


async def test_a_balanced_booking_gets_no_further_leg(shared: World, books: Books) -> None:
    invoice = await books.subscribed()
    async with shared.database() as conn:
        with pytest.raises(asyncpg.RestrictViolationError, match="is not balanced"):
            await conn.execute(
                "INSERT INTO ledger_posting SELECT tenant_id, invoice_id, source, 9, legal_entity, currency, account,"
                " amount_minor, effective_date, recorded_time FROM ledger_posting WHERE invoice_id = $1 AND leg = 0",
                invoice.id,
            )


@pytest.mark.parametrize("table", ["ledger_posting", "ledger_earning"])
@pytest.mark.parametrize("change", ["UPDATE {} SET currency = 'EUR'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_is_booked_is_never_changed(shared: World, table: str, change: str) -> None:
    async with shared.database() as conn:
        with pytest.raises(asyncpg.RestrictViolationError):
            await conn.execute(change.format(table))


async def test_what_is_booked_again_changes_nothing(shared: World, books: Books) -> None:
    invoice = await books.subscribed()
    before = await books.balances("2023-11-15")
    async with shared.database() as conn, conn.transaction():
        await book_issued(conn, books.tenant_id, [invoice.id], system_clock())
    assert await books.balances("2023-11-15") == before


@pytest.mark.parametrize(
    ("spoiled", "found"),
    [
        ("UPDATE ledger_posting SET amount_minor = amount_minor * 2 WHERE account = 'tax_payable'", {"tax_payable"}),
        ("DELETE FROM ledger_posting", {"receivable", "tax_payable", "deferred_revenue", "revenue"}),
        ("DELETE FROM ledger_earning", {"revenue"}),
        ("UPDATE ledger_earning SET amount_minor = amount_minor + 1", {"revenue"}),
        ("UPDATE ledger_posting SET invoice_id = 'inv_other'", {"receivable", "tax_payable", "deferred_revenue"}),
        ("UPDATE invoice SET amount_paid_minor = 1", {"receivable", "cash"}),
    ],
)
async def test_a_document_and_the_ledger_that_differ_are_found(
    shared: World, books: Books, spoiled: str, found: set[str]
) -> None:
    """What only a defect of the software, or somebody with the database's password, can do."""
    invoice = await books.subscribed()
    where = " AND " if "WHERE" in spoiled else " WHERE "
    column = "id" if "UPDATE invoice " in spoiled else "invoice_id"
    async with shared.database() as conn:
        undone = conn.transaction()
        await undone.start()
        await conn.execute("ALTER TABLE ledger_posting DISABLE TRIGGER posting_is_kept")
        await conn.execute("ALTER TABLE ledger_earning DISABLE TRIGGER earning_is_kept")
        await conn.execute(f"{spoiled}{where}{column} = $1", invoice.id)
        differences = await store.ledger_proofs.differences(conn, books.tenant_id, "", None, 100)
        await undone.rollback()
        assert {each.account for each in differences} >= found
        assert await store.ledger_proofs.differences(conn, books.tenant_id, "", None, 100) == []


async def test_what_is_closed_never_changes(books: Books) -> None:
    """A fee of November is given back, and billed for whom came late, when November is closed."""
    invoice = await books.subscribed(fee=3000)
    await books.until("2023-12-05")
    november = await books.balances("2023-11-30")
    await books.close("2023-11-30")
    await books.note(invoice, CREDIT, 3000)
    await books.tenant.subscribe("t", "globex", "basic", "2023-11-16")
    await books.world.bill()
    assert await books.balances("2023-11-30") == november
    assert (await books.balances("2023-12-01"))["revenue"] == -3000 - 1500 - 97 - 97
    assert (await books.balances("2023-12-05"))["revenue"] == -1500 - 484 - 484  # and not what was given back


async def test_a_period_is_closed_once_and_when_it_is_over(books: Books) -> None:
    await books.subscribed()
    await books.until("2023-12-05")
    for day, reason in (("2023-12-05", "LEDGER_PERIOD_NOT_OVER"), ("1999-11-30", "DATE_MALFORMED")):
        with pytest.raises(BillingError, match=reason):
            await books.close(day)
    request_id = new_request_id()
    for _ in range(2):
        await books.close("2023-11-30", request_id)
    with pytest.raises(BillingError, match="REQUEST_ID_REUSED"):
        await books.close("2023-12-04", request_id)
    with pytest.raises(BillingError, match="LEDGER_PERIOD_CLOSED"):
        await books.close("2023-11-30")
    await books.close("2023-12-01")
    first = await books.tenant.ledger.ListLedgerClosings(pb.ListLedgerClosingsRequest(page_size=1))
    rest = await books.tenant.ledger.ListLedgerClosings(pb.ListLedgerClosingsRequest(page_token=first.next_page_token))
    assert [each.closed_through_date.day for each in (*first.closings, *rest.closings)] == [1, 30]


@pytest.mark.parametrize("table", ["ledger_posting", "ledger_earning"])
async def test_the_database_refuses_what_is_in_a_closed_period(shared: World, books: Books, table: str) -> None:
    invoice = await books.subscribed()
    await books.until("2023-12-05")
    await books.close("2023-11-30")
    async with shared.database() as conn:
        with pytest.raises(asyncpg.RestrictViolationError, match="closed period"):
            await conn.execute(
                f'INSERT INTO {table} SELECT (jsonb_populate_record(p, \'{{"source": "x"}}\')).*'
                f" FROM {table} p WHERE invoice_id = $1",
                invoice.id,
            )


@pytest.mark.parametrize(("first", "last"), [("2023-10-01", "2023-12-31"), ("2023-11-20", "2023-12-10")])
async def test_statements_lead_from_one_balance_to_the_other(books: Books, first: str, last: str) -> None:
    invoice = await books.subscribed(fee=1000, zone="Asia/Tokyo", start="2023-10-31T15:00")
    await books.pay(invoice, 1200)
    await books.until("2023-12-10")
    await books.note(invoice, CREDIT, 500)
    before = await books.balances(f"{date.fromisoformat(first) - timedelta(days=1)}")
    after = await books.balances(last)
    journal = await books.journal(first, last, page_size=1)
    assert len({(each.source, each.invoice_id, each.account) for each in journal}) == len(journal)
    for account in pb.LedgerAccount.values()[1:]:
        name = pb.LedgerAccount.Name(account).removeprefix("LEDGER_ACCOUNT_").lower()
        request = pb.GetAccountStatementRequest(
            account=account, currency_code="USD", start_date=day_of(first), end_date=day_of(last)
        )
        found = await books.tenant.ledger.GetAccountStatement(request)
        amounts = [each.amount.minor_units for each in found.entries]
        assert found.opening_balance.minor_units == before.get(name, 0)
        assert found.opening_balance.minor_units + sum(amounts) == found.closing_balance.minor_units
        assert found.closing_balance.minor_units == after.get(name, 0)
        assert amounts == [each.amount.minor_units for each in journal if each.account == account]


async def test_a_journal_lists_every_leg_once_and_bookings_that_balance(books: Books) -> None:
    invoice = await books.subscribed(fee=1000)
    await books.pay(invoice, 1200)
    await books.until("2023-12-10")
    journal = await books.journal("2023-11-01", "2023-12-31", page_size=2)
    booked: dict[tuple[str, str], int] = {}
    for each in journal:
        key = each.source, each.invoice_id
        booked[key] = booked.get(key, 0) + each.amount.minor_units
    assert set(booked.values()) == {0}
    assert [source for source, invoice_id in booked if not invoice_id] == ["earned/2023-11", "earned/2023-12"]
    assert {each.invoice_number for each in journal if each.invoice_id} == {
        each.number for each in await books.tenant.invoices()
    }
    with pytest.raises(BillingError, match="PERIOD_EMPTY"):
        await books.journal("2023-11-02", "2023-11-01")
    with pytest.raises(BillingError, match="PAGE_TOKEN_INVALID"):
        await books.tenant.ledger.ListJournalEntries(
            pb.ListJournalEntriesRequest(
                start_date=day_of("2023-11-01"), end_date=day_of("2023-11-01"), page_token="WyJ4Il0"
            )
        )


async def test_every_night_differences_are_found_and_listed(shared: World, books: Books) -> None:
    invoice = await books.subscribed(fee=3000)
    async with shared.database() as conn:
        await conn.execute("ALTER TABLE ledger_earning DISABLE TRIGGER earning_is_kept")
        spoil = "UPDATE ledger_earning SET amount_minor = amount_minor + $2 WHERE invoice_id = $1"
        await conn.execute(spoil, invoice.id, 1)
        async with shared.worker() as one, shared.worker() as other:
            await asyncio.gather(drained(one.prove), drained(other.prove))
        for _ in range(2):  # the second time nothing is left of the day
            [proof] = (await books.tenant.ledger.ListLedgerProofs(pb.ListLedgerProofsRequest())).proofs
            assert (proof.HasField("complete_time"), proof.difference_count) == (True, 1)
            [difference] = proof.differences
            assert (difference.invoice_id, difference.account) == (invoice.id, "revenue")
            assert (difference.documents_amount.minor_units, difference.ledger_amount.minor_units) == (3000, 3001)
            async with shared.worker() as again:
                await drained(again.prove)
        await conn.execute(spoil, invoice.id, -1)
        await conn.execute("ALTER TABLE ledger_earning ENABLE TRIGGER earning_is_kept")


async def drained(sweep: Callable[[], Awaitable[bool]]) -> None:
    while await sweep():
        pass


async def test_the_database_earns_as_the_domain_does(shared: World) -> None:
    draw = random.Random(7)
    rows = [
        Earning(
            part=0,
            amount=draw.choice([1, -1]) * draw.randrange(1, 10 ** draw.randrange(1, 16)),
            first_day=date(2023, 1, 1) + timedelta(days=draw.randrange(400)),
            days=(days := draw.randrange(1, 400)),
            booked=date(2023, 1, 1),
            from_date=date(2023, 1, 1) + timedelta(days=draw.randrange(500)),
            skipped=draw.randrange(days + 1),
        )
        for _ in range(300)
    ]
    on = [date(2022, 12, 1) + timedelta(days=draw.randrange(1000)) for _ in rows]
    async with shared.database() as conn:
        found = await conn.fetch(
            "SELECT earned_by(a, b, c, d, e, f) AS earned FROM unnest($1::date[], $2::bigint[], $3::date[],"
            " $4::integer[], $5::integer[], $6::date[]) AS e (a, b, c, d, e, f)",
            on,
            [each.amount for each in rows],
            [each.first_day for each in rows],
            [each.days for each in rows],
            [each.skipped for each in rows],
            [each.from_date for each in rows],
        )
    assert [row["earned"] for row in found] == [each.earned(day) for each, day in zip(rows, on, strict=True)]


async def test_usage_is_earned_by_the_day_it_is_invoiced_on_and_fees_on_all_days_of_their_period() -> None:
    november = datetime(2023, 11, 1, tzinfo=UTC), datetime(2023, 12, 1, tzinfo=UTC)
    issued, utc = date(2023, 11, 10), ZoneInfo("UTC")
    windows = {
        timing: scheduled(0, (timing, *november), 300, issued, issued, date(2000, 1, 1), utc) for timing in Timing
    }
    assert {timing: (each.first_day.day, each.last_day.day) for timing, each in windows.items()} == {
        Timing.AT_ISSUE: (10, 10),
        Timing.BY_DAY: (1, 30),
        Timing.AS_USED: (1, 10),
    }
