"""The ledger, against a running deployment: what documents and money come to."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from libs.common.clock import system_clock
from libs.common.wire import timestamp_out
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from services.invoicing import store
from services.invoicing.booking import book_issued
from tests.conftest import Keys, cloned
from tests.invoicing.books import CREDIT, REFUND, Books
from tests.invoicing.test_coupons import ONCE, apply, coupon
from tests.invoicing.world import REQUESTS, World, deployed, new_request_id
from weir.invoicing.v1 import invoicing_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


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


async def test_a_refund_or_dispute_belongs_to_one_invoice(books: Books) -> None:
    """What is reported of another one under its id changes nothing."""
    first = await books.subscribed(fee=3000)
    await books.pay(first, 3600)
    await books.until("2023-12-01")
    [_, second] = await books.tenant.invoices()
    await books.refund(first, "", 100, "SUCCEEDED", 1)
    await books.dispute(first, 50, "LOST", 1)
    before = await books.balances("2023-12-31")
    await books.refund(second, "", 100, "FAILED", 2)
    await books.dispute(second, 50, "WON", 2)
    assert await books.balances("2023-12-31") == before


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
