"""Random histories of documents and money against a running deployment: they are booked as the domain says."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import date, timedelta

import pytest
import pytest_asyncio

from libs.common.errors import BillingError
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from services.invoicing import store
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.earning import Earning
from services.invoicing.domain.ledger.trial_balance import Balance, Earned, trial_balance
from tests.conftest import Keys, cloned
from tests.invoicing.books import CREDIT, OFFSET, REFUND, Books
from tests.invoicing.test_coupons import RECURRING, apply, coupon
from tests.invoicing.world import REQUESTS, World, deployed

pytestmark = pytest.mark.asyncio(loop_scope="module")
STEPS = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


class Historian:
    """Does something to the tenant's documents and money, as `draw` has it. What is refused changes nothing."""

    def __init__(self, books: Books, draw: random.Random) -> None:
        self.books, self.draw = books, draw
        self.today = date(2023, 11, 1)
        self.revision = 0

    async def begin(self) -> None:
        await self.books.tenant.meter("requests")
        await self.books.subscribed(fee=3333, zone=self.draw.choice(["", "Asia/Tokyo", "America/New_York"]))
        await self.books.tenant.plan(
            "usage", REQUESTS, base_fee=777, taxes=["vat"], tax_inclusive=self.draw.random() < 0.5
        )
        await coupon(self.books.tenant, "third", rate_percent="33.3", frequency=RECURRING, periods=2)
        await apply(self.books.tenant, "third")
        await self.books.tenant.subscribe("u", "globex", "usage", "2023-11-05", alone=False)
        await self.books.tenant.events("u", 1234)

    async def step(self) -> None:
        acts = [self.time, self.time, self.note, self.note, self.void, self.pay, self.pay, self.money, self.close]
        with suppress(BillingError):
            await self.draw.choice(acts)()

    async def time(self) -> None:
        self.today += timedelta(days=self.draw.randrange(1, 25))
        await self.books.until(f"{self.today}T12:00")

    async def note(self) -> None:
        kind = self.draw.choice([CREDIT, OFFSET, REFUND])
        note_id = await self.books.note(await self._invoice(), kind, self.draw.choice([0, 1, 333, 1111]))
        if kind == CREDIT and self.draw.random() < 0.5:
            await self.books.void_note(note_id)

    async def void(self) -> None:
        await self.books.void(await self._invoice())

    async def pay(self) -> None:
        invoice = await self._invoice()
        self.revision += 1
        due = invoice.amount_due.minor_units
        await self.books.pay(invoice, self.draw.choice([due, due, due // 2, 0]), self.revision)

    async def money(self) -> None:
        invoice = await self._invoice()
        self.revision += 1
        what: Callable[[], Awaitable[None]] = self.draw.choice(
            [
                lambda: self.books.refund(invoice, "", 100, self.draw.choice(["SUCCEEDED", "FAILED"]), self.revision),
                lambda: self.books.dispute(invoice, 50, self.draw.choice(["LOST", "WON"]), self.revision),
                lambda: self.books.write_off(invoice),
            ]
        )
        await what()

    async def close(self) -> None:
        await self.books.close(str(self.today - timedelta(days=self.draw.randrange(1, 60))))

    async def _invoice(self):  # type: ignore[no-untyped-def]
        return self.draw.choice(await self.books.tenant.invoices())


@pytest.mark.parametrize("seed", range(2))
async def test_a_random_history_is_booked_as_the_domain_says(shared: World, seed: int) -> None:
    draw, books = random.Random(seed), Books(shared)
    historian = Historian(books, draw)
    await historian.begin()
    async with shared.database() as conn:
        for _ in range(STEPS):
            await historian.step()
            assert await store.ledger_proofs.differences(conn, books.tenant_id, "", None, 100) == []
        postings = [
            (row["effective_date"], Balance("default", "USD", Account(row["account"]), row["amount_minor"]))
            for row in await conn.fetch("SELECT * FROM ledger_posting WHERE tenant_id = $1", books.tenant_id)
        ]
        earnings = [
            Earning(*row.values())
            for row in await conn.fetch(
                "SELECT part, amount_minor, first_day, days, booked_date, from_date, skipped_days FROM ledger_earning"
                " WHERE tenant_id = $1",
                books.tenant_id,
            )
        ]
    assert len(postings) > STEPS
    draw.shuffle(postings)
    for day in (historian.today + timedelta(days=n) for n in (-40, -3, 0, 9, 100)):
        invoiced = sum(each.earned(day) for each in earnings if each.booked <= day)
        unbilled = sum(each.earned(day) for each in earnings if each.booked > day)
        posted = [each for effective, each in postings if effective <= day]
        again = trial_balance(posted, [Earned("default", "USD", invoiced, unbilled)])
        assert {each.account.value: each.amount for each in again} == await books.balances(str(day))
