"""Closed periods, statements, journals and proofs of the ledger, against a running deployment."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import pytest_asyncio

from libs.common.errors import BillingError
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from services.invoicing import store
from services.invoicing.domain.ledger.earning import Earning
from services.invoicing.domain.ledger.part import Timing, scheduled
from tests.conftest import Keys, cloned
from tests.invoicing.books import CREDIT, Books, day_of
from tests.invoicing.test_documents import WEHR
from tests.invoicing.world import World, deployed, new_request_id
from weir.invoicing.v1 import ledger_pb2 as pb
from weir.invoicing.v1.legal_entities_pb2 import CreateLegalEntityRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


@pytest.fixture
def books(shared: World) -> Books:
    """A tenant for each test."""
    return Books(shared)


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


async def test_each_legal_entity_has_books_and_closings_of_its_own(books: Books) -> None:
    await books.subscribed(fee=3000)  # before there was a legal entity
    await books.tenant.legal_entities.CreateLegalEntity(
        CreateLegalEntityRequest(request_id=new_request_id(), legal_entity=WEHR)
    )
    await books.until("2023-12-05")
    await books.close("2023-11-30")
    assert await books.balances("2023-12-31", legal_entity="default") == {
        "receivable": 3600,
        "tax_payable": -600,
        "revenue": -3000,
    }
    assert (await books.balances("2023-12-01", legal_entity=WEHR.code))["revenue"] == -97
    [first, second] = await books.tenant.invoices()
    await books.note(first, CREDIT, 3000)
    await books.note(second, CREDIT, 3000)
    assert await books.balances("2023-12-31", legal_entity=WEHR.code) == {"receivable": 3600, "customer_credit": -3600}
    journal = await books.journal("2023-11-01", "2023-12-31")
    assert {each.legal_entity for each in journal if each.invoice_id == second.id} == {WEHR.code}


async def test_a_closing_waits_for_what_is_being_booked(shared: World, books: Books) -> None:
    await books.subscribed()
    await books.until("2023-12-05")
    async with shared.database() as conn:
        booking = conn.transaction()
        await booking.start()
        assert await store.ledger.open_from(conn, books.tenant_id, "default") == date(2000, 1, 1)
        closing = asyncio.create_task(books.close("2023-11-30"))
        assert not (await asyncio.wait({closing}, timeout=0.2))[0]
        await booking.commit()
        await closing
        async with conn.transaction():
            assert await store.ledger.open_from(conn, books.tenant_id, "default") == date(2023, 12, 1)


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
