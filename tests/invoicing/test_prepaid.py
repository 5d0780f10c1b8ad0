"""Prepaid credit on invoices, against a fake of the port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from libs.common.clock import system_clock
from libs.common.errors import Unavailable
from libs.common.money import Money
from libs.common.wire import money_out
from libs.embedded.postgres import Postgres
from libs.embedded.valkey import Valkey
from services.invoicing import main as invoicing
from services.invoicing.domain.prepaid import Draw
from services.invoicing.worker import Biller
from tests.conftest import Keys, cloned
from tests.invoicing.test_coupons import apply, coupon, usd
from tests.invoicing.world import Tenant, World, deployed, new_request_id
from weir.invoicing.v1 import invoicing_pb2
from weir.pricing.v1 import coupons_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")
_TENANTS = count()


class Killed(BaseException):
    """The process ends here."""


@dataclass(slots=True)
class Wallets:
    """As the port wants it: a key draws once. `lost` answers arrive nowhere. In the caller's database, `dsn`, it looks
    whether the caller has a transaction open, unless callers `are_racing`.
    """

    dsn: str
    balance: int
    drawn: dict[UUID, int] = field(default_factory=dict)
    lost: int = 0
    away: bool = False
    too_much: int = 0
    kills: bool = False
    are_racing: bool = False
    calls: int = 0

    async def draw(self, asked: Draw, key: UUID) -> Money:
        self.calls += 1
        if not self.are_racing:
            await self._require_no_lock(asked)
        if self.away:
            raise Unavailable("PEER_AWAY", "wallets are away")
        if key not in self.drawn:
            self.drawn[key] = min(self.balance, asked.amount.minor_units)
            self.balance -= self.drawn[key]
        if self.kills:
            raise Killed
        if self.lost:
            self.lost -= 1
            raise Unavailable("PEER_AWAY", "the answer was lost")
        return Money(self.drawn[key] + self.too_much, asked.amount.currency)

    async def give_back(self, drawn: Draw, key: UUID) -> None:
        if self.away:
            raise Unavailable("PEER_AWAY", "wallets are away")
        self.balance += self.drawn.pop(key, 0)

    async def _require_no_lock(self, asked: Draw) -> None:
        """Nobody holds the invoice's row: the caller has no transaction open on it."""
        conn = await asyncpg.connect(self.dsn)
        try:
            await conn.execute("SELECT FROM invoice WHERE id = $1 FOR UPDATE NOWAIT", asked.invoice_id)
        finally:
            await conn.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(postgres: Postgres, template: dict[str, str], keys: Keys, valkey: Valkey) -> AsyncIterator[World]:
    async with cloned(postgres, template) as database, deployed(database, keys, valkey.url) as running:
        yield running


@pytest.fixture
def acme(shared: World) -> Tenant:
    return shared.tenant(f"acme-{next(_TENANTS)}")


@asynccontextmanager
async def worker(shared: World, wallets: Wallets) -> AsyncIterator[Biller]:
    async with invoicing.billing(shared.settings, system_clock, wallets) as biller:
        yield biller


async def bill(shared: World, wallets: Wallets) -> None:
    async with worker(shared, wallets) as biller:
        while await biller.bill():
            pass


async def asked_again(shared: World) -> None:
    """It is time to ask again at once."""
    async with shared.database() as conn:
        await conn.execute("UPDATE prepaid_draw SET ask_time = '-infinity'")


async def due(acme: Tenant, *, base_fee: int = 2000, subscriptions: int = 1) -> None:
    await acme.start_clock("2023-11-01")
    await acme.customer("globex")
    await acme.plan("basic", base_fee=base_fee)
    for i in range(subscriptions):
        await acme.subscribe(f"globex-{i}", "globex", "basic", "2023-11-01")
    await acme.advance("2023-12-01")


def figures(invoice: invoicing_pb2.Invoice) -> tuple[int, int, int]:
    return invoice.total.minor_units, invoice.prepaid.minor_units, invoice.amount_due.minor_units


async def test_credit_pays_what_is_due_as_far_as_it_reaches(shared: World, acme: Tenant) -> None:
    await due(acme, subscriptions=3)
    wallets = Wallets(shared.settings.dsn, 3000)
    await bill(shared, wallets)
    invoices = await acme.invoices()
    assert sorted(figures(each) for each in invoices) == [(2000, 0, 2000), (2000, 1000, 1000), (2000, 2000, 0)]
    paid = [each for each in invoices if each.payment_status == invoicing_pb2.Invoice.PAYMENT_STATUS_SUCCEEDED]
    assert [figures(each) for each in paid] == [(2000, 2000, 0)]
    assert sorted(each.number[-6:] for each in invoices) == ["000001", "000002", "000003"]
    assert wallets.balance == 0


async def test_without_wallets_and_without_anything_due_nobody_is_asked(shared: World, acme: Tenant) -> None:
    await due(acme, base_fee=100)
    await coupon(acme, "free", rate_percent="100", frequency=coupons_pb2.Coupon.FREQUENCY_ONCE)
    await apply(acme, "free")
    wallets = Wallets(shared.settings.dsn, 3000)
    await bill(shared, wallets)
    assert [figures(each) for each in await acme.invoices()] == [(0, 0, 0)]
    await acme.advance("2024-01-01")
    await shared.bill()
    assert wallets.calls == 0
    assert [figures(each) for each in await acme.invoices()] == [(0, 0, 0), (100, 0, 100)]


async def test_an_answer_that_is_lost_is_asked_for_again_and_counts_once(shared: World, acme: Tenant) -> None:
    await due(acme)
    wallets = Wallets(shared.settings.dsn, 3000, lost=2)
    for _ in range(2):
        await bill(shared, wallets)
        [draft] = await acme.invoices()
        assert (draft.state, draft.number) == (invoicing_pb2.Invoice.STATE_DRAFT, "")
        await asked_again(shared)
    await bill(shared, wallets)
    [invoice] = await acme.invoices()
    assert (figures(invoice), invoice.number) == ((2000, 2000, 0), "INV-202312-000001")
    assert (wallets.balance, wallets.calls) == (1000, 3)


async def test_whoever_dies_before_the_answer_leaves_the_same_for_the_next_one(shared: World, acme: Tenant) -> None:
    await due(acme)
    wallets = Wallets(shared.settings.dsn, 500, kills=True)
    with pytest.raises(Killed):
        await bill(shared, wallets)
    assert [each.state for each in await acme.invoices()] == [invoicing_pb2.Invoice.STATE_DRAFT]
    wallets.balance, wallets.kills, wallets.are_racing = 5000, False, True
    await asyncio.gather(*(bill(shared, wallets) for _ in range(3)))
    [invoice] = await acme.invoices()
    assert (figures(invoice), invoice.number) == ((2000, 500, 1500), "INV-202312-000001")
    assert wallets.balance == 5000


async def test_while_wallets_are_away_what_comes_has_an_invoice_of_its_own(shared: World, acme: Tenant) -> None:
    """A sealed draft is asked for as it is; a subscription that is due at the same time does not slip onto it."""
    await due(acme, subscriptions=0)
    wallets = Wallets(shared.settings.dsn, 9000, away=True)
    for name in ("a", "b"):
        await acme.subscribe(name, "globex", "basic", "2023-11-01", alone=False)
        await bill(shared, wallets)
    found = [[each.source.subscription_id for each in invoice.settlements] for invoice in await acme.invoices()]
    assert found == [["a"], ["b"]]
    wallets.away = False
    await asked_again(shared)
    await bill(shared, wallets)
    assert {each.state for each in await acme.invoices()} == {invoicing_pb2.Invoice.STATE_FINALIZED}
    assert [figures(each) for each in await acme.invoices()] == [(2000, 2000, 0)] * 2


async def test_more_than_was_asked_is_not_taken(shared: World, acme: Tenant) -> None:
    await due(acme)
    wallets = Wallets(shared.settings.dsn, 9000, too_much=1)
    await bill(shared, wallets)
    assert [each.state for each in await acme.invoices()] == [invoicing_pb2.Invoice.STATE_DRAFT]
    wallets.too_much = 0
    await asked_again(shared)
    await bill(shared, wallets)
    assert [figures(each) for each in await acme.invoices()] == [(2000, 2000, 0)]


async def test_a_void_gives_the_credit_back_once_wallets_are_there(shared: World, acme: Tenant) -> None:
    await due(acme)
    wallets = Wallets(shared.settings.dsn, 1500)
    await bill(shared, wallets)
    [invoice] = await acme.invoices()
    assert figures(invoice) == (2000, 1500, 500)
    void = invoicing_pb2.VoidInvoiceRequest(request_id=new_request_id(), id=invoice.id)
    await acme.invoicing.VoidInvoice(void)
    wallets.away = True
    async with worker(shared, wallets) as biller:
        await biller.hand_over()
        assert wallets.balance == 0
        wallets.away = False
        async with shared.database() as conn:
            await conn.execute("UPDATE prepaid_draw SET return_time = '-infinity' WHERE return_time IS NOT NULL")
        for _ in range(2):
            await biller.hand_over()
    assert wallets.balance == 1500
    assert (await acme.invoices())[0].prepaid == money_out(usd(1500))
